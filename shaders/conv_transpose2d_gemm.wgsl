// parts: gemm, phases, bits, no_epilogue|epilogue
// conv_transpose2d as products of matrices, by parts/gemm.wgsl. Each phase of rows and columns is a convolution of
// stride 1 with some of the kernel's elements (see conv_transpose2d_phases.wgsl), and so a problem of its own. No
// product is left out. If the kernel is as large as the stride, each phase has one kernel element, and the problem is
// the product of weight and input, written to every stride-th row and column. Tiles visit only kernel elements that
// meet the input somewhere in them.
//
// k = (i * taps + u) * taps + v is an input channel and a kernel element of the phase, and weight is
// [groups * in_channels, out_channels, rows.kernel, cols.kernel].

// A group of channels and a phase.
struct Problem {
    group: i32,
    // The number of pixels, and of products of each.
    pixels: i32,
    k_size: i32,
    // Where the group's weights begin, and the distance between channels.
    weights_begin: i32,
    weights_step: i32,
    rows: Phase,
    cols: Phase,
}

fn problem_of(number: i32, first_pixel: i32, tile_pixels: i32) -> Problem {
    let phase_rows = min(params.rows.kernel, params.rows.stride / params.divisor_rows);
    let phase_cols = min(params.cols.kernel, params.cols.stride / params.divisor_cols);
    let all_cols = phase_of(number % phase_cols, params.cols.stride, params.cols.padding, params.cols.dilation,
        params.divisor_cols, params.cols.kernel, params.out_cols);
    let all_rows = phase_of(number / phase_cols % phase_rows, params.rows.stride, params.rows.padding,
        params.rows.dilation, params.divisor_rows, params.rows.kernel, params.out_rows);
    let group = number / phase_cols / phase_rows;
    let plane = max(all_rows.length * all_cols.length, 1);
    let pixels = params.images * all_rows.length * all_cols.length;

    // The places that the tile has.
    let last_pixel = max(min(first_pixel + tile_pixels, pixels) - 1, first_pixel);
    let length = max(all_cols.length, 1);
    let is_in_image = first_pixel / plane == last_pixel / plane;
    let is_in_row = first_pixel / length == last_pixel / length;
    let low_row = select(0, first_pixel % plane / length, is_in_image);
    let high_row = select(all_rows.length - 1, last_pixel % plane / length, is_in_image);
    let low_col = select(0, first_pixel % length, is_in_row);
    let high_col = select(all_cols.length - 1, last_pixel % length, is_in_row);
    let rows = narrowed(all_rows, low_row, high_row, params.rows.stride, params.rows.dilation, params.divisor_rows,
        params.in_rows);
    let cols = narrowed(all_cols, low_col, high_col, params.cols.stride, params.cols.dilation, params.divisor_cols,
        params.in_cols);

    let kernel_size = params.rows.kernel * params.cols.kernel;
    return Problem(
        group,
        pixels,
        params.in_channels * rows.taps * cols.taps,
        group * params.in_channels * params.out_channels * kernel_size
            + rows.kernel_first * params.cols.kernel + cols.kernel_first,
        kernel_size,
        rows,
        cols,
    );
}

// A step of k: where its channel's plane begins, the distance of its kernel element from the first in rows and columns
// of the input, and the distance of its weight from the channel's first, or -1 if there is no such k.
fn step_of(problem: Problem, k: i32, k_end: i32) -> vec4<i32> {
    if (k >= k_end) {
        return vec4<i32>(0, 0, 0, -1);
    }
    let taps = problem.rows.taps * problem.cols.taps;
    let channel = k / taps;
    let tap = k - channel * taps;
    let row = tap / problem.cols.taps;
    let col = tap - row * problem.cols.taps;
    let kernel_row = row * (params.rows.stride / params.divisor_rows);
    let kernel_col = col * (params.cols.stride / params.divisor_cols);
    return vec4<i32>(
        channel * params.in_rows * params.in_cols,
        -row * (params.rows.dilation / params.divisor_rows),
        -col * (params.cols.dilation / params.divisor_cols),
        channel * params.out_channels * params.rows.kernel * params.cols.kernel
            + kernel_row * params.cols.kernel + kernel_col,
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
        + (problem.rows.first + rows * params.rows.stride) * params.out_cols
        + problem.cols.first + cols * params.cols.stride;
}

// Outside the input the products multiply zeros, which gives NaN with an infinite or NaN weight. The definition has no
// such products, so sums that are not finite are computed again without them.
fn mended(sums: Square, tile: Tile, first_channel: i32, pixels: vec4<i32>) -> Square {
    if (!any(is_spoilt(sums.channel_0)) && !any(is_spoilt(sums.channel_1)) && !any(is_spoilt(sums.channel_2))
        && !any(is_spoilt(sums.channel_3))) {
        return sums;
    }
    let problem = tile.problem;
    let windows = windows_of(problem, pixels);
    let channels = min(first_channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.out_channels - 1));
    let weights = problem.weights_begin + channels * problem.weights_step;
    var result: Square;
    for (var k = tile.k_begin; k < tile.k_end; k++) {
        let at = step_of(problem, k, tile.k_end);
        let row = windows.rows + at.y;
        let col = windows.cols + at.z;
        let is_inside = (pixels < vec4<i32>(problem.pixels)) & (row >= vec4<i32>()) & (row < vec4<i32>(params.in_rows))
            & (col >= vec4<i32>()) & (col < vec4<i32>(params.in_cols));
        let place = select(vec4<i32>(), windows.begins + at.x + row * params.in_cols + col, is_inside);
        let x = vec4<f32>(input[place.x], input[place.y], input[place.z], input[place.w]);
        let w = vec4<f32>(
            weight[weights.x + at.w],
            weight[weights.y + at.w],
            weight[weights.z + at.w],
            weight[weights.w + at.w],
        );
        result.channel_0 += select(vec4<f32>(), w.x * x, is_inside);
        result.channel_1 += select(vec4<f32>(), w.y * x, is_inside);
        result.channel_2 += select(vec4<f32>(), w.z * x, is_inside);
        result.channel_3 += select(vec4<f32>(), w.w * x, is_inside);
    }
    return result;
}
