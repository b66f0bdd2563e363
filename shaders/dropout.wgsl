// parts: philox
// dropout: output[i] = input[i] * scale where element i is kept, and input[i] * 0 where it is dropped. Element i is dropped if
// word i % 4 of block i / 4 is below the threshold. Block b is philox of the counter (offset + b, 0, 0), whose first two words
// are 64 bits, and of the seed as the key. The gradient is the same of grad_output.
//
// `elements` computes a block an invocation: 4 elements, fewer at the ends. Then `advance`, in one invocation, saves the
// generator and adds to its offset, so that the next call draws other bits.

struct Params {
    // The elements of this part, and the index of the first.
    first: u32,
    count: u32,
    // Where they begin in their bindings.
    input_base: u32,
    output_base: u32,
    threshold: u32,
    scale: f32,
    // Whether results are added to what is there.
    adds: u32,
    // What advance adds to the offset.
    blocks: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> generator: array<u32>;                 // seed and offset, low words first
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<storage, read_write> next_generator: array<u32>;      // the same as generator
@group(0) @binding(5) var<storage, read_write> saved_generator: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = params.first / 4u + (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    let end = params.first + params.count;
    if (4u * block >= end) {
        return;
    }
    let counter = add_64(vec2<u32>(generator[2], generator[3]), block);
    let words = philox(vec4<u32>(counter, 0u, 0u), vec2<u32>(generator[0], generator[1]));
    let factors = select(vec4<f32>(params.scale), vec4<f32>(), words < vec4<u32>(params.threshold));
    for (var word = 0u; word < 4u; word++) {
        let index = 4u * block + word;
        if (index >= params.first && index < end) {
            let at = params.output_base + index - params.first;
            var value = input[params.input_base + index - params.first] * factors[word];
            if (params.adds != 0u) {
                value += output[at];
            }
            output[at] = value;
        }
    }
}

@compute @workgroup_size(1)
fn advance(@builtin(workgroup_id) workgroup: vec3<u32>) {
    if (workgroup.x + workgroup.y > 0u) {
        return;
    }
    for (var word = 0u; word < 4u; word++) {
        saved_generator[word] = next_generator[word];
    }
    let offset = add_64(vec2<u32>(next_generator[2], next_generator[3]), params.blocks);
    next_generator[2] = offset.x;
    next_generator[3] = offset.y;
}
