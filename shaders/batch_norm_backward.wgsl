// parts: bits, pairs, pair_blocks, plane_parts
// The gradients of batch_norm, where x' = (input - mean) * invstd, and sums and means are over all elements of a channel:
//     grad_bias   = sum(grad_output)
//     grad_weight = sum(grad_output * x')
//     grad_input  = (grad_output - mean(grad_output) - x' * mean(grad_output * x')) * invstd * weight   in training
//     grad_input  = grad_output * invstd * weight                                                       in inference
// In training mean and invstd are those that forward saved; in inference running_mean and 1 / sqrt(running_var + eps).
//
// The passes, of which only those run that the gradients need:
//   chunk_sums          of a chunk of a channel, one workgroup a chunk; or chunk_sums_of_blocks, where planes are in blocks
//                       of 4
//   channel_terms       what the gradients need of each channel, one workgroup a channel
//   weight_gradient, bias_gradient
//                       one invocation a channel
//   input_blocks_of_planes
//                       PLANE_ITEMS blocks of 4 elements of a plane an invocation, so that a workgroup has one channel;
//   input_planes        or, where planes are not in blocks, PLANE_ITEMS elements;
//   input_elements      or, where planes are small, one element an invocation
// Sums are pairs of f32, and their order is fixed.
//
// workspace: CHANNEL_WORDS f32 for each channel
//     0: mean(grad_output)  1: invstd  2: mean(grad_output * x')  3: weight
//     4: mean(input), or the running mean           5: sum(grad_output)  6: sum(grad_output * x')
// and then chunks * CHUNK_WORDS f32 for each channel: the sums of grad_output and of grad_output * (input - mean), as pairs.

struct Params {
    channels: u32,
    inner: u32,             // elements after the channels
    channel_count: u32,     // elements of a channel: batch * inner
    chunks: u32,            // of a channel; 0 where no sum is needed
    total: u32,
    eps: f32,
    is_training: u32,
    has_weight: u32,
    // Whether sums of products are needed.
    has_products: u32,
    // Whether this pass adds its gradient to what is there.
    adds: u32,
    hidden_zero: u32,       // always 0
    // Where grad_output and grad_input begin in their bindings, in elements.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;              // [batch, channels, inner]
@group(0) @binding(1) var<storage, read> grad_output_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<f32>;                    // as grad_output; any where it is not needed
@group(0) @binding(2) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;                     // [channels]; any without products
@group(0) @binding(4) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(5) var<storage, read> spread: array<f32>;                   // [channels]: saved_invstd or running_var
@group(0) @binding(6) var<storage, read> weight: array<f32>;                   // [channels]; any without has_weight
@group(0) @binding(7) var<storage, read_write> grad_weight: array<f32>;        // [channels]
@group(0) @binding(8) var<storage, read_write> grad_bias: array<f32>;          // [channels]
@group(0) @binding(9) var<storage, read_write> grad_input: array<f32>;         // as grad_output
@group(0) @binding(9) var<storage, read_write> grad_input_blocks: array<vec4<f32>>;

const CHANNEL_WORDS: u32 = 7u;
const CHUNK_WORDS: u32 = 4u;

// Sums of grad_output and of products, as pairs.
struct Sums {
    grads: vec2<f32>,
    products: vec2<f32>,
}

var<workgroup> sums: array<Sums, WORKGROUP_SIZE>;

// Leaves the sums of the workgroup in element 0.
fn add_workgroup(lane: u32, own: Sums) {
    sums[lane] = own;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            let other = sums[lane + width];
            sums[lane] = Sums(add_pair(sums[lane].grads, other.grads), add_pair(sums[lane].products, other.products));
        }
        workgroupBarrier();
    }
}

fn chunk_words(channel: u32, chunk: u32) -> u32 {
    return params.channels * CHANNEL_WORDS + (channel * params.chunks + chunk) * CHUNK_WORDS;
}

