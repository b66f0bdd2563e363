// Rows of scores, [outer, classes, inner]. A file that names this has Params with rows, classes, inner and input_base.
//
// A workgroup has WORKGROUP_SIZE / LANES rows, and LANES invocations along the classes of each.

override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 1u;

// Always 0, which a driver cannot know. Mesa compiles a kernel anew for every dispatch if only uniforms decide how
// often a loop runs that it can unroll, or whether much of the kernel runs.
var<private> nothing: u32;

struct Row {
    index: u32,
    // Where its first class is in input.
    begin: u32,
    lane: u32,
    exists: bool,
}

fn row_of(workgroup_index: u32, invocation: u32) -> Row {
    var row: Row;
    row.index = workgroup_index * (WORKGROUP_SIZE / LANES) + invocation / LANES;
    row.begin = params.input_base + row.index / params.inner * params.classes * params.inner + row.index % params.inner;
    row.lane = invocation % LANES + nothing;
    row.exists = row.index < params.rows;
    return row;
}

// The steps in which a row's invocations visit its classes, 4 classes an invocation.
fn steps_of(row: Row) -> u32 {
    let classes_per_step = 4u * LANES;
    return select(0u, (params.classes + classes_per_step - 1u) / classes_per_step, row.exists);
}

fn is_set(flag: u32) -> bool {
    return (flag | nothing) != 0u;
}
