//! Wrong shaders that tests must catch.

use wgdnn::{Conv2d, Conv2dInputs};

use crate::harness::{expect_seen_in, planted_faults, random_integers};
use wgdnn::cases::Call;

planted_faults!(
    "conv2d",
    [
        ("conv2d", "bias_of(out_channel), sum)", "bias_of(0), sum)"),
        ("conv2d", "in_col < params.in_cols", "in_col + 1 < params.in_cols"),
        ("conv2d", "select(0.0, input[", "select(input[0], input["),
        ("conv2d", "let group = out_channel / params.out_channels;", "let group = out_channel % params.groups;"),
        ("conv2d", "channel_sum += x *", "channel_sum = x *"),
        ("conv2d_patches", "weights.low.z = weight[low.z];", ""),
        ("conv2d_patches_subgroup", "min(own, last) * step", "min(own, last - 1) * step"),
        ("conv2d_patches_subgroup", "(*sums)[6] += weights.low.w * low;", ""),
        ("conv2d_tiles_subgroup", "weights.low.x * row_3", "weights.low.x * row_2"),
        ("conv2d_tiles", "let begin_5 = select(0, (row + 5)", "let begin_5 = select(0, (row + 4)"),
        ("conv2d_gemm", "row * params.rows.dilation", "row"),
        ("conv2d_winograd2x2_fused", "0.5 * (sum - row.y)", "0.5 * (sum + row.y)"),
        ("conv2d_winograd2x2_fused", "has_right && has_bottom", "has_right"),
        ("conv2d_winograd2x2_fused", "sums = direct_sums(", "sums += direct_sums("),
        ("conv2d_winograd4x4", "(near - 0.625 * y)", "(near + 0.625 * y)"),
        ("conv2d_winograd4x4", "2.640625 * x.d + x.f", "2.640625 * x.d"),
        ("conv2d_winograd4x4", "3.375 * far_odd", "3.376 * far_odd"),
        ("conv2d_winograd4x4", "if (any(max(left, right) >= vec4<u32>(SPOILING))) {", "if (false) {"),
        ("conv2d_winograd4x4", "plane_begin, row, col + right + 2)", "plane_begin, row, col + right + 1)"),
        ("conv2d_winograd4x4", "add_row(&sums, weights, 2, begin, row + 2, col);", ""),
        ("conv2d_winograd4x4", "block / blocks * params.out_channels", "0"),
        ("conv2d_winograd2x2", "place.col + right >= params.out_cols", "false"),
        ("conv2d_winograd2x2", "x.c - x.b", "x.b - x.c"),
        ("conv2d_winograd2x2", "if (TILE > 2) {", "if (true) {"),
        ("conv2d_winograd2x2", "select(element, 8 - element, params.is_mirrored != 0u)", "element"),
        ("conv2d_backward_weight", "first_tap + vec4<i32>(0, 1, 2, 3) % TAPS", "vec4<i32>(0, 1, 2, 3) % TAPS"),
        ("conv2d_backward_weight", "block.col + 4 >= params.out_cols", "block.col + 5 >= params.out_cols"),
        ("conv2d_backward_weight", "x_1, x_2, x_3, x_4", "x_1, x_2, x_2, x_4"),
        ("conv2d_backward_weight", "store_channel(at, 1, sums_1);", "store_channel(at, 1, sums_0);"),
        ("conv2d_backward_weight_blocks", "block.row * params.rows.stride + columns.rows", "block.row + columns.rows"),
        ("conv2d_backward_weight_points", "a.y, b.y, c.y, d.y", "a.z, b.y, c.y, d.y"),
        ("conv2d_backward_weight_subgroup", "broadcast_3(grads.a)", "broadcast_2(grads.a)"),
        ("conv2d_backward_weight_splits", "split < select(0, params.splits,", "split + 1 < select(0, params.splits,"),
        ("conv2d_backward_weight_gemm", "column_planes + at.x", "column_planes"),
        ("conv2d_backward_weight_gemm", "kernel_row * params.rows.dilation", "kernel_row"),
        ("conv2d_backward_weight_depthwise", "piece.channel / params.out_channels", "piece.channel"),
        ("conv2d_backward_weight_depthwise", "row + 2 * params.rows.dilation", "row + params.rows.dilation"),
        ("conv2d_backward_weight_depthwise", "(*nine).row_1 += dots", "(*nine).row_1 = dots"),
        ("conv2d_winograd_multiply", "a.tile_3 + b.tile_3)", "a.tile_3)"),
        ("conv2d_winograd_multiply", "position * params.kernels_step + (group", "(group"),
        ("conv2d_winograd_subgroup", "subgroupBroadcast(own.c, 7u)", "subgroupBroadcast(own.c, 6u)"),
        ("conv2d_winograd_subgroup", "min(block + 1, blocks - 1)", "min(block, blocks - 1)"),
        ("conv2d_winograd_subgroup", "add_sums(&high_totals_16, high_16);", ""),
    ]
);

/// Faults that the golden cases do not reach.
#[test]
fn planted_faults_are_seen_in_other_problems() {
    let call = |input: &[usize], weight: &[usize], algorithm: &str| {
        let inputs = Conv2dInputs::new(random_integers(input, 1), random_integers(weight, 2));
        Call::new::<Conv2d>(inputs, &Default::default()).unwrap().by(algorithm).unwrap()
    };
    expect_seen_in(
        &call(&[1, 6, 4, 20], &[17, 6, 1, 1], "Patches"),
        &[
            ("conv2d_points_subgroup", "plane_blocks + blocks.y]", "plane_blocks + blocks.x]"),
            ("conv2d_points_subgroup", "(*sums)[6] += weights.low.w * low;", ""),
        ],
    );
    expect_seen_in(
        &call(&[1, 3, 9, 9], &[17, 3, 3, 3], "Tiles"),
        &[
            ("conv2d_tiles_subgroup", "weights.high.w * row_3", "weights.high.w * row_2"),
            ("conv2d_tiles_subgroup", "select(0, CHANNELS, is_upper)", "0"),
        ],
    );
    expect_seen_in(
        &call(&[1, 600, 3, 3], &[33, 600, 2, 1], "ImplicitGemm"),
        &[("conv2d_gemm", "sum += workspace[", "sum = workspace["), ("conv2d_gemm", "slot = TILE_STEPS - slot;", "")],
    );
}
