// The direction of a step of sgd with momentum, and the buffer's update: b = momentum b + (1 - dampening) g, and at the first
// step b = g, whatever the buffer holds. The direction is b, with nesterov g + momentum b. `advance`, in one invocation, comes
// first: it counts the step, and tells by rates[1] whether it is the first.

@group(0) @binding(4) var<storage, read_write> momentum_buffer: array<f32>;
@group(0) @binding(4) var<storage, read_write> momentum_blocks: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> lr: array<f32>;
@group(0) @binding(6) var<storage, read_write> step: array<f32>;                // how many steps were made
@group(0) @binding(7) var<storage, read_write> next_rates: array<f32>;          // the same as rates

fn moved(before: vec4<f32>, gradient: vec4<f32>) -> vec4<f32> {
    return select(params.momentum * before + params.undamped * gradient, gradient, vec4<bool>(rates[1] == 1.0));
}

fn followed(buffer: vec4<f32>, gradient: vec4<f32>) -> vec4<f32> {
    if (params.nesterov != 0u) {
        return gradient + params.momentum * buffer;
    }
    return buffer;
}

fn direction(at: u32, gradient: f32) -> f32 {
    let buffer = moved(vec4<f32>(momentum_buffer[at]), vec4<f32>(gradient));
    momentum_buffer[at] = buffer.x;
    return followed(buffer, vec4<f32>(gradient)).x;
}

fn direction_of_block(block: u32, gradient: vec4<f32>) -> vec4<f32> {
    let buffer = moved(momentum_blocks[block], gradient);
    momentum_blocks[block] = buffer;
    return followed(buffer, gradient);
}

@compute @workgroup_size(1)
fn advance(@builtin(workgroup_id) workgroup: vec3<u32>) {
    if (workgroup.x + workgroup.y == 0u) {
        next_rates[0] = lr[0];
        next_rates[1] = select(0.0, 1.0, step[0] == 0.0);
        step[0] += 1.0;
    }
}
