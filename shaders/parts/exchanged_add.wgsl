// Additions in memory without atomic f32: a loop exchanges the sum's bits until no other addition came between.

@group(0) @binding(4) var<storage, read_write> output: array<atomic<u32>>;     // [batch, groups * out_channels, out_rows, out_cols], bits of f32

fn add_to_output(index: i32, value: f32) {
    var seen = atomicLoad(&output[index]);
    loop {
        let sum = bitcast<u32>(bitcast<f32>(seen) + value);
        let exchange = atomicCompareExchangeWeak(&output[index], seen, sum);
        if (exchange.exchanged) {
            break;
        }
        seen = exchange.old_value;
    }
}

fn store_to_output(index: u32, value: f32) {
    atomicStore(&output[index], bitcast<u32>(value));
}
