// batch_norm: output[n,c,s] = (input[n,c,s] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c], where s runs over
// all dimensions behind the channels. In training mean and variance are the batch's, else the running ones.
//
// Training reads the input twice:
//   chunk_statistics    of a chunk of a channel, one workgroup a chunk; or chunk_statistics_of_blocks, where planes are in
//                       blocks of 4
//   channel_terms       what the output needs of each channel, one workgroup a channel
//   update_running      running statistics, one invocation a channel; only if there are any
//   normalize_blocks    the output, PLANE_ITEMS blocks of 4 elements of a plane an invocation, so that a workgroup has
//                       one channel;
//   normalize_planes    or, where planes are not in blocks, PLANE_ITEMS elements;
//   normalize_elements  or, where planes are small, one element an invocation
// Statistics are sums of deviations and of their squares about a center: the rounded mean of an invocation's own elements.
// Merging two moves one to the other's center. So no digits are lost to a mean far larger than the spread. Sums are pairs
// of f32 (value, what its rounding lost), good to about twice the digits, and added in a fixed order.
//
// Inference: running_terms instead of all but the output. affine follows either where there is a weight or a bias.
//
// workspace: CHANNEL_WORDS f32 for each channel
//     0: rounded mean  1: rest of the mean
//     2, 3: factor, 1 / sqrt(variance + eps) * weight, as a pair: one f32's rounding would show in all of a channel
//     4: bias  5: variance by count - 1
// and then chunks * CHUNK_WORDS f32 for each channel: the center, and two pairs.

struct Params {
    channels: u32,
    inner: u32,             // elements behind the channels
    channel_count: u32,     // elements of a channel: batch * inner
    chunks: u32,            // of a channel
    total: u32,
    eps: f32,
    momentum: f32,
    momentum_rest: f32,     // what rounding momentum to f32 took away
    kept: f32,              // 1 - momentum
    kept_rest: f32,
    has_weight: u32,
    has_bias: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in what is bound.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;
override PLANE_ITEMS: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [batch, channels, inner]
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;             // as input
@group(0) @binding(3) var<storage, read_write> output_blocks: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;       // [channels]
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;        // [channels]
@group(0) @binding(6) var<storage, read> weight: array<f32>;                   // [channels]; anything without has_weight
@group(0) @binding(7) var<storage, read> bias: array<f32>;                     // [channels]; anything without has_bias
// running_mean and running_var where they are only read.
@group(0) @binding(8) var<storage, read> given_mean: array<f32>;
@group(0) @binding(9) var<storage, read> given_var: array<f32>;

const CHANNEL_WORDS: u32 = 6u;
const CHUNK_WORDS: u32 = 5u;

// As many as ITEMS is at most.
const MAX_ITEMS: u32 = 32u;

// Sums over `count` elements x of x - center and (x - center)^2, as pairs.
struct Statistics {
    count: f32,
    center: f32,
    deviations: vec2<f32>,
    squares: vec2<f32>,
}

var<workgroup> statistics: array<Statistics, WORKGROUP_SIZE>;

// What goes through here stays as it is computed: compilers that reassociate sums cannot see that hidden_zero is 0.
fn hidden(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.hidden_zero);
}

// sum + value, with what the rounding loses added to .y.
fn add(sum: vec2<f32>, value: f32) -> vec2<f32> {
    let total = hidden(sum.x + value);
    let is_larger = abs(sum.x) >= abs(value);
    let larger = select(value, sum.x, is_larger);
    let smaller = select(sum.x, value, is_larger);
    return vec2<f32>(total, sum.y + (smaller - (total - larger)));
}

fn add_pair(sum: vec2<f32>, other: vec2<f32>) -> vec2<f32> {
    let total = add(sum, other.x);
    return vec2<f32>(total.x, total.y + other.y);
}

