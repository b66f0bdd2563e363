// parts: bits
// clip_grad_norm: the gradient times min(1, max_norm / (total_norm + 1e-6)), where total_norm is the root of the sum of its
// squares. sums.wgsl has added the squares up in total_norm. `norm`, in one invocation, takes their root; then `blocks` and
// `elements` scale a block of 4 elements, or a single one, an invocation.

struct Params {
    count: u32,
    base: u32,              // where the gradient begins in its binding, in elements
    max_norm: f32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> total_norm: array<f32>;
@group(0) @binding(2) var<storage, read> known_norm: array<f32>;               // the same as total_norm
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_blocks: array<vec4<f32>>;

@compute @workgroup_size(1)
fn norm(@builtin(workgroup_id) workgroup: vec3<u32>) {
    if (workgroup.x + workgroup.y == 0u) {
        total_norm[0] = sqrt(total_norm[0]);
    }
}

// Where the norm is NaN, so is this. Comparisons of NaN are not to be relied on.
fn coefficient() -> f32 {
    let ratio = params.max_norm / (known_norm[0] + 1e-6);
    if (is_nan(ratio)) {
        return not_a_number();
    }
    return min(ratio, 1.0);
}

// count is that of blocks.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        grad_blocks[params.base / 4u + block] *= coefficient();
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        grad[params.base + index] *= coefficient();
    }
}
