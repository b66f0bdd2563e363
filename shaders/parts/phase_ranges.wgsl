// parts: phases
// Which of a phase's kernel elements meet the input, for pixels first_pixel to last_pixel of the phase's own grid. The file
// binds `params` (see phase_params.wgsl).

// The rows of a phase's kernel elements that meet the input somewhere in a patch.
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
