// parts: activations
// The gradients of activations: grad_input[i] = grad_output[i] * f'(x[i]), where `saved` holds x or, where f' is written by
// it, f(x). One invocation computes a block of 4 elements, or a single element at the end and where buffers are not made of
// blocks. `saved` is bits, so that NaN is told apart.

struct Params {
    count: u32,
    // Where all buffers begin in their bindings, in elements.
    base: u32,
    // Whether the gradient is added to what is there.
    adds: u32,
    slope: f32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> saved: array<u32>;
@group(0) @binding(2) var<storage, read> saved_blocks: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input_blocks: array<vec4<f32>>;

// Whether numbers are 0 or less. As signed integers, numbers below 0 and -0 lie between the smallest and -infinity.
fn is_at_most_0(bits: vec4<u32>) -> vec4<bool> {
    return (bits == vec4<u32>()) | (bitcast<vec4<i32>>(bits) <= vec4<i32>(-0x800000));
}

// grad_output times the derivative, by ACTIVATION.
fn gradient(grad: vec4<f32>, bits: vec4<u32>) -> vec4<f32> {
    let x = bitcast<vec4<f32>>(bits);
    var derivative = vec4<f32>(1.0);
    switch ACTIVATION {
        // By the output.
        case RELU: { return select(grad, vec4<f32>(), is_at_most_0(bits)); }
        case RELU6: { return select(grad, vec4<f32>(), is_at_most_0(bits) | (bits == vec4<u32>(SIX))); }
        case TANH: { derivative = 1.0 - x * x; }
        case SIGMOID: { derivative = (1.0 - x) * x; }
        // By the input.
        case LEAKY_RELU: {
            let is_above_0 = !is_at_most_0(bits) & !is_each_nan(x);
            derivative = select(vec4<f32>(params.slope), derivative, is_above_0);
        }
        case HARDSWISH: {
            let is_low = x <= vec4<f32>(-3.0);
            let inside = select(grad * (x / 3.0 + 0.5), grad, x >= vec4<f32>(3.0));
            return select(select(inside, vec4<f32>(), is_low), grad, is_each_nan(x));
        }
        case SILU: { derivative = sigmoid(x) * (1.0 + x * sigmoid(-x)); }
        case GELU: { derivative = normal(x) + x * (0.39894228 * exponential(-0.5 * x * x)); }
        case GELU_TANH: {
            let s = sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
            let inner = 1.59576912 * (1.0 + 0.134145 * x * x);
            // Far from 0 the second term vanishes, though a factor of it overflows.
            derivative = select(s, s + x * s * (1.0 - s) * inner, abs(x) < vec4<f32>(16.0));
        }
        default: {}
    }
    if (ACTIVATION >= SILU && ACTIVATION <= GELU_TANH) {
        // Infinity times 0.
        let is_wrong = (bits & vec4<u32>(EXPONENT)) == vec4<u32>(EXPONENT);
        derivative = select(derivative, vec4<f32>(not_a_number()), is_wrong);
    }
    let result = grad * derivative;
    if (ACTIVATION == TANH || ACTIVATION == SIGMOID) {
        return select(result, x, is_each_nan(x));
    }
    return result;
}

// One block. count is that of blocks, and base a multiple of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.base / 4u + block;
        var result = gradient(grad_output_blocks[at], saved_blocks[at]);
        if (params.adds != 0u) {
            result += grad_input_blocks[at];
        }
        grad_input_blocks[at] = result;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.base + index;
        var result = gradient(vec4<f32>(grad_output[at]), vec4<u32>(saved[at])).x;
        if (params.adds != 0u) {
            result += grad_input[at];
        }
        grad_input[at] = result;
    }
}
