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

// Of a channel below 16. Past the last channel, that of the last.
fn grad_of(grads: Grads, channel: i32) -> vec4<f32> {
    return load_grad(grads.places.begin + min(channel, grads.places.last) * grads.places.step + grads.at);
}
