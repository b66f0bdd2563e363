// parts: activations
// What an operator does with its sums before it stores them: it adds a residual, and applies an activation. params.epilogue
// has the bits of a slope below 0, and the number of slopes in activation_weight, or 0.

// 1 if there is a residual here.
override HAS_RESIDUAL: u32 = 0u;

@group(0) @binding(6) var<storage, read> residual: array<f32>;                 // as output
@group(0) @binding(7) var<storage, read> activation_weight: array<f32>;        // [slopes]

fn slope_of(channel: i32) -> f32 {
    if (params.epilogue.y == 0u) {
        return bitcast<f32>(params.epilogue.x);
    }
    return activation_weight[u32(channel) % params.epilogue.y];
}

// The sum at `at` in the output, of a channel of all groups.
fn finished(sum: f32, at: i32, channel: i32) -> f32 {
    var x = sum;
    if (HAS_RESIDUAL != 0u) {
        x += residual[at];
    }
    return bitcast<f32>(activated(vec4<u32>(bitcast<u32>(x)), vec4<f32>(slope_of(channel))).x);
}

// The same for 4 sums of one channel, next to each other.
fn finished_block(sums: vec4<f32>, block: i32, channel: i32) -> vec4<f32> {
    return finished_pixels(sums, 4 * block + vec4<i32>(0, 1, 2, 3), channel);
}

// And anywhere.
fn finished_pixels(sums: vec4<f32>, at: vec4<i32>, channel: i32) -> vec4<f32> {
    var x = sums;
    if (HAS_RESIDUAL != 0u) {
        x += vec4<f32>(residual[at.x], residual[at.y], residual[at.z], residual[at.w]);
    }
    return bitcast<vec4<f32>>(activated(bitcast<vec4<u32>>(x), vec4<f32>(slope_of(channel))));
}
