// parts: bits, pairs, plane_parts
// How batch_norm.wgsl and batch_norm_inference.wgsl normalize, by the terms that their terms_of gives:
//
//   normalize_blocks    PLANE_ITEMS blocks of 4 elements of a plane an invocation, so that a workgroup has one channel;
//   normalize_planes    or, where planes are not in blocks, PLANE_ITEMS elements;
//   normalize_elements  or, where planes are small, one element an invocation

struct Params {
    epilogue: vec4<u32>,    // see epilogue.wgsl
    channels: u32,
    inner: u32,             // elements after the channels
    channel_count: u32,     // elements of a channel: batch * inner
    chunks: u32,            // of a channel
    total: u32,
    eps: f32,
    momentum: f32,
    momentum_rest: f32,     // what rounding momentum to f32 lost
    kept: f32,              // 1 - momentum
    kept_rest: f32,
    has_weight: u32,
    has_bias: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [batch, channels, inner]
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;             // as input
@group(0) @binding(3) var<storage, read_write> output_blocks: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> weight: array<f32>;                   // [channels]; any such without has_weight
@group(0) @binding(7) var<storage, read> bias: array<f32>;                     // [channels]; any such without has_bias
// running_mean and running_var where they are only read.
@group(0) @binding(8) var<storage, read> given_mean: array<f32>;               // [channels]
@group(0) @binding(9) var<storage, read> given_var: array<f32>;                // [channels]

// 2^64, which brings factors into the range of f32.
const HUGE: f32 = 18446744073709551616.0;

// 1 / sqrt(variance + eps) as a pair, for a variance as a pair: a first guess and one step of Newton's.
fn inverse_root(variance: vec2<f32>, eps: f32) -> vec2<f32> {
    let v = add(variance, eps);
    let guess = 1.0 / sqrt(v.x);
    let once = multiply(v.x, guess);
    let twice = multiply(once.x, guess);
    let error = (1.0 - twice.x) - twice.y - (once.y + v.y * guess) * guess;
    // A guess that is NaN or infinite cannot be improved.
    let step = 0.5 * guess * error;
    return vec2<f32>(guess, select(0.0, step, abs(step) < guess));
}

// What a channel's elements are normalized by.
struct Terms {
    mean: f32,
    mean_rest: f32,
    // 1 / sqrt(variance + eps) * weight, without `scale`, as a pair: the rounding of one f32 would show in all of a
    // channel.
    factor: vec2<f32>,
    // 1; HUGE for a huge weight, or 1 / HUGE for a huge variance, where the factor would leave the range of f32 but its
    // products with deviations do not.
    scale: f32,
    bias: f32,
}

// The terms of running statistics, without weight and bias.
fn running_terms_of(channel: u32) -> Terms {
    return Terms(given_mean[channel], 0.0, inverse_root(vec2<f32>(given_var[channel], 0.0), params.eps), 1.0, 0.0);
}

// The same terms with weight and bias.
fn affine_terms(terms: Terms, channel: u32) -> Terms {
    let w = select(1.0, weight[channel], params.has_weight != 0u);
    let is_huge = abs(w) > HUGE;
    let rest = select(w, w / HUGE, is_huge);
    let factor = multiply(terms.factor.x, rest);
    return Terms(
        terms.mean,
        terms.mean_rest,
        vec2<f32>(factor.x, factor.y + terms.factor.y * rest),
        terms.scale * select(1.0, HUGE, is_huge),
        select(0.0, bias[channel], params.has_bias != 0u),
    );
}

// Without `scale`. Infinite or NaN if a value is, or if something overflows on the way: see mended.
fn normalized(x: f32, terms: Terms) -> f32 {
    let deviation = subtract(x, terms.mean);
    let scaled = multiply(deviation.x, terms.factor.x);
    let low = scaled.y
        + deviation.x * terms.factor.y
        + (deviation.y - terms.mean_rest) * terms.factor.x;
    return scaled.x + (low + terms.bias);
}

// 2^exponent, for exponents from -126 to 127.
fn power_of_two(exponent: i32) -> f32 {
    return bitcast<f32>(u32(exponent + 127) << 23u);
}

// The exponent of x, or the nearest from -126 to 126.
fn exponent_of(x: f32) -> i32 {
    return clamp(i32((bitcast<u32>(x) & EXPONENT) >> 23u) - 127, -126, 126);
}

// A number that stands for x where only zeros and signs count: beside an infinity.
fn beside_infinity(x: f32) -> f32 {
    return select(x, clamp(x, -1.0, 1.0), is_finite(x));
}

// What normalized could not compute.
fn mended(x: f32, terms: Terms) -> f32 {
    if (!is_finite(x) || !is_finite(terms.mean) || !is_finite(terms.factor.x) || !is_finite(terms.bias)) {
        // Multiplied out as in PyTorch, which decides which infinities cancel.
        let factor = beside_infinity(terms.factor.x);
        return beside_infinity(x) * factor
            + (beside_infinity(terms.bias) - beside_infinity(terms.mean) * factor);
    }
    // With the exponents apart, a quarter of the deviation, which is finite, and a 256th of the result.
    let deviation = subtract(0.25 * x, 0.25 * terms.mean) - vec2<f32>(0.0, 0.25 * terms.mean_rest);
    let exponents = vec2<i32>(exponent_of(deviation.x), exponent_of(terms.factor.x));
    let scaled = product(
        deviation * power_of_two(-exponents.x),
        terms.factor * power_of_two(-exponents.y),
    );
    let exponent = exponents.x + exponents.y + 2 + exponent_of(terms.scale) - 8;
    if (exponent > 120) {
        // No bias is large enough to bring it back.
        return scaled.x * power_of_two(127) * power_of_two(127);
    }
    let term = scaled * power_of_two(max(exponent, -126));
    return rounded(add(term, terms.bias * power_of_two(-8))) * power_of_two(8);
}

fn normalize_element(at: u32, channel: u32, terms: Terms) {
    let x = input[params.input_base + at];
    var y = normalized(x, terms);
    if (!is_finite(y) || terms.scale != 1.0) {
        y = mended(x, terms);
    }
    output[params.output_base + at] = finished_block(vec4<f32>(y), channel).x;
}

fn normalize_part(part: PlanePart, terms: Terms) {
    var largest = select(0u, EXPONENT, terms.scale != 1.0);
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        let y = normalized(input[params.input_base + at], terms);
        largest = max(largest, bitcast<u32>(y) & EXPONENT);
        output[params.output_base + at] = finished_block(vec4<f32>(y), part.channel).x;
    }
    // Afterwards, since it is rare and branches in the loop are slow.
    if (largest == EXPONENT) {
        for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
            normalize_element(at, part.channel, terms);
        }
    }
}

