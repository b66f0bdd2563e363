// What belongs to 4 pixels of a row, where rows are not made of blocks. The file binds `params`.

@group(0) @binding(2) var<storage, read> grad: array<f32>;             // [images, groups * out_channels, out_rows, out_cols]

// From `at` on. Past a row's end what follows is loaded, and left out by `of_pixels`.
fn load_grad(at: i32) -> vec4<f32> {
    let places = min(at + vec4<i32>(0, 1, 2, 3), vec4<i32>(i32(arrayLength(&grad)) - 1));
    return vec4<f32>(grad[places.x], grad[places.y], grad[places.z], grad[places.w]);
}

// 0 past a row's end, where other values might be NaN.
fn of_pixels(values: vec4<f32>, col: i32) -> vec4<f32> {
    return select(vec4<f32>(), values, col + vec4<i32>(0, 1, 2, 3) < vec4<i32>(params.out_cols));
}
