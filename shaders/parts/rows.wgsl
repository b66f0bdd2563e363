// parts: pairs, exponentials
// Rows of scores, and the exponentials of each. A file that names this has Params with rows, classes, inner, hidden_zero
// and input_base, and says how scores are loaded: classes or classes_in_blocks.
//
// A workgroup has WORKGROUP_SIZE / LANES rows, and LANES invocations along the classes of each.

override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 1u;

var<workgroup> exponentials: array<Exponentials, WORKGROUP_SIZE>;

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

fn is_set(flag: u32) -> bool {
    return (flag | nothing) != 0u;
}

// The exponentials of scores as they are visited, 4 sums beside each other.
struct Visited {
    largest: vec4<f32>,
    center: vec4<f32>,
    // With what their rounding lost, beyond its sign.
    others: vec4<f32>,
    lost: vec4<f32>,
    nans: vec4<u32>,
}

fn none_visited() -> Visited {
    return Visited(vec4<f32>(negative_infinity()), vec4<f32>(LOWEST), vec4<f32>(), vec4<f32>(), vec4<u32>());
}

fn visit(visited: ptr<function, Visited>, x: vec4<f32>) {
    (*visited).nans |= vec4<u32>(is_each_nan(x));
    let is_beyond = x - (*visited).center > vec4<f32>(REACH);
    if (any(is_beyond)) {
        let factor = exponential(select(vec4<f32>(), (*visited).center - x, is_beyond));
        (*visited).others *= factor;
        (*visited).lost *= factor;
        (*visited).center = select((*visited).center, x, is_beyond);
    }
    let other = exponential(min(x, (*visited).largest) - (*visited).center) - (*visited).lost;
    (*visited).largest = max(x, (*visited).largest);
    let total = hidden_block((*visited).others + other);
    (*visited).lost = (total - (*visited).others) - other;
    (*visited).others = total;
}

// One of the 4 sums.
fn visited_at(visited: Visited, index: u32) -> Exponentials {
    let others = vec2<f32>(visited.others[index], -visited.lost[index]);
    return Exponentials(visited.largest[index], visited.center[index], others);
}

// The exponentials of a row, about its largest score, which is NaN if the row has one.
fn add_exponentials(row: Row, invocation: u32) -> Exponentials {
    var visited = none_visited();
    let classes_per_step = 4u * LANES;
    let steps = select(0u, (params.classes + classes_per_step - 1u) / classes_per_step, row.exists);
    for (var step = 0u; step < steps; step++) {
        visit(&visited, load_classes(row, step));
    }
    var sum = merge(
        merge(visited_at(visited, 0u), visited_at(visited, 1u)),
        merge(visited_at(visited, 2u), visited_at(visited, 3u)),
    );
    if (any(visited.nans != vec4<u32>())) {
        sum.largest = not_a_number();
    }
    exponentials[invocation] = sum;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (row.lane < width) {
            let mine = exponentials[invocation];
            let other = exponentials[invocation + width];
            exponentials[invocation] = merge(mine, other);
            if (is_nan(mine.largest) || is_nan(other.largest)) {
                exponentials[invocation].largest = not_a_number();
            }
        }
        workgroupBarrier();
    }
    return exponentials[invocation - row.lane];
}
