// parts: rows, log
// The losses of cross_entropy's rows. With p = softmax over the classes of input, w the classes' weights (1 without), y the
// row's class and e the label smoothing, the loss of a row is
//     (1 - e) w[y] (-log p[y]) + e / classes * sum over c of w[c] (-log p[c])         for class indices
//     sum over c of w[c] ((1 - e) t[c] + e / classes) (-log p[c])                     for probabilities t
// A row whose class is ignore_index has the loss 0. An invalid class index gives NaN; callers check the indices that they
// know.
//
// -log p[c] = (m - x[c]) + log(1 + r), where m is the row's largest x and r the sum of exp(x[c] - m) over all others.
// This keeps the digits of a small loss. One pass computes both, with r about a center near m: see
// parts/exponentials.wgsl. Sums are pairs of f32: see parts/pairs.wgsl.
//
// A file that names this has Params with ignore_index, has_ignore_index, has_weight, label_smoothing and target_base, binds
// target_classes, and defines weight_at(class), probability_at(position) and write_row(row, loss, count in the mean).

var<workgroup> class_sums: array<vec2<f32>, WORKGROUP_SIZE>;

fn is_smoothed() -> bool {
    return is_set(bitcast<u32>(params.label_smoothing));
}

fn class_weight(class_index: u32) -> f32 {
    if (!is_set(params.has_weight)) {
        return 1.0;
    }
    return weight_at(class_index);
}

// The target of a class in the loss.
fn smoothed(probability: f32) -> f32 {
    return (1.0 - params.label_smoothing) * probability + params.label_smoothing / f32(params.classes);
}

fn is_ignored(class_index: i32) -> bool {
    return is_set(params.has_ignore_index) && class_index == params.ignore_index;
}

fn is_class(class_index: i32) -> bool {
    return class_index >= 0 && u32(class_index) < params.classes;
}

// Adds what a row's invocations have of a sum over classes, into the element of class_sums of the first of them.
fn add_class_sums(row: Row, invocation: u32, sum: vec2<f32>) {
    class_sums[invocation] = sum;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (row.lane < width) {
            class_sums[invocation] = add_pair(class_sums[invocation], class_sums[invocation + width]);
        }
        workgroupBarrier();
    }
}

// -log p of a class as a pair, from its x.
fn negative_log(maximum: f32, x: f32, log_sum: f32) -> vec2<f32> {
    return add(subtract(maximum, x), log_sum);
}

// Computes and writes the loss of a row with a class index. All invocations of a workgroup call it together.
fn add_class_loss(row: Row, invocation: u32, exponentials: Exponentials) {
    let maximum = exponentials.largest;
    let log_sum = log_one_plus(rounded(exponentials.others));

    var sum = vec2<f32>();
    if (row.exists && is_smoothed()) {
        let share = params.label_smoothing / f32(params.classes);
        for (var class_index = row.lane; class_index < params.classes; class_index += LANES) {
            let x = input_at(row.begin + class_index * params.inner);
            let weighted = multiply(share, class_weight(class_index));
            // In one product: an infinite weight of the largest class must not be multiplied by its m - x, which is 0.
            sum = add_pair(sum, product(weighted, negative_log(maximum, x, log_sum)));
        }
    }
    add_class_sums(row, invocation, sum);

    if (row.lane != 0u || !row.exists) {
        return;
    }
    let class_index = target_classes[params.target_base + row.index];
    if (is_ignored(class_index)) {
        write_row(row, 0.0, 0.0);
        return;
    }
    if (!is_class(class_index) || !is_finite(maximum)) {
        write_row(row, not_a_number(), not_a_number());
        return;
    }
    let w = class_weight(u32(class_index));
    let x = input_at(row.begin + u32(class_index) * params.inner);
    let own = rounded(negative_log(maximum, x, log_sum));
    var loss = w * own;
    if (is_smoothed()) {
        loss = (1.0 - params.label_smoothing) * w * own + rounded(class_sums[invocation]);
    }
    write_row(row, loss, w);
}

// The same of a row with probabilities.
fn add_probability_loss(row: Row, invocation: u32, exponentials: Exponentials) {
    let maximum = exponentials.largest;
    let log_sum = log_one_plus(rounded(exponentials.others));

    var sum = vec2<f32>();
    if (row.exists) {
        for (var class_index = row.lane; class_index < params.classes; class_index += LANES) {
            let position = row.begin + class_index * params.inner;
            let probability = smoothed(probability_at(position));
            let w = class_weight(class_index);
            // The smaller factor first: a product that overflows stays infinite, even if the next factor is small.
            let is_smaller = abs(probability) < abs(w);
            let smaller = vec2<f32>(select(w, probability, is_smaller), 0.0);
            let larger = vec2<f32>(select(probability, w, is_smaller), 0.0);
            let term = product(negative_log(maximum, input_at(position), log_sum), smaller);
            sum = add_pair(sum, product(term, larger));
        }
    }
    add_class_sums(row, invocation, sum);

    if (row.lane != 0u || !row.exists) {
        return;
    }
    var loss = rounded(class_sums[invocation]);
    if (!is_finite(maximum)) {
        loss = not_a_number();
    }
    write_row(row, loss, 1.0);
}
