// The matrix a of the products in linear_backward.wgsl, in blocks of 4: of rows, if a_row is 1, otherwise of steps.

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

// 4 rows, which are columns here, and 4 steps. Rows past the last are like the last, and what is computed of them is not
// stored.
fn a_quad(_lane: Lane, row: u32, step: u32) -> mat4x4<f32> {
    let last = params.rows - 1u;
    if (params.a_row == 1u) {
        let at = (params.a_base + step * params.a_step + min(row, last & ~3u)) / 4u;
        let next = params.a_step / 4u;
        return transpose(mat4x4<f32>(a[at], a[at + next], a[at + 2u * next], a[at + 3u * next]));
    }
    let at = (params.a_base + step) / 4u;
    let next = params.a_row / 4u;
    return mat4x4<f32>(
        a[at + min(row, last) * next],
        a[at + min(row + 1u, last) * next],
        a[at + min(row + 2u, last) * next],
        a[at + min(row + 3u, last) * next],
    );
}

fn a_of(row: u32, step: u32) -> f32 {
    let at = params.a_base + min(row, params.rows - 1u) * params.a_row + step * params.a_step;
    return a[at / 4u][at % 4u];
}