// The pair as one f32. Where it is infinite what was lost is not a number.
fn rounded(sum: vec2<f32>) -> f32 {
    if ((bitcast<u32>(sum.x) & 0x7f800000u) == 0x7f800000u) {
        return sum.x;
    }
    return sum.x + sum.y;
}

// a - b as a pair.
fn subtract(a: f32, b: f32) -> vec2<f32> {
    let difference = hidden(a - b);
    let lost = select(a - (difference + b), (a - difference) - b, abs(a) >= abs(b));
    return vec2<f32>(difference, lost);
}

// The upper 12 bits, whose products are exact.
fn upper(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// a * b as a pair.
fn multiply(a: f32, b: f32) -> vec2<f32> {
    let product = hidden(a * b);
    let a_upper = upper(a);
    let b_upper = upper(b);
    let a_lower = a - a_upper;
    let b_lower = b - b_upper;
    let lost = ((a_upper * b_upper - product) + a_upper * b_lower + a_lower * b_upper) + a_lower * b_lower;
    return vec2<f32>(product, lost);
}

// A pair divided by a number, as a pair.
fn divide(a: vec2<f32>, b: f32) -> vec2<f32> {
    let quotient = hidden(rounded(a) / b);
    let back = multiply(quotient, b);
    return vec2<f32>(quotient, ((a.x - back.x) + (a.y - back.y)) / b);
}

// 1 / sqrt(variance + eps) as a pair, for a variance as a pair: a first guess and one step of Newton's.
fn inverse_root(variance: vec2<f32>) -> vec2<f32> {
    let v = add(variance, params.eps);
    let guess = 1.0 / sqrt(v.x);
    let once = multiply(v.x, guess);
    let twice = multiply(once.x, guess);
    let error = (1.0 - twice.x) - twice.y - (once.y + v.y * guess) * guess;
    // Where the guess is no number or infinite there is nothing to be made better.
    let step = 0.5 * guess * error;
    return vec2<f32>(guess, select(0.0, step, abs(step) < guess));
}

// kept * old + momentum * new, rounded about once: the two may nearly cancel.
fn blend(old: f32, new_value: vec2<f32>) -> f32 {
    let sum = add_pair(multiply(params.kept, old), multiply(params.momentum, new_value.x));
    let rest = params.kept_rest * old + params.momentum_rest * new_value.x + params.momentum * new_value.y;
    return rounded(vec2<f32>(sum.x, sum.y + rest));
}

// The product of two pairs, as a pair.
fn product(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let once = multiply(a.x, b.x);
    return vec2<f32>(once.x, once.y + (a.x * b.y + a.y * b.x));
}

fn merge(a: Statistics, b: Statistics) -> Statistics {
    if (a.count == 0.0) {
        return b;
    }
    if (b.count == 0.0) {
        return a;
    }
    // About a's center, b's deviations are all larger by this.
    let step = subtract(b.center, a.center);
    let steps = product(step, vec2<f32>(b.count, 0.0));
    let cross = 2.0 * product(step, b.deviations);
    return Statistics(
        a.count + b.count,
        a.center,
        add_pair(add_pair(a.deviations, b.deviations), steps),
        add_pair(add_pair(a.squares, b.squares), add_pair(cross, product(step, steps))),
    );
}

// The statistics of the first `count` values.
fn statistics_of(values: ptr<function, array<f32, MAX_ITEMS>>, count: u32) -> Statistics {
    var sum = vec2<f32>(0.0, 0.0);
    for (var item = 0u; item < min(count, ITEMS); item++) {
        sum = add(sum, (*values)[item]);
    }
    var result = Statistics(f32(count), rounded(sum) / f32(max(count, 1u)), vec2<f32>(), vec2<f32>());
    for (var item = 0u; item < min(count, ITEMS); item++) {
        let deviation = subtract((*values)[item], result.center);
        result.deviations = add_pair(result.deviations, deviation);
        result.squares = add(result.squares, deviation.x * deviation.x);
        result.squares.y += 2.0 * deviation.x * deviation.y;
    }
    return result;
}

// Leaves the statistics of the workgroup in element 0.
fn merge_workgroup(lane: u32, own: Statistics) {
    statistics[lane] = own;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            statistics[lane] = merge(statistics[lane], statistics[lane + width]);
        }
        workgroupBarrier();
    }
}