fn write_chunk(channel: u32, chunk: u32) {
    let words = chunk_words(channel, chunk);
    workspace[words] = sums[0].grads.x;
    workspace[words + 1u] = sums[0].grads.y;
    workspace[words + 2u] = sums[0].products.x;
    workspace[words + 3u] = sums[0].products.y;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn chunk_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    let channel = part / params.chunks;
    let chunk = part % params.chunks;
    let center = mean[min(channel, params.channels - 1u)];
    var own: Sums;
    for (var item = 0u; item < ITEMS; item++) {
        let index = (chunk * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (index < params.channel_count && channel < params.channels) {
            let image = index / params.inner;
            let at = (image * params.channels + channel) * params.inner + index - image * params.inner;
            let grad = grad_output[at];
            own.grads = add(own.grads, grad);
            if (params.has_products != 0u) {
                own.products = add(own.products, grad * (input[at] - center));
            }
        }
    }
    add_workgroup(lane, own);
    if (lane == 0u && channel < params.channels) {
        write_chunk(channel, chunk);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn chunk_sums_of_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    let channel = part / params.chunks;
    let chunk = part % params.chunks;
    let plane_blocks = params.inner / 4u;
    let center = mean[min(channel, params.channels - 1u)];
    var grads: Pairs;
    var products: Pairs;
    for (var item = 0u; item < ITEMS / 4u; item++) {
        let index = (chunk * (ITEMS / 4u) + item) * WORKGROUP_SIZE + lane;
        if (index < params.channel_count / 4u && channel < params.channels) {
            let image = index / plane_blocks;
            let at = (image * params.channels + channel) * plane_blocks + index - image * plane_blocks;
            let grad = grad_output_blocks[at];
            grads = add_to_each(grads, grad);
            if (params.has_products != 0u) {
                products = add_to_each(products, grad * (input_blocks[at] - center));
            }
        }
    }
    add_workgroup(lane, Sums(sum_of_all(grads), sum_of_all(products)));
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
    var own: Sums;
    if (channel < params.channels) {
        for (var chunk = lane; chunk < params.chunks; chunk += WORKGROUP_SIZE) {
            let words = chunk_words(channel, chunk);
            own.grads = add_pair(own.grads, vec2<f32>(workspace[words], workspace[words + 1u]));
            own.products = add_pair(own.products, vec2<f32>(workspace[words + 2u], workspace[words + 3u]));
        }
    }
    add_workgroup(lane, own);
    if (lane != 0u || channel >= params.channels) {
        return;
    }
    var invstd = spread[channel];
    if (params.is_training == 0u) {
        invstd = 1.0 / sqrt(invstd + params.eps);
    }
    let grads = rounded(sums[0].grads);
    // Without elements nothing has a spread.
    let products = select(rounded(sums[0].products) * invstd, 0.0, params.channel_count == 0u);
    let words = channel * CHANNEL_WORDS;
    workspace[words] = grads / f32(params.channel_count);
    workspace[words + 1u] = invstd;
    workspace[words + 2u] = products / f32(params.channel_count);
    workspace[words + 3u] = select(1.0, weight[channel], params.has_weight != 0u);
    workspace[words + 4u] = mean[channel];
    workspace[words + 5u] = grads;
    workspace[words + 6u] = products;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn weight_gradient(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel < params.channels) {
        var sum = workspace[channel * CHANNEL_WORDS + 6u];
        if (params.adds != 0u) {
            sum += grad_weight[channel];
        }
        grad_weight[channel] = sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn bias_gradient(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (channel < params.channels) {
        var sum = workspace[channel * CHANNEL_WORDS + 5u];
        if (params.adds != 0u) {
            sum += grad_bias[channel];
        }
        grad_bias[channel] = sum;
    }
}

// What grad_input needs of a channel.
struct Terms {
    mean_grad: f32,
    invstd: f32,
    mean_product: f32,
    weight: f32,
    mean: f32,
}

fn terms_of(channel: u32) -> Terms {
    let words = channel * CHANNEL_WORDS;
    return Terms(
        workspace[words],
        workspace[words + 1u],
        workspace[words + 2u],
        workspace[words + 3u],
        workspace[words + 4u],
    );
}

// Factor by factor, as PyTorch multiplies them.
fn gradient(grad: vec4<f32>, x: vec4<f32>, terms: Terms) -> vec4<f32> {
    var centered = grad;
    if (params.is_training != 0u) {
        centered = grad - terms.mean_grad - (x - terms.mean) * terms.invstd * terms.mean_product;
    }
    return centered * terms.invstd * terms.weight;
}

fn element_gradient(at: u32, terms: Terms) {
    var x = 0.0;
    if (params.is_training != 0u) {
        x = input[at];
    }
    var result = gradient(vec4<f32>(grad_output[params.base + at]), vec4<f32>(x), terms).x;
    if (params.adds != 0u) {
        result += grad_input[params.base + at];
    }
    grad_input[params.base + at] = result;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn input_elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.total) {
        element_gradient(index, terms_of(index / params.inner % params.channels));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn input_planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner, params.total);
    let terms = terms_of(part.channel);
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        element_gradient(at, terms);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn input_blocks_of_planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner / 4u, params.total / 4u);
    let terms = terms_of(part.channel);
    let base = params.base / 4u;
    for (var at = part.first; at < part.end; at += WORKGROUP_SIZE) {
        var x: vec4<f32>;
        if (params.is_training != 0u) {
            x = input_blocks[at];
        }
        var result = gradient(grad_output_blocks[base + at], x, terms);
        if (params.adds != 0u) {
            result += grad_input_blocks[base + at];
        }
        grad_input_blocks[base + at] = result;
    }
}
