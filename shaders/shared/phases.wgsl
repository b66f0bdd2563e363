// The phases of a transposed convolution: output positions with the same (position + padding) % stride use the same kernel
// elements, one in every stride / divisor, where divisor is the greatest common one of stride and dilation.

// A phase along one axis.
struct Phase {
    first: i32,             // the first output position in it
    length: i32,            // how many there are
    kernel_first: i32,      // the first kernel element that it uses
    taps: i32,              // how many it uses
    in_first: i32,          // where that element meets the first position in the input
}

fn phase_of(number: i32, stride: i32, padding: i32, dilation: i32, divisor: i32, kernel: i32, length: i32) -> Phase {
    var phase: Phase;
    phase.first = number;
    phase.length = (length - 1 - number) / stride + 1;
    let step = stride / divisor;
    let remainder = (number + padding) % stride;
    for (var element = 0; element < min(kernel, step); element++) {
        if (element * dilation % stride == remainder) {
            phase.kernel_first = element;
            phase.taps = (kernel - 1 - element) / step + 1;
            phase.in_first = (number + padding - element * dilation) / stride;
            break;
        }
    }
    return phase;
}
