// parts: quad_gradients
// The gradient of max_pool2d as in max_pool2d_backward.wgsl, by quads: see parts/quad_gradients.wgsl.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> grad_output: array<vec4<f32>>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read> indices: array<vec4<i32>>;                // as grad_output
@group(0) @binding(3) var<storage, read_write> grad_input: array<vec4<f32>>;       // [planes, in_rows, in_cols]

// What a row of windows has: gradients, and the places of their maxima, counted from the field's first.
struct Span {
    grads: array<f32, 32>,
    places: array<i32, 32>,
}

fn load_span(span: ptr<function, Span>, field: Field, out_row: i32) {
    let position = field.row * params.in_cols + field.col;
    for (var block = 0; block < block_count(); block++) {
        let place = output_block(field, out_row, block);
        let grads = grad_output[place.at];
        // -1 is no place of a field.
        let places = select(vec4<i32>(-1), indices[place.at] - position, place.is_inside);
        for (var element = 0; element < 4; element++) {
            (*span).grads[4 * block + element] = grads[element];
            (*span).places[4 * block + element] = places[element];
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_backward_quads(
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
        var span: Span;
        load_span(&span, field, out_row);
        for (var row = 0; row < ROWS; row++) {
            let is_over = has_row(field, out_row, row);
            for (var column = 0; column < 4 * STRIDE_COLS; column++) {
                let place = row * params.in_cols + column;
                var sum = 0.0;
                for (var window = LEFT; window < LEFT + WINDOWS; window++) {
                    if (has_column(window, column)) {
                        sum += select(0.0, span.grads[window], is_over && span.places[window] == place);
                    }
                }
                sums[row * 4 * STRIDE_COLS + column] += sum;
            }
        }
    }
    write_field(field, &sums);
}