fn chunk_words(channel: u32, chunk: u32) -> u32 {
    return params.channels * CHANNEL_WORDS + (channel * params.chunks + chunk) * CHUNK_WORDS;
}

fn write_chunk(channel: u32, chunk: u32) {
    let words = chunk_words(channel, chunk);
    workspace[words] = statistics[0].center;
    workspace[words + 1u] = statistics[0].deviations.x;
    workspace[words + 2u] = statistics[0].deviations.y;
    workspace[words + 3u] = statistics[0].squares.x;
    workspace[words + 4u] = statistics[0].squares.y;
}

fn read_chunk(channel: u32, chunk: u32) -> Statistics {
    let words = chunk_words(channel, chunk);
    let items = ITEMS * WORKGROUP_SIZE;
    return Statistics(
        f32(min(params.channel_count - chunk * items, items)),
        workspace[words],
        vec2<f32>(workspace[words + 1u], workspace[words + 2u]),
        vec2<f32>(workspace[words + 3u], workspace[words + 4u]),
    );
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn chunk_statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    let channel = part / params.chunks;
    let chunk = part % params.chunks;
    var values: array<f32, MAX_ITEMS>;
    var count = 0u;
    for (var item = 0u; item < ITEMS; item++) {
        let index = (chunk * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (index < params.channel_count && channel < params.channels) {
            let image = index / params.inner;
            let at = (image * params.channels + channel) * params.inner + index - image * params.inner;
            values[item] = input[params.input_base + at];
            count++;
        }
    }
    merge_workgroup(lane, statistics_of(&values, count));
    if (lane == 0u && channel < params.channels) {
        write_chunk(channel, chunk);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn chunk_statistics_of_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    let channel = part / params.chunks;
    let chunk = part % params.chunks;
    let plane_blocks = params.inner / 4u;
    var values: array<f32, MAX_ITEMS>;
    var count = 0u;
    for (var item = 0u; item < ITEMS / 4u; item++) {
        let index = (chunk * (ITEMS / 4u) + item) * WORKGROUP_SIZE + lane;
        if (index < params.channel_count / 4u && channel < params.channels) {
            let image = index / plane_blocks;
            let at = (image * params.channels + channel) * plane_blocks + index - image * plane_blocks;
            let block = input_blocks[params.input_base / 4u + at];
            values[count] = block.x;
            values[count + 1u] = block.y;
            values[count + 2u] = block.z;
            values[count + 3u] = block.w;
            count += 4u;
        }
    }
    merge_workgroup(lane, statistics_of(&values, count));
    if (lane == 0u && channel < params.channels) {
        write_chunk(channel, chunk);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn channel_terms(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = workgroup.y * grid.x + workgroup.x;
    var own: Statistics;
    if (channel < params.channels) {
        for (var chunk = lane; chunk < params.chunks; chunk += WORKGROUP_SIZE) {
            own = merge(own, read_chunk(channel, chunk));
        }
    }
    merge_workgroup(lane, own);
    if (lane == 0u && channel < params.channels) {
        let all = statistics[0];
        let count = f32(params.channel_count);
        let rest = divide(all.deviations, count);
        let mean = add(vec2<f32>(all.center, 0.0), rest.x);
        // The squares are about the center; about the mean they are less by this.
        var squares_about_mean = add_pair(all.squares, -product(all.deviations, rest));
        if (rounded(squares_about_mean) < 0.0) {
            squares_about_mean = vec2<f32>(0.0, 0.0);
        }
        let factor = inverse_root(divide(squares_about_mean, count));
        let words = channel * CHANNEL_WORDS;
        workspace[words] = mean.x;
        workspace[words + 1u] = mean.y + rest.y;
        workspace[words + 2u] = factor.x;
        workspace[words + 3u] = factor.y;
        workspace[words + 4u] = 0.0;
        workspace[words + 5u] = rounded(squares_about_mean) / (count - 1.0);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn update_running(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel >= params.channels) {
        return;
    }
    let words = channel * CHANNEL_WORDS;
    running_mean[channel] = blend(running_mean[channel], vec2<f32>(workspace[words], workspace[words + 1u]));
    running_var[channel] = blend(running_var[channel], vec2<f32>(workspace[words + 5u], 0.0));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn running_terms(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel >= params.channels) {
        return;
    }
    let words = channel * CHANNEL_WORDS;
    workspace[words] = given_mean[channel];
    workspace[words + 1u] = 0.0;
    let factor = inverse_root(vec2<f32>(given_var[channel], 0.0));
    workspace[words + 2u] = factor.x;
    workspace[words + 3u] = factor.y;
    workspace[words + 4u] = 0.0;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn affine(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel >= params.channels) {
        return;
    }
    let words = channel * CHANNEL_WORDS;
    if (params.has_weight != 0u) {
        let factor = multiply(workspace[words + 2u], weight[channel]);
        workspace[words + 2u] = factor.x;
        workspace[words + 3u] = factor.y + workspace[words + 3u] * weight[channel];
    }
    if (params.has_bias != 0u) {
        workspace[words + 4u] = bias[channel];
    }
}

// What a channel's elements are normalized by.
struct Terms {
    mean: f32,
    mean_rest: f32,
    factor: vec2<f32>,
    bias: f32,
}

fn terms_at(words: u32) -> Terms {
    return Terms(
        workspace[words],
        workspace[words + 1u],
        vec2<f32>(workspace[words + 2u], workspace[words + 3u]),
        workspace[words + 4u],
    );
}

fn normalized(x: f32, terms: Terms) -> f32 {
    let deviation = subtract(x, terms.mean);
    let scaled = multiply(deviation.x, terms.factor.x);
    let low = scaled.y
        + deviation.x * terms.factor.y
        + (deviation.y - terms.mean_rest) * terms.factor.x;
    // Where the product is infinite or no number, what was lost is no number.
    let is_finite = (bitcast<u32>(scaled.x) & 0x7f800000u) != 0x7f800000u;
    return scaled.x + select(0.0, low + terms.bias, is_finite);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.total) {
        let terms = terms_at(index / params.inner % params.channels * CHANNEL_WORDS);
        output[params.output_base + index] = normalized(input[params.input_base + index], terms);
    }
}

// The part of a plane that is a workgroup's, counted in elements or in blocks.
struct PlanePart {
    channel: u32,
    // From the first plane on; none if first is not below end.
    first: u32,
    end: u32,
}

fn plane_part(number: u32, lane: u32, plane_items: u32, total: u32) -> PlanePart {
    let part_items = WORKGROUP_SIZE * PLANE_ITEMS;
    let parts = (plane_items + part_items - 1u) / part_items;
    let plane = number / parts;
    let begin = plane * plane_items;
    let first = (number - plane * parts) * part_items + lane;
    let end = select(0u, begin + min(first + part_items, plane_items), begin < total);
    return PlanePart(plane % params.channels, begin + first, end);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner, params.total);
    let terms = terms_at(part.channel * CHANNEL_WORDS);
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        output[params.output_base + at] = normalized(input[params.input_base + at], terms);
    }
}

// The same, 4 elements at a time, where planes and bases are multiples of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner / 4u, params.total / 4u);
    let terms = terms_at(part.channel * CHANNEL_WORDS);
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        let x = input_blocks[params.input_base / 4u + at];
        output_blocks[params.output_base / 4u + at] = vec4<f32>(
            normalized(x.x, terms),
            normalized(x.y, terms),
            normalized(x.z, terms),
            normalized(x.w, terms),
        );
    }
}
