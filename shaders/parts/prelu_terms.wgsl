// parts: bits
// The terms of the gradient of prelu's slopes: grad_output * input where the input is 0 or less, or NaN, and otherwise 0.

@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> input_blocks: array<vec4<f32>>;

fn term(at: u32) -> f32 {
    return terms(vec4<f32>(grad_output[at]), vec4<f32>(input[at])).x;
}

fn block_of_terms(at: u32) -> vec4<f32> {
    return terms(grad_output_blocks[at], input_blocks[at]);
}

// Numbers above 0 are positive as integers too, and NaN comes after infinity.
fn is_above_0(x: vec4<f32>) -> vec4<bool> {
    let bits = bitcast<vec4<u32>>(x);
    return (bits > vec4<u32>()) & (bits <= vec4<u32>(INFINITY));
}

fn terms(grad: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    return select(grad * x, vec4<f32>(), is_above_0(x));
}
