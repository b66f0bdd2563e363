// parts: no_momentum|momentum
// sgd: param -= lr * d, where d is the gradient, negated with maximize, plus weight_decay * param, or follows from it by
// momentum. One invocation computes a block of 4 elements, or a single element at the end and where buffers are not made of
// blocks.

struct Params {
    count: u32,
    base: u32,              // where all arrays begin in their bindings, in elements
    sign: f32,              // -1 to maximize
    weight_decay: f32,
    momentum: f32,
    undamped: f32,          // 1 - dampening
    nesterov: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(1) var<storage, read_write> param_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> grad_blocks: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;                     // lr first

// Without decay param is not looked at, whose infinities would make NaN.
fn decayed(gradient: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    if (params.weight_decay == 0.0) {
        return params.sign * gradient;
    }
    return params.sign * gradient + params.weight_decay * value;
}

// count is that of blocks.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let block = params.base / 4u + index;
        let value = param_blocks[block];
        param_blocks[block] = value - rates[0] * direction_of_block(block, decayed(grad_blocks[block], value));
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
        let value = param[at];
        let gradient = decayed(vec4<f32>(grad[at]), vec4<f32>(value)).x;
        param[at] = value - rates[0] * direction(at, gradient);
    }
}
