// The weights of 8 channels at a time, for kernels whose invocations all need the same ones.

// How many output channels an invocation computes: 1, 4, 8 or 16.
override CHANNELS: i32 = 16;

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

struct Weights {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Where the weights of 8 channels begin.
struct WeightPlaces {
    low: vec4<i32>,
    high: vec4<i32>,
}

// From `channel` on, `step` apart. Past the last channel, that of the last channel again.
fn weight_places(lane: Lane, begin: i32, channel: i32, last: i32, step: i32) -> WeightPlaces {
    return WeightPlaces(
        begin + min(channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(last)) * step,
        begin + min(channel + vec4<i32>(4, 5, 6, 7), vec4<i32>(last)) * step,
    );
}

fn load_weights(places: WeightPlaces, at: i32) -> Weights {
    let low = places.low + at;
    let high = places.high + at;
    var weights: Weights;
    weights.low.x = weight[low.x];
    if (CHANNELS > 1) {
        weights.low.y = weight[low.y];
        weights.low.z = weight[low.z];
        weights.low.w = weight[low.w];
    }
    if (CHANNELS > 4) {
        weights.high = vec4<f32>(weight[high.x], weight[high.y], weight[high.z], weight[high.w]);
    }
    return weights;
}
