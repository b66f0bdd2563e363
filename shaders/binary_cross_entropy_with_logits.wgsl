// parts: losses, exp, log, no_weights|packed_weights
// binary_cross_entropy_with_logits: with x = input, t = target, p = pos_weight and log_sigmoid(x) = -log(1 + exp(-x)),
//     weight * ((1 - t) * x - (1 + (p - 1) * t) * log_sigmoid(x))
// weight and pos_weight are broadcast to the input's shape; what is absent is 1. The reductions give the sum, or for the mean
// the sum divided by the number of elements. See parts/losses.wgsl.
//
// Where all is finite, terms that cancel are left out. Otherwise PyTorch's formulas decide what comes out.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> target_values: array<f32>;
@group(0) @binding(2) var<storage, read> target_blocks: array<vec4<f32>>;
struct Weights {
    weight: vec4<f32>,
    pos_weight: vec4<f32>,
}

struct Operands {
    input: vec4<f32>,
    target_values: vec4<f32>,
    weights: Weights,
}

// Of weights parts/packed_weights.wgsl knows the places.
fn operands(index: u32, places: vec2<u32>) -> Operands {
    return Operands(vec4<f32>(input[index]), vec4<f32>(target_values[index]), weights(index));
}

fn operands_in_block(block: u32) -> Operands {
    return Operands(input_blocks[block], target_blocks[block], weights_in_block(block));
}

// log(1 + exp(-|x|))
fn log_sum_of(x: vec4<f32>) -> vec4<f32> {
    let e = exponential(-abs(x));
    return vec4<f32>(log_one_plus(e.x), log_one_plus(e.y), log_one_plus(e.z), log_one_plus(e.w));
}

// 1 + (p - 1) * t. Hidden differences stay: multiplied out, products may be infinite, and cancel.
fn shares(these: Operands) -> vec4<f32> {
    if (params.has_pos_weight == 0u) {
        return vec4<f32>(1.0);
    }
    return hidden_block(these.weights.pos_weight - 1.0) * these.target_values + 1.0;
}

fn is_any_infinite(these: Operands) -> vec4<bool> {
    return is_spoilt(these.target_values) | is_spoilt(these.weights.pos_weight);
}

fn losses(these: Operands) -> Pairs {
    let x = these.input;
    let t = these.target_values;
    let share = shares(these);
    let rest = log_sum_of(x);
    let rest_of_target = hidden_block(1.0 - t);
    let plain = rest_of_target * x - (min(x, vec4<f32>()) - rest) * share;
    let linear = select(rest_of_target * x, -these.weights.pos_weight * t * x, x < vec4<f32>());
    let exact = linear + rest * share;
    return Pairs(select(exact, plain, is_spoilt(exact)) * these.weights.weight, vec4<f32>());
}

fn slopes(these: Operands) -> vec4<f32> {
    let x = these.input;
    let t = these.target_values;
    var slope: vec4<f32>;
    if (params.of_target != 0u) {
        slope = -x;
        if (params.has_pos_weight != 0u) {
            let rest = log_sum_of(x);
            let below = min(x, vec4<f32>()) - rest;
            slope = (min(-x, vec4<f32>()) - rest) - below * these.weights.pos_weight;
        }
    } else {
        let e = exponential(-abs(x));
        let sigmoid = select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e);
        let positive = these.weights.pos_weight * t;
        var share = shares(these);
        if (params.has_pos_weight != 0u) {
            share = select(share, positive + 1.0 - t, is_any_infinite(these));
        }
        // (1 - t) - share / (1 + exp(x)) is the same, and exact where the sigmoid is near 1.
        let above = (1.0 - t) - share * (e / (1.0 + e));
        slope = select(sigmoid * share - positive, above, (x >= vec4<f32>()) & !is_any_infinite(these));
    }
    return select(slope, x, is_each_nan(x));
}
