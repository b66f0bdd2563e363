// parts: pool_params, bits, quads
// max_pool2d as in max_pool2d.wgsl, where the lengths of rows of input and output are multiples of 4, and dilation is
// 1.
//
// One invocation computes a quad: see parts/quads.wgsl.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> input: array<vec4<u32>>;              // [planes, in_rows, in_cols], bits of f32
@group(0) @binding(2) var<storage, read_write> output: array<vec4<u32>>;       // [planes, out_rows, out_cols], bits of f32
@group(0) @binding(3) var<storage, read_write> indices: array<vec4<i32>>;      // as output

const NAN_ORDER: i32 = 0x7fffffff;

// Integers in the order of the floats. Both zeros give 0, and NaN are above all.
fn ordered(bits: vec4<u32>) -> vec4<i32> {
    let magnitude = vec4<i32>(bits & vec4<u32>(MAGNITUDE));
    let order = select(magnitude, -magnitude, bits > vec4<u32>(MAGNITUDE));
    return select(order, vec4<i32>(NAN_ORDER), magnitude > vec4<i32>(i32(INFINITY)));
}

// The elements of a row that the 4 windows need, and their order.
struct Span {
    values: array<u32, 32>,
    orders: array<i32, 32>,
}

// The best of a window: its bits, its order, and row * in_cols + col.
struct Best {
    value: u32,
    order: i32,
    place: i32,
}

fn load_span(span: ptr<function, Span>, plane_begin: i32, row: i32, first_col: i32) {
    for (var block = 0; block < BLOCKS; block++) {
        let col = first_col - LEFT + 4 * block;
        let is_inside = row >= 0 && row < params.in_rows && col >= 0 && col < params.in_cols;
        let at = select(0, (plane_begin + row * params.in_cols + col) / 4, is_inside);
        let values = select(vec4<u32>(NEGATIVE_INFINITY), input[at], is_inside);
        let orders = ordered(values);
        for (var element = 0; element < 4; element++) {
            (*span).values[4 * block + element] = values[element];
            (*span).orders[4 * block + element] = orders[element];
        }
    }
}

// Continues with the window of this number from 0 to 3, whose first element in this row is at `place`.
fn visit(best: ptr<function, Best>, span: ptr<function, Span>, window: i32, place: i32) {
    for (var kernel_col = 0; kernel_col < KERNEL_COLS; kernel_col++) {
        let element = LEFT + window * STRIDE_COLS + kernel_col;
        let order = (*span).orders[element];
        // Only a later NaN wins over a NaN, as in PyTorch.
        if (order > (*best).order || order == NAN_ORDER) {
            *best = Best((*span).values[element], order, place + kernel_col);
        }
    }
}

// Of 4 windows: the bits of their best, and row * in_cols + col of each.
struct Quad {
    values: vec4<u32>,
    places: vec4<i32>,
}

fn best_of(number: u32) -> Quad {
    let quads = params.out_cols / 4;
    let out_row = i32(number) / quads;
    let plane = out_row / params.out_rows;
    let first_row = (out_row - plane * params.out_rows) * params.rows.stride - params.rows.padding;
    let first_col = (i32(number) - out_row * quads) * 4 * STRIDE_COLS - params.cols.padding;
    let plane_begin = i32(params.input_base) + plane * params.in_rows * params.in_cols;

    // Nothing found yet: negative infinity, at the first place inside.
    let first = max(first_row, 0) * params.in_cols;
    let cols = first_col + STRIDE_COLS * vec4<i32>(0, 1, 2, 3);
    let places = first + max(cols, vec4<i32>());
    var best_0 = Best(NEGATIVE_INFINITY, -i32(INFINITY), places.x);
    var best_1 = Best(NEGATIVE_INFINITY, -i32(INFINITY), places.y);
    var best_2 = Best(NEGATIVE_INFINITY, -i32(INFINITY), places.z);
    var best_3 = Best(NEGATIVE_INFINITY, -i32(INFINITY), places.w);
    for (var kernel_row = 0; kernel_row < KERNEL_ROWS; kernel_row++) {
        let row = first_row + kernel_row;
        var span: Span;
        load_span(&span, plane_begin, row, first_col);
        let row_begin = row * params.in_cols;
        visit(&best_0, &span, 0, row_begin + cols.x);
        visit(&best_1, &span, 1, row_begin + cols.y);
        visit(&best_2, &span, 2, row_begin + cols.z);
        visit(&best_3, &span, 3, row_begin + cols.w);
    }
    return Quad(
        vec4<u32>(best_0.value, best_1.value, best_2.value, best_3.value),
        vec4<i32>(best_0.place, best_1.place, best_2.place, best_3.place),
    );
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number < params.count) {
        output[params.output_base / 4u + number] = best_of(number).values;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_quads_with_indices(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number < params.count) {
        let best = best_of(number);
        output[params.output_base / 4u + number] = best.values;
        indices[params.output_base / 4u + number] = best.places;
    }
}
