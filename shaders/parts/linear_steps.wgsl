// The matrix a of the products in linear_backward.wgsl, element by element.

@group(0) @binding(1) var<storage, read> a: array<f32>;

fn a_of(row: u32, step: u32) -> f32 {
    return a[params.a_base + min(row, params.rows - 1u) * params.a_row + step * params.a_step];
}

fn a_steps(row: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(a_of(row, step), a_of(row, step + 1u), a_of(row, step + 2u), a_of(row, step + 3u));
}

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

// 4 rows, which are columns here, and 4 steps. Rows past the last are like the last, and what is computed of them is not
// stored.
fn a_quad(_lane: Lane, row: u32, step: u32) -> mat4x4<f32> {
    return mat4x4<f32>(a_steps(row, step), a_steps(row + 1u, step), a_steps(row + 2u, step), a_steps(row + 3u, step));
}
