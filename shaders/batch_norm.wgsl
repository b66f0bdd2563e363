// parts: pairs, statistics, normalize, no_activation|activation
// batch_norm: output[n,c,s] = (input[n,c,s] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c], where s runs
// over all dimensions after the channels. In training mean and variance are the batch's, otherwise the running ones;
// for these batch_norm_inference.wgsl needs no workspace.
//
// Training reads the input twice:
//   chunk_statistics    of a chunk of a channel, one workgroup a chunk; or chunk_statistics_of_blocks, where planes are in
//                       blocks of 4
//   channel_terms       what the output needs of each channel, one workgroup a channel
//   save_statistics     mean and 1 / sqrt(variance + eps), one invocation a channel; only if they are saved
//   update_running      running statistics, one invocation a channel; only if there are any
//   normalize_..        the output: see parts/normalize.wgsl
// parts/statistics.wgsl says what statistics are. They are merged in a fixed order.
//
// Inference where only 4 buffers can be bound: running_terms replaces all passes before the output. affine follows
// either if there is a weight or a bias.
//
// A channel with infinities or NaN has their sum as its mean, and NaN as its variance.
//
// workspace: CHANNEL_WORDS f32 for each channel, its terms (see parts/normalize.wgsl)
//     0: rounded mean  1: rest of the mean  2, 3: factor  4: scale  5: bias
//     6: variance by count - 1; of the tiny values, if the scale says that values were made tiny
// and then chunks * CHUNK_WORDS f32 for each channel: the scale, the center, and two pairs.

@group(0) @binding(2) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;       // [channels]
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;        // [channels]
@group(0) @binding(10) var<storage, read_write> saved_mean: array<f32>;        // [channels]
@group(0) @binding(11) var<storage, read_write> saved_invstd: array<f32>;      // [channels]

const CHANNEL_WORDS: u32 = 7u;
const CHUNK_WORDS: u32 = 6u;

var<workgroup> statistics: array<Statistics, WORKGROUP_SIZE>;

// kept * old + momentum * new, rounded about once, since the two may nearly cancel.
fn blend(old: f32, new_value: vec2<f32>) -> f32 {
    let sum = add_pair(multiply(params.kept, old), multiply(params.momentum, new_value.x));
    let rest = params.kept_rest * old + params.momentum_rest * new_value.x + params.momentum * new_value.y;
    return rounded(vec2<f32>(sum.x, sum.y + rest));
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

fn write_terms(channel: u32, terms: Terms) {
    let words = channel * CHANNEL_WORDS;
    workspace[words] = terms.mean;
    workspace[words + 1u] = terms.mean_rest;
    workspace[words + 2u] = terms.factor.x;
    workspace[words + 3u] = terms.factor.y;
    workspace[words + 4u] = terms.scale;
    workspace[words + 5u] = terms.bias;
}

fn terms_of(channel: u32) -> Terms {
    let words = channel * CHANNEL_WORDS;
    return Terms(
        workspace[words],
        workspace[words + 1u],
        vec2<f32>(workspace[words + 2u], workspace[words + 3u]),
        workspace[words + 4u],
        workspace[words + 5u],
    );
}

fn chunk_words(channel: u32, chunk: u32) -> u32 {
    return params.channels * CHANNEL_WORDS + (channel * params.chunks + chunk) * CHUNK_WORDS;
}

fn write_chunk(channel: u32, chunk: u32) {
    let words = chunk_words(channel, chunk);
    workspace[words] = statistics[0].scale;
    workspace[words + 1u] = statistics[0].center;
    workspace[words + 2u] = statistics[0].deviations.x;
    workspace[words + 3u] = statistics[0].deviations.y;
    workspace[words + 4u] = statistics[0].squares.x;
    workspace[words + 5u] = statistics[0].squares.y;
}

fn read_chunk(channel: u32, chunk: u32) -> Statistics {
    let words = chunk_words(channel, chunk);
    let items = ITEMS * WORKGROUP_SIZE;
    return Statistics(
        f32(min(params.channel_count - chunk * items, items)),
        workspace[words],
        workspace[words + 1u],
        vec2<f32>(workspace[words + 2u], workspace[words + 3u]),
        vec2<f32>(workspace[words + 4u], workspace[words + 5u]),
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
        // The squares are about the center; about the mean they are smaller by this.
        var squares_about_mean = add_pair(all.squares, -product(all.deviations, rest));
        if (rounded(squares_about_mean) < 0.0) {
            squares_about_mean = vec2<f32>(0.0, 0.0);
        }
        if (is_finite(all.center)) {
            let variance = divide(squares_about_mean, count);
            var terms = Terms(mean.x, mean.y + rest.y, inverse_root(variance, params.eps), 1.0, 0.0);
            let unbiased = rounded(squares_about_mean) / (count - 1.0);
            if (all.scale < 1.0) {
                terms.mean /= TINY;
                terms.mean_rest /= TINY;
                if (variance.x > 0.0) {
                    // eps is nothing beside it. The factor, times HUGE, keeps all its digits.
                    terms.factor = inverse_root(variance, 0.0) * (TINY * HUGE);
                    terms.scale = 1.0 / HUGE;
                }
            }
            write_terms(channel, terms);
            workspace[channel * CHANNEL_WORDS + 6u] = unbiased;
        } else {
            write_terms(channel, Terms(all.center, 0.0, vec2<f32>(not_a_number(), 0.0), 1.0, 0.0));
            workspace[channel * CHANNEL_WORDS + 6u] = not_a_number();
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn save_statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel >= params.channels) {
        return;
    }
    let terms = terms_of(channel);
    saved_mean[channel] = rounded(vec2<f32>(terms.mean, terms.mean_rest));
    saved_invstd[channel] = rounded(terms.factor) * terms.scale;
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
    let variance = workspace[words + 6u];
    if (workspace[words + 4u] < 1.0) {
        // A variance that is infinite in f32 may be finite times `kept`.
        running_var[channel] = params.kept * running_var[channel] + params.momentum * variance / TINY / TINY;
    } else {
        running_var[channel] = blend(running_var[channel], vec2<f32>(variance, 0.0));
    }
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
    write_terms(channel, running_terms_of(channel));
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
    write_terms(channel, affine_terms(terms_of(channel), channel));
}
