//! Wrong shaders that tests must catch.

use wgdnn::{ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dParams};

use crate::harness::{expect_seen_in, planted_faults, random_integers};
use wgdnn::cases::Call;

planted_faults!(
    "conv_transpose2d",
    [
        ("conv_transpose2d", "position % divisor != 0 || ", ""),
        ("conv_transpose2d", "place - skipped * in_step", "place"),
        ("conv_transpose2d", "u32(inverse)", "1u"),
        ("conv_transpose2d", "bias_of(out_channel), 0.0)", "bias_of(0), 0.0)"),
        (
            "conv_transpose2d",
            "out_channel % params.out_channels) * params.rows.kernel",
            "out_channel) * params.rows.kernel"
        ),
        ("conv_transpose2d_scatter_add", "exchange.exchanged", "true"),
        ("conv_transpose2d_scatter_add", "atomicStore(&output[index], bitcast<u32>(value));", ""),
        (
            "conv_transpose2d_scatter_add_float32_atomic",
            "atomicAdd(&output[index], value)",
            "atomicStore(&output[index], value)"
        ),
        ("conv_transpose2d_gemm", "-row * (params", "row * (params"),
        ("conv_transpose2d_phases", "* stride) % stride;", "* stride) % (stride + 1);"),
        ("conv_transpose2d_phases", "low_cols - col)", "low_cols + col)"),
        // What makes infinities, NaN and huge numbers come out right.
        ("conv_transpose2d_phases", "if (!any(is_any_spoilt)) {", "if (true) {"),
        ("conv_transpose2d_phases", "w.x * high, is_high_inside)", "w.x * high, vec4<bool>(true))"),
        ("conv_transpose2d_channels_subgroup", "if (place.is_inside) {", "if (true) {"),
        ("conv_transpose2d_channels_subgroup", "if (any(is_spoilt(result))) {", "if (false) {"),
        ("conv_transpose2d_channels_subgroup", "subgroupBroadcast(low, 2u)", "subgroupBroadcast(low, 1u)"),
        ("conv_transpose2d_channels_subgroup", "bias_of(out_channel), sums", "bias_of(0), sums"),
        ("conv_transpose2d_gemm", "if (!any(is_spoilt(sums.channel_0)) &&", "if (true ||"),
        ("conv_transpose2d_gemm", "w.z * x, is_inside)", "w.z * x, vec4<bool>(true))"),
    ]
);

/// A fault that the golden cases do not reach.
#[test]
fn planted_faults_are_seen_in_blocks() {
    let inputs = ConvTranspose2dInputs::new(random_integers(&[1, 5, 4, 6], 1), random_integers(&[5, 3, 2, 2], 2));
    let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
    let call = Call::new::<ConvTranspose2d>(inputs, &params).unwrap().by("Phases").unwrap();
    expect_seen_in(
        &call,
        &[("conv_transpose2d_points_subgroup", "let row = element / params.cols.kernel;", "let row = 0;")],
    );
}

/// Phases of more than 8 pixels, and more channels than lanes have.
#[test]
fn planted_faults_are_seen_in_lanes_of_channels() {
    let inputs = ConvTranspose2dInputs::new(random_integers(&[1, 5, 4, 5], 1), random_integers(&[5, 35, 4, 4], 2));
    let params = ConvTranspose2dParams { stride: [2, 2], padding: [1, 1].into(), ..Default::default() };
    let call = Call::new::<ConvTranspose2d>(inputs, &params).unwrap().by("Channels").unwrap();
    let file = "conv_transpose2d_channels_subgroup";
    expect_seen_in(
        &call,
        &[
            (file, "own + i32(WORKGROUP_SIZE), tap_row", "own, tap_row"),
            (file, "subgroupBroadcast(high, 7u)", "subgroupBroadcast(high, 6u)"),
            (file, "+ 4 * i32(lane);", ";"),
            (file, "vec4<i32>(params.out_channels - 1));", "vec4<i32>(params.out_channels - 2));"),
            (file, "pixels - range.pixel)", "pixels - range.pixel - 1)"),
        ],
    );
}
