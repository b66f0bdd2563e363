// parts: row, pairs, exponentials
// The exponentials of rows of scores. A file that names this has Params with a hidden_zero, and says how scores are loaded:
// classes or classes_in_blocks.

var<workgroup> exponentials: array<Exponentials, WORKGROUP_SIZE>;

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
    let steps = steps_of(row);
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
