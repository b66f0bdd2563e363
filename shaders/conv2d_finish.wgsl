// parts: epilogue
// What convolutions and linear run beside their sums where those cannot be finished as they are stored: where a sum is cut
// into several dispatches, and on devices that bind few buffers. `copy_residual` comes before the sums, which are then
// added to it, and `activate` after them.

struct Params {
    epilogue: vec4<u32>,    // see epilogue.wgsl
    count: u32,
    inner: u32,             // elements of a channel
    channels: u32,          // of all groups
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;             // [batch, channels, inner]

@compute @workgroup_size(WORKGROUP_SIZE)
fn copy_residual(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        output[params.output_base + index] = residual[params.output_base + index];
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn activate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.output_base + index;
        let slope = slope_of(i32(index / params.inner % params.channels));
        output[at] = bitcast<f32>(activated(vec4<u32>(bitcast<u32>(output[at])), vec4<f32>(slope)).x);
    }
}
