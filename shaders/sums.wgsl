// parts: sums, sum_terms|prelu_terms|square_terms|walk_terms
// Sums over channels: target[c] = factor * sum over o and i of term[o, c, i], of an array [outer, channels, inner].
//
// A channel is shared by `lanes` invocations, each of which adds every lanes-th element or block of it:
//   elements, blocks    neighbouring invocations have neighbouring elements of a channel, or blocks of 4
//   columns             where inner is 1: neighbouring invocations have neighbouring channels
//   columns_of_blocks   the same, with 4 channels an invocation
// With one lane they write the target, otherwise partial sums, which sums_finish.wgsl adds. The order is fixed, and a sum is a
// pair of f32 (value, what its rounding lost), good to about twice the digits.

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
