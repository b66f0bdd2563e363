// parts: bits, pairs
// The statistics of batch_norm: sums of deviations from a center, and of their squares. The center is the rounded mean
// of an invocation's own elements; merging two statistics moves one to the other's center. So a mean far larger than
// the spread costs no digits. Sums are pairs of f32: see parts/pairs.wgsl.
//
// Statistics with infinities or NaN have their sum as the center. Where squares would overflow, statistics are those of
// all values times TINY.

override ITEMS: u32 = 32u;

// The largest ITEMS.
const MAX_ITEMS: u32 = 32u;

// For numbers so large that their squares overflow.
const TINY: f32 = 0x1p-90f;
// If centers are further apart than this, or squares larger, statistics are made tiny before they are merged.
const FAR: f32 = 0x1p46f;
const LARGE: f32 = 0x1p92f;

// Sums over `count` elements x, each times `scale`, which is 1 or TINY, of x - center and (x - center)^2, as pairs.
struct Statistics {
    count: f32,
    scale: f32,
    center: f32,
    deviations: vec2<f32>,
    squares: vec2<f32>,
}

// Infinities and NaN as they are, 0 for all other numbers.
fn infinite_part(x: f32) -> f32 {
    return select(x, 0.0, is_finite(x));
}

fn merge(a: Statistics, b: Statistics) -> Statistics {
    if (a.count == 0.0) {
        return b;
    }
    if (b.count == 0.0) {
        return a;
    }
    if (!is_finite(a.center) || !is_finite(b.center)) {
        let center = infinite_part(a.center) + infinite_part(b.center);
        return Statistics(a.count + b.count, 1.0, center, vec2<f32>(), vec2<f32>());
    }
    let is_large = a.scale * b.scale < 1.0 || max(a.squares.x, b.squares.x) > LARGE || abs(b.center - a.center) > FAR;
    return merge_alike(made_tiny(a, is_large), made_tiny(b, is_large));
}

fn made_tiny(a: Statistics, is_large: bool) -> Statistics {
    let factor = select(1.0, TINY, is_large && a.scale == 1.0);
    return Statistics(
        a.count,
        a.scale * factor,
        a.center * factor,
        a.deviations * factor,
        // The square of `factor` would be 0.
        a.squares * factor * factor,
    );
}

// Both have the same scale and are finite.
fn merge_alike(a: Statistics, b: Statistics) -> Statistics {
    // From a's center, all of b's deviations are larger by this.
    let step = subtract(b.center, a.center);
    let steps = product(step, vec2<f32>(b.count, 0.0));
    let cross = 2.0 * product(step, b.deviations);
    return Statistics(
        a.count + b.count,
        a.scale,
        a.center,
        add_pair(add_pair(a.deviations, b.deviations), steps),
        add_pair(add_pair(a.squares, b.squares), add_pair(cross, product(step, steps))),
    );
}

// The statistics of the first `count` values, each times `scale`.
fn statistics_at(values: ptr<function, array<f32, MAX_ITEMS>>, count: u32, scale: f32) -> Statistics {
    var sum = vec2<f32>(0.0, 0.0);
    for (var item = 0u; item < min(count, ITEMS); item++) {
        sum = add(sum, (*values)[item] * scale);
    }
    var result = Statistics(f32(count), scale, rounded(sum) / f32(max(count, 1u)), vec2<f32>(), vec2<f32>());
    for (var item = 0u; item < min(count, ITEMS); item++) {
        let deviation = subtract((*values)[item] * scale, result.center);
        result.deviations = add_pair(result.deviations, deviation);
        result.squares = add(result.squares, deviation.x * deviation.x);
        result.squares.y += 2.0 * deviation.x * deviation.y;
    }
    return result;
}

// The statistics of the first `count` values.
fn statistics_of(values: ptr<function, array<f32, MAX_ITEMS>>, count: u32) -> Statistics {
    let plain = statistics_at(values, count, 1.0);
    if (is_finite(plain.squares.x)) {
        return plain;
    }
    var infinite_sum = 0.0;
    for (var item = 0u; item < min(count, ITEMS); item++) {
        infinite_sum += infinite_part((*values)[item]);
    }
    if (!is_finite(infinite_sum)) {
        return Statistics(f32(count), 1.0, infinite_sum, vec2<f32>(), vec2<f32>());
    }
    return statistics_at(values, count, TINY);
}
