// parts: pairs, sum_terms|prelu_terms
// Sums over channels: target[c] = sum over o and i of term[o, c, i], of an array [outer, channels, inner].
//
// A channel is shared by `lanes` invocations, each of which adds every lanes-th element or block of it:
//   elements, blocks    neighbouring invocations have neighbouring elements of a channel, or blocks of 4
//   columns             where inner is 1: neighbouring invocations have neighbouring channels
//   columns_of_blocks   the same, with 4 channels an invocation
// With one lane they write the target, otherwise partial sums, which `finish` adds: OWN invocations share those of a channel,
// and add theirs as a tree. The order is fixed, and a sum is a pair of f32 (value, what its rounding lost), good to about
// twice the digits.

struct Params {
    channels: u32,
    // Of a channel in all, and for one index of outer, in elements or blocks; for columns the rows, and 1.
    count: u32,
    inner: u32,
    lanes: u32,
    // lanes = step_outer * inner + step_inner.
    step_outer: u32,
    step_inner: u32,
    // Where the source begins in its binding, in elements or blocks.
    source_base: u32,
    target_base: u32,
    workspace_base: u32,
    // The distance between partial sums of neighbouring channels, and of neighbouring lanes.
    partial_channel: u32,
    partial_lane: u32,
    // Whether sums are added to what is there.
    adds: u32,
    hidden_zero: u32,       // always 0
}

override WORKGROUP_SIZE: u32 = 64u;
override OWN: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> results: array<f32>;         // target or partials
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;        // pairs, [channels, lanes] or [lanes, channels]

var<workgroup> lane_sums: array<vec2<f32>, WORKGROUP_SIZE>;

// 4 pairs: values, and what their rounding lost.
struct Pairs {
    values: vec4<f32>,
    lost: vec4<f32>,
}

fn add_block(sums: Pairs, block: vec4<f32>) -> Pairs {
    let total = hidden_block(sums.values + block);
    let is_larger = abs(sums.values) >= abs(block);
    let larger = select(block, sums.values, is_larger);
    let smaller = select(sums.values, block, is_larger);
    return Pairs(total, sums.lost + (smaller - (total - larger)));
}

fn partial_at(channel: u32, lane: u32) -> u32 {
    return params.workspace_base + 2u * (channel * params.partial_channel + lane * params.partial_lane);
}

fn write_target(channel: u32, sum: vec2<f32>) {
    let at = params.target_base + channel;
    var total = sum;
    if (params.adds != 0u) {
        total = add(total, results[at]);
    }
    results[at] = rounded(total);
}

fn write(channel: u32, lane: u32, sum: vec2<f32>) {
    if (params.lanes == 1u) {
        write_target(channel, sum);
    } else {
        let at = partial_at(channel, lane);
        results[at] = sum.x;
        results[at + 1u] = sum.y;
    }
}

// An element of a channel: its index there, within outer's, and in the array.
struct Place {
    index: u32,
    offset: u32,
    at: u32,
}

fn first_place(channel: u32, lane: u32) -> Place {
    let outer = lane / params.inner;
    let offset = lane - outer * params.inner;
    return Place(lane, offset, params.source_base + (outer * params.channels + channel) * params.inner + offset);
}

// The lane's next element.
fn next_place(place: Place) -> Place {
    let offset = place.offset + params.step_inner;
    let at = place.at + params.step_outer * params.channels * params.inner + params.step_inner;
    let is_past = offset >= params.inner;
    return Place(
        place.index + params.lanes,
        select(offset, offset - params.inner, is_past),
        select(at, at + (params.channels - 1u) * params.inner, is_past),
    );
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    let channel = number / params.lanes;
    if (channel >= params.channels) {
        return;
    }
    let own = number - channel * params.lanes;
    var sum: vec2<f32>;
    for (var place = first_place(channel, own); place.index < params.count; place = next_place(place)) {
        sum = add(sum, term(place.at));
    }
    write(channel, own, sum);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    let channel = number / params.lanes;
    if (channel >= params.channels) {
        return;
    }
    let own = number - channel * params.lanes;
    var sums: Pairs;
    for (var place = first_place(channel, own); place.index < params.count; place = next_place(place)) {
        sums = add_block(sums, block_of_terms(place.at));
    }
    let sum = add_pair(
        add_pair(vec2<f32>(sums.values.x, sums.lost.x), vec2<f32>(sums.values.y, sums.lost.y)),
        add_pair(vec2<f32>(sums.values.z, sums.lost.z), vec2<f32>(sums.values.w, sums.lost.w)),
    );
    write(channel, own, sum);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn columns(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    let own = number / params.channels;
    if (own >= params.lanes) {
        return;
    }
    let channel = number - own * params.channels;
    var sum: vec2<f32>;
    for (var row = own; row < params.count; row += params.lanes) {
        sum = add(sum, term(params.source_base + row * params.channels + channel));
    }
    write(channel, own, sum);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn columns_of_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    let blocks_of_channels = params.channels / 4u;
    let own = number / blocks_of_channels;
    if (own >= params.lanes) {
        return;
    }
    let block = number - own * blocks_of_channels;
    var sums: Pairs;
    for (var row = own; row < params.count; row += params.lanes) {
        sums = add_block(sums, block_of_terms(params.source_base + row * blocks_of_channels + block));
    }
    write(4u * block, own, vec2<f32>(sums.values.x, sums.lost.x));
    write(4u * block + 1u, own, vec2<f32>(sums.values.y, sums.lost.y));
    write(4u * block + 2u, own, vec2<f32>(sums.values.z, sums.lost.z));
    write(4u * block + 3u, own, vec2<f32>(sums.values.w, sums.lost.w));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * (WORKGROUP_SIZE / OWN) + lane / OWN;
    let first = lane % OWN;
    var sum: vec2<f32>;
    for (var own = first; own < select(0u, params.lanes, channel < params.channels); own += OWN) {
        let at = partial_at(channel, own);
        sum = add_pair(sum, vec2<f32>(partials[at], partials[at + 1u]));
    }
    if (OWN > 1u) {
        lane_sums[lane] = sum;
        workgroupBarrier();
        for (var width = OWN / 2u; width > 0u; width /= 2u) {
            if (first < width) {
                lane_sums[lane] = add_pair(lane_sums[lane], lane_sums[lane + width]);
            }
            workgroupBarrier();
        }
        sum = lane_sums[lane];
    }
    if (first == 0u && channel < params.channels) {
        write_target(channel, sum);
    }
}
