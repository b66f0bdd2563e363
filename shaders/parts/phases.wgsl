// The phases of a transposed convolution: output positions with the same (position + padding) % stride use the same
// kernel elements, one in every step = stride / divisor, where divisor is the greatest common divisor of stride and
// dilation. Each of the first min(step, kernel) elements has a phase of its own; other positions have no products.

// A phase along one axis, or a range of one.
struct Phase {
    first: i32,             // the first output position in it
    length: i32,            // how many there are
    kernel_first: i32,      // the first kernel element that it uses
    taps: i32,              // how many it uses
    in_first: i32,          // where that element meets the first position in the input
}

fn phase_of(element: i32, stride: i32, padding: i32, dilation: i32, divisor: i32, kernel: i32, length: i32) -> Phase {
    let distance = element * dilation - padding;
    // Of a positive number, since OpenGL does not define the remainder of negative ones.
    let first = (distance + (padding / stride + 1) * stride) % stride;
    return Phase(
        first,
        select((length - 1 - first) / stride + 1, 0, first >= length),
        element,
        (kernel - 1 - element) / (stride / divisor) + 1,
        (first - distance) / stride,
    );
}

// The phase with only those kernel elements that meet an input of `length` positions in any of its places low to high.
fn narrowed(phase: Phase, low: i32, high: i32, stride: i32, dilation: i32, divisor: i32, length: i32) -> Phase {
    // The distance in the input between neighbouring elements of the phase.
    let step = dilation / divisor;
    let beyond = low + phase.in_first - length;
    let skipped = select(0, min(beyond / step + 1, phase.taps), beyond >= 0);
    let last = high + phase.in_first;
    let end = select(skipped, clamp(last / step + 1, skipped, phase.taps), last >= 0);
    return Phase(
        phase.first,
        phase.length,
        phase.kernel_first + skipped * (stride / divisor),
        end - skipped,
        phase.in_first - skipped * step,
    );
}
