// The gradients of 16 channels at 4 pixels, for kernels whose invocations all need the same ones.

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

// Where the channels' planes begin.
struct GradPlaces {
    begin: i32,
    last: i32,
    step: i32,
}

fn grad_places(lane: Lane, begin: i32, last: i32, step: i32) -> GradPlaces {
    return GradPlaces(begin, last, step);
}

struct Grads {
    places: GradPlaces,
    at: i32,
}

fn load_grads(places: GradPlaces, at: i32) -> Grads {
    return Grads(places, at);
}

// Of one of the 16 channels. Past the last channel, that of the last.
fn grad_at(grads: Grads, channel: i32) -> vec4<f32> {
    return load_grad(grads.places.begin + min(channel, grads.places.last) * grads.places.step + grads.at);
}

fn grad_0(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 0);
}

fn grad_1(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 1);
}

fn grad_2(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 2);
}

fn grad_3(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 3);
}

fn grad_4(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 4);
}

fn grad_5(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 5);
}

fn grad_6(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 6);
}

fn grad_7(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 7);
}

fn grad_8(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 8);
}

fn grad_9(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 9);
}

fn grad_10(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 10);
}

fn grad_11(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 11);
}

fn grad_12(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 12);
}

fn grad_13(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 13);
}

fn grad_14(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 14);
}

fn grad_15(grads: Grads) -> vec4<f32> {
    return grad_at(grads, 15);
}
