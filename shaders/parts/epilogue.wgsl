// parts: activations
// What an operator does with its sums before it stores them: it adds a residual, and applies an activation. params.epilogue
// has: whether there is a residual here, the bits of a slope below 0, and the number of slopes in activation_weight, or 0.

@group(0) @binding(6) var<storage, read> residual: array<f32>;                 // as output
@group(0) @binding(7) var<storage, read> activation_weight: array<f32>;        // [slopes]

fn slope_of(channel: i32) -> f32 {
    if (params.epilogue.z == 0u) {
        return bitcast<f32>(params.epilogue.y);
    }
    return activation_weight[u32(channel) % params.epilogue.z];
}

// The sum at `at` in the output, of a channel of all groups.
fn finished(sum: f32, at: i32, channel: i32) -> f32 {
    var x = sum;
    if (params.epilogue.x != 0u) {
        x += residual[at];
    }
    return bitcast<f32>(activated(vec4<u32>(bitcast<u32>(x)), vec4<f32>(slope_of(channel))).x);
}

// The same for 4 sums of one channel next to each other.
fn finished_block(sums: vec4<f32>, block: i32, channel: i32) -> vec4<f32> {
    var x = sums;
    if (params.epilogue.x != 0u) {
        let at = 4 * block;
        x += vec4<f32>(residual[at], residual[at + 1], residual[at + 2], residual[at + 3]);
    }
    return bitcast<vec4<f32>>(activated(bitcast<vec4<u32>>(x), vec4<f32>(slope_of(channel))));
}