// The same, 4 elements at a time, where planes and bases are multiples of 4.
fn normalize_part_in_blocks(part: PlanePart, terms: Terms) {
    var largest = vec4<u32>(select(0u, EXPONENT, terms.scale != 1.0));
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        let x = input_blocks[params.input_base / 4u + at];
        let y = vec4<f32>(
            normalized(x.x, terms),
            normalized(x.y, terms),
            normalized(x.z, terms),
            normalized(x.w, terms),
        );
        largest = max(largest, exponents(y));
        output_blocks[params.output_base / 4u + at] = finished_block(y, part.channel);
    }
    if (any(largest == vec4<u32>(EXPONENT))) {
        for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
            let x = input_blocks[params.input_base / 4u + at];
            var y: vec4<f32>;
            for (var index = 0u; index < 4u; index++) {
                y[index] = normalized(x[index], terms);
                if (!is_finite(y[index]) || terms.scale != 1.0) {
                    y[index] = mended(x[index], terms);
                }
            }
            output_blocks[params.output_base / 4u + at] = finished_block(y, part.channel);
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.total) {
        let channel = index / params.inner % params.channels;
        normalize_element(index, channel, terms_of(channel));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner, params.total);
    normalize_part(part, terms_of(part.channel));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner / 4u, params.total / 4u);
    normalize_part_in_blocks(part, terms_of(part.channel));
}
