// The weights of 8 channels at a time, as in parts/weights.wgsl, where the invocations of a subgroup share loads.
//
// On adapters that run on a CPU a load from a storage buffer is a loop over the invocations of a subgroup, and takes as
// long as 20 broadcasts and 50 multiplications. So each invocation loads one weight of the 8, and all read it from
// there. All invocations of a workgroup must call load_weights with the same place.

// How many output channels an invocation computes: 1, 4, 8 or 16.
override CHANNELS: i32 = 16;

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_id: u32,
}

struct Weights {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Where the weights begin that this invocation loads: one of the 8, or two in subgroups of 4.
struct WeightPlaces {
    is_wide: bool,
    first: i32,
    second: i32,
}

// From `channel` on, `step` apart. Past the last channel, that of the last channel again.
fn weight_places(lane: Lane, begin: i32, channel: i32, last: i32, step: i32) -> WeightPlaces {
    let is_wide = lane.subgroup_size >= 8u;
    let own = channel + i32(select(lane.subgroup_id & 3u, lane.subgroup_id & 7u, is_wide));
    return WeightPlaces(is_wide, begin + min(own, last) * step, begin + min(own + 4, last) * step);
}

fn load_weights(places: WeightPlaces, at: i32) -> Weights {
    let first = weight[places.first + at];
    var second = first;
    if (CHANNELS > 4 && !places.is_wide) {
        second = weight[places.second + at];
    }
    let low = vec4<f32>(
        subgroupBroadcast(first, 0u),
        subgroupBroadcast(first, 1u),
        subgroupBroadcast(first, 2u),
        subgroupBroadcast(first, 3u),
    );
    let wide_high = vec4<f32>(
        subgroupBroadcast(first, 4u),
        subgroupBroadcast(first, 5u),
        subgroupBroadcast(first, 6u),
        subgroupBroadcast(first, 7u),
    );
    let narrow_high = vec4<f32>(
        subgroupBroadcast(second, 0u),
        subgroupBroadcast(second, 1u),
        subgroupBroadcast(second, 2u),
        subgroupBroadcast(second, 3u),
    );
    return Weights(low, select(narrow_high, wide_high, places.is_wide));
}
