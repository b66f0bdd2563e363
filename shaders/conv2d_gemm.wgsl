// conv2d as a product of matrices, by shared/gemm.wgsl: k = (i * kernel_rows + u) * kernel_cols + v is an input channel and
// kernel element, patches[k, n] is input[i, y * stride - padding + u * dilation, x * stride - padding + v * dilation] for
// the pixel n at y and x, and weight is [groups * out_channels, in_channels, kernel_rows, kernel_cols].

// A group of channels.
struct Problem {
    group: i32,
    // Pixels, and products of each.
    pixels: i32,
    k_size: i32,
    // Where the group's weights begin, and how far channels are apart.
    weights_begin: i32,
    weights_step: i32,
}

fn problem_of(number: i32, first_pixel: i32, tile_pixels: i32) -> Problem {
    let k_size = params.in_channels * params.kernel_rows * params.kernel_cols;
    return Problem(number, params.largest_pixels, k_size, number * params.out_channels * k_size, k_size);
}

// Where a step of k is: its channel's plane, how far its kernel element is from the first in rows and columns of the
// input, and where its weight is behind the channel's first, or -1 if there is no such k.
fn step_of(problem: Problem, k: i32, k_end: i32) -> vec4<i32> {
    let kernel_size = params.kernel_rows * params.kernel_cols;
    let channel = k / kernel_size;
    let element = k - channel * kernel_size;
    let row = element / params.kernel_cols;
    return vec4<i32>(
        channel * params.in_rows * params.in_cols,
        row * params.dilation_rows,
        (element - row * params.kernel_cols) * params.dilation_cols,
        select(-1, k, k < k_end),
    );
}

fn windows_of(problem: Problem, pixels: vec4<i32>) -> Windows {
    let plane = params.out_rows * params.out_cols;
    let images = pixels / plane;
    let places = pixels - images * plane;
    let rows = places / params.out_cols;
    return Windows(
        rows * params.stride_rows - params.padding_rows,
        (places - rows * params.out_cols) * params.stride_cols - params.padding_cols,
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

// The padding's zeros are among the products, so there is nothing to mend.
fn mended(sums: Square, tile: Tile, first_channel: i32, pixels: vec4<i32>) -> Square {
    return sums;
}
