// parts: pairs
// adam: with g the gradient, negated with maximize, and plus weight_decay * param unless the decay is decoupled,
//
//   m += (1 - beta_1) (g - m)       v = beta_2 v + (1 - beta_2) g g
//   param = (1 - lr weight_decay, if it is decoupled) param - lr / (1 - beta_1^t) * m / (sqrt(v) / sqrt(1 - beta_2^t) + eps)
//
// `advance`, in one invocation, counts the step to t and computes what depends on t alone, by pairs of f32, since 1 - beta^t has
// few digits of beta^t. Then one invocation of `blocks` or `elements` computes a block of 4 elements, or a single element.

struct Params {
    count: u32,
    base: u32,              // where all arrays begin in their bindings, in elements
    // Each as a pair.
    beta_1: f32,
    beta_1_rest: f32,
    beta_2: f32,
    beta_2_rest: f32,
    // 1 - beta
    weight_1: f32,
    weight_2: f32,
    eps: f32,
    sign: f32,              // -1 to maximize
    weight_decay: f32,
    decoupled: u32,
    hidden_zero: u32,       // always 0
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(1) var<storage, read_write> param_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> grad_blocks: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> exp_avg: array<f32>;             // m
@group(0) @binding(3) var<storage, read_write> exp_avg_blocks: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> exp_avg_sq: array<f32>;          // v
@group(0) @binding(4) var<storage, read_write> exp_avg_sq_blocks: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> factors: array<f32>;       // lr / (1 - beta_1^t), sqrt(1 - beta_2^t), param's factor
@group(0) @binding(6) var<storage, read> lr: array<f32>;
@group(0) @binding(7) var<storage, read_write> step: array<f32>;                // t
@group(0) @binding(8) var<storage, read_write> next_factors: array<f32>;        // the same as factors

// 1 - beta^exponent.
fn bias_correction(beta: vec2<f32>, exponent: u32) -> f32 {
    var power = vec2<f32>(1.0, 0.0);
    var square = beta;
    for (var rest = exponent; rest > 0u; rest >>= 1u) {
        if ((rest & 1u) != 0u) {
            power = product(power, square);
        }
        square = product(square, square);
    }
    let difference = subtract(1.0, power.x);
    return difference.x + (difference.y - power.y);
}

@compute @workgroup_size(1)
fn advance(@builtin(workgroup_id) workgroup: vec3<u32>) {
    if (workgroup.x + workgroup.y > 0u) {
        return;
    }
    let now = step[0] + 1.0;
    step[0] = now;
    let rate = lr[0];
    next_factors[0] = rate / bias_correction(vec2<f32>(params.beta_1, params.beta_1_rest), u32(now));
    next_factors[1] = sqrt(bias_correction(vec2<f32>(params.beta_2, params.beta_2_rest), u32(now)));
    next_factors[2] = 1.0 - rate * params.weight_decay;
}

struct Averages {
    m: vec4<f32>,
    v: vec4<f32>,
}

fn averaged(before: Averages, gradient: vec4<f32>, value: vec4<f32>) -> Averages {
    var g = params.sign * gradient;
    // Without decay param is not looked at, whose infinities would make NaN.
    if (params.weight_decay != 0.0 && params.decoupled == 0u) {
        g += params.weight_decay * value;
    }
    // As PyTorch's lerp.
    let difference = g - before.m;
    let is_small = vec4<bool>(params.weight_1 < 0.5);
    let m = select(g - difference * params.beta_1, before.m + params.weight_1 * difference, is_small);
    return Averages(m, params.beta_2 * before.v + (params.weight_2 * g) * g);
}

fn stepped(before: vec4<f32>, averages: Averages) -> vec4<f32> {
    var value = before;
    if (params.weight_decay != 0.0 && params.decoupled != 0u) {
        value *= factors[2];
    }
    return value - factors[0] * averages.m / (sqrt(averages.v) / factors[1] + params.eps);
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
        let averages = averaged(Averages(exp_avg_blocks[block], exp_avg_sq_blocks[block]), grad_blocks[block], value);
        exp_avg_blocks[block] = averages.m;
        exp_avg_sq_blocks[block] = averages.v;
        param_blocks[block] = stepped(value, averages);
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
        let value = vec4<f32>(param[at]);
        let averages = averaged(Averages(vec4<f32>(exp_avg[at]), vec4<f32>(exp_avg_sq[at])), vec4<f32>(grad[at]), value);
        exp_avg[at] = averages.m.x;
        exp_avg_sq[at] = averages.v.x;
        param[at] = stepped(value, averages).x;
    }
}

// `elements` in two passes, for devices on which a kernel binds no more than 4 buffers.
@compute @workgroup_size(WORKGROUP_SIZE)
fn average(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.base + index;
        let before = Averages(vec4<f32>(exp_avg[at]), vec4<f32>(exp_avg_sq[at]));
        let averages = averaged(before, vec4<f32>(grad[at]), vec4<f32>(param[at]));
        exp_avg[at] = averages.m.x;
        exp_avg_sq[at] = averages.v.x;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.base + index;
        let averages = Averages(vec4<f32>(exp_avg[at]), vec4<f32>(exp_avg_sq[at]));
        param[at] = stepped(vec4<f32>(param[at]), averages).x;
    }
}
