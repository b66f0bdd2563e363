// Single pixels of convolutions. The file binds `params`, `input` and `output`.

fn is_inside(rows: vec4<i32>, cols: vec4<i32>) -> vec4<bool> {
    return (rows >= vec4<i32>()) & (rows < vec4<i32>(params.in_rows))
        & (cols >= vec4<i32>()) & (cols < vec4<i32>(params.in_cols));
}

// The elements of the input at these places, or 0.
fn load(at: vec4<i32>, is_inside: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(), vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]), is_inside);
}
