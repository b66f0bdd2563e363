// parts: phases
// What a workgroup computes of a transposed convolution by phases. The file binds `params` (see phase_params.wgsl).

// A tile of pixels of a phase of a plane, which is a group of an image, and a block of channels.
struct Share {
    plane: i32,
    rows: Phase,
    cols: Phase,
    tile: i32,
    block: i32,
}

// Every phase has as many workgroups as the largest.
fn share_of(workgroup: vec3<u32>, grid: vec3<u32>, tile_pixels: i32, block_channels: i32) -> Share {
    let phase_rows = min(params.rows.kernel, params.rows.stride / params.divisor_rows);
    let phase_cols = min(params.cols.kernel, params.cols.stride / params.divisor_cols);
    let largest = ((params.out_rows - 1) / params.rows.stride + 1) * ((params.out_cols - 1) / params.cols.stride + 1);
    let tiles = (largest + tile_pixels - 1) / tile_pixels;
    let blocks = (params.out_channels + block_channels - 1) / block_channels;

    let number = i32(workgroup.y * grid.x + workgroup.x);
    let all_phases = number / blocks / tiles;
    let all_rows = all_phases / phase_cols;
    let plane = all_rows / phase_rows;
    return Share(
        plane,
        phase_of(all_rows - plane * phase_rows, params.rows.stride, params.rows.padding, params.rows.dilation,
            params.divisor_rows, params.rows.kernel, params.out_rows),
        phase_of(all_phases - all_rows * phase_cols, params.cols.stride, params.cols.padding, params.cols.dilation,
            params.divisor_cols, params.cols.kernel, params.out_cols),
        number / blocks % tiles,
        number % blocks,
    );
}

// The phase with only those kernel rows that meet the input for some pixel from first_pixel to last_pixel of its grid.
fn narrowed_rows(phase: Phase, cols: i32, first_pixel: i32, last_pixel: i32) -> Phase {
    return narrowed(phase, first_pixel / cols, last_pixel / cols, params.rows.stride, params.rows.dilation,
        params.divisor_rows, params.in_rows);
}

fn narrowed_cols(phase: Phase, first_pixel: i32, last_pixel: i32) -> Phase {
    let is_in_row = first_pixel / phase.length == last_pixel / phase.length;
    let low = select(0, first_pixel % phase.length, is_in_row);
    let high = select(phase.length - 1, last_pixel % phase.length, is_in_row);
    return narrowed(phase, low, high, params.cols.stride, params.cols.dilation, params.divisor_cols, params.in_cols);
}
