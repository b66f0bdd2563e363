// What the adapter can do at most: a copy that only moves data, and arithmetic that only multiplies and adds.

@group(0) @binding(0) var<storage, read> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4f>;

// One vec4 an invocation.
@compute @workgroup_size(64)
fn copy(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if (index < arrayLength(&source)) {
        destination[index] = source[index];
    }
}

// 8 vec4 of accumulators, 512 times 8 multiply-adds of them: 32,768 operations an invocation.
@compute @workgroup_size(64)
fn multiply_add(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.x * 64u + lane;
    let factor = source[index & 63u];
    var a = factor;
    var b = factor + 1.0;
    var c = factor + 2.0;
    var d = factor + 3.0;
    var e = factor + 4.0;
    var f = factor + 5.0;
    var g = factor + 6.0;
    var h = factor + 7.0;
    for (var step = 0u; step < 512u; step++) {
        a = fma(a, factor, factor);
        b = fma(b, factor, factor);
        c = fma(c, factor, factor);
        d = fma(d, factor, factor);
        e = fma(e, factor, factor);
        f = fma(f, factor, factor);
        g = fma(g, factor, factor);
        h = fma(h, factor, factor);
    }
    destination[index] = a + b + c + d + e + f + g + h;
}
