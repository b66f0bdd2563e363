// The gradients of 16 channels at 4 pixels, as in parts/grads.wgsl, where the invocations of a subgroup share loads: each
// loads those of one channel of 8, or of 4 in subgroups of 4. See parts/weights_subgroup.wgsl. All invocations of a
// workgroup must call these with the same places.

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_id: u32,
}

// Where the planes begin of the channels that this invocation loads.
struct GradPlaces {
    is_wide: bool,
    own: vec4<i32>,
}

fn grad_places(lane: Lane, begin: i32, last: i32, step: i32) -> GradPlaces {
    let is_wide = lane.subgroup_size >= 8u;
    let first = i32(select(lane.subgroup_id & 3u, lane.subgroup_id & 7u, is_wide));
    let channels = first + select(vec4<i32>(0, 4, 8, 12), vec4<i32>(0, 0, 8, 8), is_wide);
    return GradPlaces(is_wide, begin + min(channels, vec4<i32>(last)) * step);
}

struct Grads {
    is_wide: bool,
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn load_grads(places: GradPlaces, at: i32) -> Grads {
    var grads: Grads;
    grads.is_wide = places.is_wide;
    grads.a = load_grad(places.own.x + at);
    if (CHANNELS > 4 && !places.is_wide) {
        grads.b = load_grad(places.own.y + at);
    }
    if (CHANNELS > 8) {
        grads.c = load_grad(places.own.z + at);
        if (!places.is_wide) {
            grads.d = load_grad(places.own.w + at);
        }
    }
    return grads;
}

fn broadcast_0(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 0u),
        subgroupBroadcast(x.y, 0u),
        subgroupBroadcast(x.z, 0u),
        subgroupBroadcast(x.w, 0u),
    );
}

fn broadcast_1(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 1u),
        subgroupBroadcast(x.y, 1u),
        subgroupBroadcast(x.z, 1u),
        subgroupBroadcast(x.w, 1u),
    );
}

fn broadcast_2(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 2u),
        subgroupBroadcast(x.y, 2u),
        subgroupBroadcast(x.z, 2u),
        subgroupBroadcast(x.w, 2u),
    );
}

fn broadcast_3(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 3u),
        subgroupBroadcast(x.y, 3u),
        subgroupBroadcast(x.z, 3u),
        subgroupBroadcast(x.w, 3u),
    );
}

fn broadcast_4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 4u),
        subgroupBroadcast(x.y, 4u),
        subgroupBroadcast(x.z, 4u),
        subgroupBroadcast(x.w, 4u),
    );
}

fn broadcast_5(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 5u),
        subgroupBroadcast(x.y, 5u),
        subgroupBroadcast(x.z, 5u),
        subgroupBroadcast(x.w, 5u),
    );
}

fn broadcast_6(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 6u),
        subgroupBroadcast(x.y, 6u),
        subgroupBroadcast(x.z, 6u),
        subgroupBroadcast(x.w, 6u),
    );
}

fn broadcast_7(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(x.x, 7u),
        subgroupBroadcast(x.y, 7u),
        subgroupBroadcast(x.z, 7u),
        subgroupBroadcast(x.w, 7u),
    );
}

// Of each of the 16 channels.
fn grad_0(grads: Grads) -> vec4<f32> {
    return broadcast_0(grads.a);
}

fn grad_1(grads: Grads) -> vec4<f32> {
    return broadcast_1(grads.a);
}

fn grad_2(grads: Grads) -> vec4<f32> {
    return broadcast_2(grads.a);
}

fn grad_3(grads: Grads) -> vec4<f32> {
    return broadcast_3(grads.a);
}

fn grad_4(grads: Grads) -> vec4<f32> {
    return select(broadcast_0(grads.b), broadcast_4(grads.a), grads.is_wide);
}

fn grad_5(grads: Grads) -> vec4<f32> {
    return select(broadcast_1(grads.b), broadcast_5(grads.a), grads.is_wide);
}

fn grad_6(grads: Grads) -> vec4<f32> {
    return select(broadcast_2(grads.b), broadcast_6(grads.a), grads.is_wide);
}

fn grad_7(grads: Grads) -> vec4<f32> {
    return select(broadcast_3(grads.b), broadcast_7(grads.a), grads.is_wide);
}

fn grad_8(grads: Grads) -> vec4<f32> {
    return broadcast_0(grads.c);
}

fn grad_9(grads: Grads) -> vec4<f32> {
    return broadcast_1(grads.c);
}

fn grad_10(grads: Grads) -> vec4<f32> {
    return broadcast_2(grads.c);
}

fn grad_11(grads: Grads) -> vec4<f32> {
    return broadcast_3(grads.c);
}

fn grad_12(grads: Grads) -> vec4<f32> {
    return select(broadcast_0(grads.d), broadcast_4(grads.c), grads.is_wide);
}

fn grad_13(grads: Grads) -> vec4<f32> {
    return select(broadcast_1(grads.d), broadcast_5(grads.c), grads.is_wide);
}

fn grad_14(grads: Grads) -> vec4<f32> {
    return select(broadcast_2(grads.d), broadcast_6(grads.c), grads.is_wide);
}

fn grad_15(grads: Grads) -> vec4<f32> {
    return select(broadcast_3(grads.d), broadcast_7(grads.c), grads.is_wide);
}
