// parts: gemm, no_epilogue|epilogue
// conv2d as a product of matrices, by parts/gemm.wgsl: k = (i * rows.kernel + u) * cols.kernel + v is an input channel and
// kernel element, patches[k, n] is input[i, y * stride - padding + u * dilation, x * stride - padding + v * dilation] for
// the pixel n at y and x, and weight is [groups * out_channels, in_channels, rows.kernel, cols.kernel].

// A group of channels.
struct Problem {
    group: i32,
    // The number of pixels, and of products of each.
    pixels: i32,
    k_size: i32,
    // Where the group's weights begin, and the distance between channels.
    weights_begin: i32,
    weights_step: i32,
}

fn problem_of(number: i32, first_pixel: i32, tile_pixels: i32) -> Problem {
    let k_size = params.in_channels * params.rows.kernel * params.cols.kernel;
    return Problem(number, params.largest_pixels, k_size, number * params.out_channels * k_size, k_size);
}

// A step of k: where its channel's plane begins, the distance of its kernel element from the first in rows and columns
// of the input, and the distance of its weight from the channel's first, or -1 if there is no such k.
fn step_of(problem: Problem, k: i32, k_end: i32) -> vec4<i32> {
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let channel = k / kernel_size;
    let element = k - channel * kernel_size;
    let row = element / params.cols.kernel;
    return vec4<i32>(
        channel * params.in_rows * params.in_cols,
        row * params.rows.dilation,
        (element - row * params.cols.kernel) * params.cols.dilation,
        select(-1, k, k < k_end),
    );
}

fn windows_of(problem: Problem, pixels: vec4<i32>) -> Windows {
    let plane = params.out_rows * params.out_cols;
    let images = pixels / plane;
    let places = pixels - images * plane;
    let rows = places / params.out_cols;
    return Windows(
        rows * params.rows.stride - params.rows.padding,
        (places - rows * params.out_cols) * params.cols.stride - params.cols.padding,
        i32(params.input_base)
            + (images * params.groups + problem.group) * params.in_channels * params.in_rows * params.in_cols,
    );
}

// Where pixels of the group's first channel are in the output.
fn output_places(problem: Problem, pixels: vec4<i32>) -> vec4<i32> {
    let plane = params.out_rows * params.out_cols;
    let images = pixels / plane;
    return (images * params.groups + problem.group) * params.out_channels * plane + pixels - images * plane;
}

// The padding's zeros are among the products, so nothing is computed again.
fn mended(sums: Square, tile: Tile, first_channel: i32, pixels: vec4<i32>) -> Square {
    return sums;
}
