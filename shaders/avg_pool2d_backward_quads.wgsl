// parts: quad_gradients, pool_divisor
// The gradient of avg_pool2d as in avg_pool2d_backward.wgsl, by quads: see parts/quad_gradients.wgsl.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> grad_output: array<vec4<f32>>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read_write> grad_input: array<vec4<f32>>;       // [planes, in_rows, in_cols]

// What each window of a row of them gives to an element.
fn load_span(span: ptr<function, array<f32, 32>>, field: Field, out_row: i32) {
    for (var block = 0; block < block_count(); block++) {
        let place = output_block(field, out_row, block);
        let grads = grad_output[place.at];
        for (var element = 0; element < 4; element++) {
            let share = grads[element] / divisor(out_row, first_window(field, block) + element);
            // There may be 0 / 0 outside.
            (*span)[4 * block + element] = select(0.0, share, place.is_inside);
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn avg_pool2d_backward_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let field = field_of(number);
    let out_rows = window_rows(field);
    var sums: array<f32, 32>;
    for (var out_row = out_rows.x; out_row < out_rows.y; out_row++) {
        var span: array<f32, 32>;
        load_span(&span, field, out_row);
        for (var column = 0; column < 4 * STRIDE_COLS; column++) {
            var sum = 0.0;
            for (var window = LEFT; window < LEFT + WINDOWS; window++) {
                if (has_column(window, column)) {
                    sum += span[window];
                }
            }
            for (var row = 0; row < ROWS; row++) {
                sums[row * 4 * STRIDE_COLS + column] += select(0.0, sum, has_row(field, out_row, row));
            }
        }
    }
    write_field(field, &sums);
}
