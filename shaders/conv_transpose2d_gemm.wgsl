// conv_transpose2d as products of matrices, by shared/gemm.wgsl: each phase of rows and columns is a convolution of stride
// 1 with a part of the kernel (see conv_transpose2d_phases.wgsl), so a problem of its own, and no product is left out. With
// a kernel as large as the stride each has one kernel element, and what is left is the product of weight and input,
// written to every stride-th row and column.
//
// k = (i * taps + u) * taps + v is an input channel and a kernel element of the phase, and weight is
// [groups * in_channels, out_channels, kernel_rows, kernel_cols].

// A group of channels and a phase.
struct Problem {
    group: i32,
    // Pixels, and products of each.
    pixels: i32,
    k_size: i32,
    // Where the group's weights begin, and how far channels are apart.
    weights_begin: i32,
    weights_step: i32,
    rows: Phase,
    cols: Phase,
}

fn problem_of(number: i32) -> Problem {
    let phase_rows = min(params.stride_rows, params.out_rows);
    let phase_cols = min(params.stride_cols, params.out_cols);
    let cols = phase_of(number % phase_cols, params.stride_cols, params.padding_cols, params.dilation_cols,
        params.divisor_cols, params.kernel_cols, params.out_cols);
    let rows = phase_of(number / phase_cols % phase_rows, params.stride_rows, params.padding_rows, params.dilation_rows,
        params.divisor_rows, params.kernel_rows, params.out_rows);
    let group = number / phase_cols / phase_rows;
    let kernel_size = params.kernel_rows * params.kernel_cols;
    return Problem(
        group,
        params.images * rows.length * cols.length,
        params.in_channels * rows.taps * cols.taps,
        group * params.in_channels * params.out_channels * kernel_size
            + rows.kernel_first * params.kernel_cols + cols.kernel_first,
        kernel_size,
        rows,
        cols,
    );
}

// Where a step of k is: its channel's plane, how far its kernel element is from the first in rows and columns of the
// input, and where its weight is behind the channel's first, or -1 if there is no such k.
fn step_of(problem: Problem, k: i32, k_end: i32) -> vec4<i32> {
    if (k >= k_end) {
        return vec4<i32>(0, 0, 0, -1);
    }
    let taps = problem.rows.taps * problem.cols.taps;
    let channel = k / taps;
    let tap = k - channel * taps;
    let row = tap / problem.cols.taps;
    let col = tap - row * problem.cols.taps;
    let kernel_row = row * (params.stride_rows / params.divisor_rows);
    let kernel_col = col * (params.stride_cols / params.divisor_cols);
    return vec4<i32>(
        channel * params.in_rows * params.in_cols,
        -row * (params.dilation_rows / params.divisor_rows),
        -col * (params.dilation_cols / params.divisor_cols),
        channel * params.out_channels * params.kernel_rows * params.kernel_cols
            + kernel_row * params.kernel_cols + kernel_col,
    );
}

fn windows_of(problem: Problem, pixels: vec4<i32>) -> Windows {
    let plane = problem.rows.length * problem.cols.length;
    let images = pixels / plane;
    let places = pixels - images * plane;
    let rows = places / problem.cols.length;
    return Windows(
        rows + problem.rows.in_first,
        places - rows * problem.cols.length + problem.cols.in_first,
        i32(params.input_base)
            + (images * params.groups + problem.group) * params.in_channels * params.in_rows * params.in_cols,
    );
}

// Where pixels of the group's first channel are in the output.
fn output_places(problem: Problem, pixels: vec4<i32>) -> vec4<i32> {
    let plane = problem.rows.length * problem.cols.length;
    let images = pixels / plane;
    let places = pixels - images * plane;
    let rows = places / problem.cols.length;
    let cols = places - rows * problem.cols.length;
    return (images * params.groups + problem.group) * params.out_channels * params.out_rows * params.out_cols
        + (problem.rows.first + rows * params.stride_rows) * params.out_cols
        + problem.cols.first + cols * params.stride_cols;
}
