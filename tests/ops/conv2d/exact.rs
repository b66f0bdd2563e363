//! Whole numbers, whose sums are exact, through every algorithm and every rest of a tile.

use super::*;
use crate::harness::{expect_exact, expect_within, expect_within_on, gpu, random, random_integers};
use wgdnn::cases::{Call, CaseArray};
use wgdnn::{Conv2dAlgorithm, Conv2dInputs, Conv2dPlan, Operator};

fn call(input: &[usize], weight: &[usize], params: Conv2dParams) -> Call {
    Call::new::<Conv2d>(
        Conv2dInputs {
            bias: Some(random_integers(&weight[..1], 3)),
            ..Conv2dInputs::new(random_integers(input, 1), random_integers(weight, 2))
        },
        &params,
    )
    .unwrap()
}

#[test]
fn integers_are_exact() {
    expect_exact(&call(&[2, 16, 33, 31], &[8, 16, 3, 3], Conv2dParams::default()));
    let params = Conv2dParams { stride: [2, 3], padding: Padding::Explicit([1, 2]), dilation: [2, 1], groups: 4 };
    expect_exact(&call(&[3, 8, 20, 40], &[12, 2, 3, 5], params));
    expect_exact(&call(&[4, 9, 65], &[5, 4, 2, 4], Conv2dParams { padding: Padding::Same, ..Default::default() }));
}

/// Numbers of channels and pixels around those that kernels compute at once.
#[test]
fn every_rest_of_a_tile_is_exact() {
    for channels in [1, 2, 4, 5, 8, 9, 15, 16, 17, 33] {
        for (groups, rows, cols) in [(1, 7, 9), (2, 9, 10), (1, 2, 2), (1, 3, 4), (1, 10, 9)] {
            let params = Conv2dParams { groups, padding: Padding::Explicit([1, 0]), ..Default::default() };
            expect_exact(&call(&[2, 3 * groups, rows, cols], &[channels * groups, 3, 3, 2], params));
        }
    }
}

#[test]
fn every_rest_of_a_tile_of_a_dense_3x3_kernel_is_exact() {
    for channels in [1, 3, 4, 7, 8, 9, 31, 33] {
        for (groups, rows, cols) in [(1, 1, 1), (1, 7, 9), (2, 5, 6), (3, 4, 8), (1, 17, 30)] {
            let params = Conv2dParams { groups, padding: Padding::Explicit([1, 2]), ..Default::default() };
            expect_exact(&call(&[2, 5 * groups, rows, cols], &[channels * groups, 5, 3, 3], params));
        }
    }
}

/// Channels enough for transforms.
#[test]
fn every_rest_of_a_transformed_tile_is_exact() {
    for (channels, in_channels) in [(1, 64), (3, 65), (5, 66), (33, 67), (70, 64)] {
        for (groups, rows, cols) in [(1, 1, 1), (1, 7, 9), (2, 5, 6)] {
            let params = Conv2dParams { groups, padding: Padding::Explicit([1, 2]), ..Default::default() };
            let (input, weight) = ([2, in_channels * groups, rows, cols], [channels * groups, in_channels, 3, 3]);
            expect_exact(&call(&input, &weight, params));
        }
    }
}

#[test]
fn every_rest_of_a_pointwise_kernel_is_exact() {
    for channels in [1, 3, 4, 8, 9, 17] {
        for (groups, rows, cols) in [(1, 1, 1), (2, 2, 2), (1, 3, 4), (3, 5, 5), (1, 9, 20)] {
            let params = Conv2dParams { groups, ..Default::default() };
            expect_exact(&call(&[2, 6 * groups, rows, cols], &[channels * groups, 6, 1, 1], params));
        }
    }
}

/// Outputs large enough for each size of tile, and small ones, where several workgroups share a tile.
#[test]
fn every_tile_of_products_is_exact() {
    for (input, weight, stride) in [
        ([1, 2, 93, 91], [130, 2, 1, 1], 1),
        ([3, 2, 75, 81], [70, 2, 1, 2], 2),
        ([1, 3, 40, 31], [33, 3, 2, 5], 1),
        ([2, 70, 6, 5], [37, 70, 3, 3], 1),
        ([1, 300, 7, 7], [33, 300, 3, 3], 2),
        ([1, 1000, 1, 1], [33, 1000, 1, 1], 1),
    ] {
        let params = Conv2dParams { padding: Padding::Explicit([2, 0]), stride: [stride, 1], ..Default::default() };
        let call = call(&input, &weight, params).by("ImplicitGemm").unwrap();
        let slots = call.operator().slots_on(gpu().capabilities());
        let has_workspace = slots.iter().any(|slot| slot.group == wgdnn::operator::Group::Workspace);
        assert_eq!(has_workspace, weight[1] >= 70, "{input:?}");
        assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap(), "{input:?}");
    }
}

#[test]
fn infinities_stay_infinite_and_where_they_belong() {
    let mut input = random_integers(&[1, 64, 20, 20], 1);
    input[[0, 3, 9, 9]] = f32::INFINITY;
    let weight = random_integers(&[16, 64, 3, 3], 2).mapv(|x| x.abs() + 1.0);
    let call = Call::new::<Conv2d>(Conv2dInputs::new(input, weight), &Default::default()).unwrap();
    assert_eq!(call.by_every_algorithm().len(), Conv2dAlgorithm::ALL.len());
    for (algorithm, call) in call.by_every_algorithm() {
        let CaseArray::F32(output) = &call.run_eager(gpu()).unwrap()["output"] else { panic!() };
        let count = |is: fn(f32) -> bool| output.iter().filter(|x| is(**x)).count();
        assert_eq!([count(f32::is_infinite), count(f32::is_nan)], [16 * 9, 0], "{algorithm}");
    }
}

/// More pixels than the reference has inputs of in one matrix.
#[test]
fn the_references_blocks_fit_together() {
    let params = Conv2dParams { padding: Padding::Same, ..Default::default() };
    let call = call(&[1, 512, 49, 50], &[2, 512, 3, 3], params).by("Direct").unwrap();
    assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap());
}

/// SwiftShader, which is what browsers run on a CPU, compiles transforms for most of a minute.
#[test]
fn each_class_of_adapters_has_its_own_algorithms() {
    use wgdnn::{AdapterClass, Gpu};

    let operator = Conv2d::new(&[1, 64, 56, 56], &[64, 64, 3, 3], None, &Default::default()).unwrap();
    let taken_for = |class| {
        let gpu = Gpu::new_blocking().unwrap();
        gpu.take_for(class);
        gpu
    };
    let plan = |gpu: &Gpu| operator.plan(gpu.capabilities());
    assert!(matches!(plan(&taken_for(AdapterClass::Hardware)).main, Conv2dPlan::ImplicitGemm { .. }));
    let transforms = plan(&taken_for(AdapterClass::Llvmpipe));
    assert!(transforms.to_string().starts_with("Winograd F(2x2, 3x3) through a workspace"), "{transforms}");
    assert!(matches!(plan(&taken_for(AdapterClass::Cpu)).main, Conv2dPlan::Tiles { .. }));
    let gpu = Gpu::new_blocking().unwrap();
    if gpu.adapter_info().name.contains("llvmpipe") {
        assert_eq!(plan(&gpu), transforms);
    }
    // There its own kernel for F(2x2) is that of GPUs, which needs no workspace.
    let operator = operator.with_algorithm(Conv2dAlgorithm::Winograd2x2).unwrap();
    assert_eq!(operator.workspace_size(&taken_for(AdapterClass::Cpu)), 0);
}

/// A huge weight that meets nothing but padding, or an input that an output has no product of, swallows nothing there.
#[test]
fn huge_numbers_stay_where_they_belong() {
    for (input, weight, at) in [
        ([1, 2, 1, 3], [17, 2, 3, 3], [7, 1, 2, 0]),
        ([2, 2, 3, 1], [3, 2, 3, 3], [0, 0, 1, 0]),
        ([1, 64, 1, 9], [4, 64, 3, 3], [2, 33, 0, 1]),
    ] {
        let mut weights = random(&weight, 2).mapv(|w| w / 4.0);
        weights[at] = -3e38;
        let params = Conv2dParams { padding: Padding::Same, ..Default::default() };
        let call = Call::new::<Conv2d>(Conv2dInputs::new(random(&input, 1), weights), &params).unwrap();
        expect_within(&call, 2e-5);
        expect_within_on(crate::harness::gpu_taken_for_hardware(), &call, 2e-5);
    }
    let mut image = random(&[1, 64, 4, 4], 3);
    image[[0, 5, 3, 3]] = 1e30;
    let params = Conv2dParams { padding: Padding::Valid, ..Default::default() };
    let mut weights = random(&[3, 64, 3, 3], 4).mapv(|w| w / 8.0);
    weights.slice_mut(ndarray::s![.., .., 2, 2]).fill(0.0);
    expect_within(&Call::new::<Conv2d>(Conv2dInputs::new(image, weights), &params).unwrap(), 2e-5);
}

#[test]
fn algorithms_refuse_what_they_are_not_for() {
    let new = |channels: usize, kernel: usize, algorithm| {
        let conv = Conv2d::new(&[1, channels, 8, 8], &[2, channels, kernel, 3], None, &Default::default()).unwrap();
        conv.with_algorithm(algorithm)
    };
    use Conv2dAlgorithm::{Auto, Tiles, Winograd2x2, Winograd4x4};
    for (channels, kernel, algorithm) in
        [(64, 2, Tiles), (64, 2, Winograd2x2), (64, 2, Winograd4x4), (63, 3, Winograd4x4), (7_901, 3, Winograd4x4)]
    {
        let refused = new(channels, kernel, algorithm);
        assert!(matches!(refused, Err(Error::InvalidArgument { argument: "algorithm", .. })), "{refused:?}");
        assert!(new(channels, kernel, Auto).is_ok());
    }
    assert!(new(64, 3, Winograd4x4).is_ok());
    assert!(new(7_900, 3, Winograd4x4).is_ok());
}

#[test]
fn a_single_kernel_element_has_no_dilation() {
    for dilation in [2, i32::MAX as usize, u32::MAX as usize, usize::MAX] {
        let params =
            Conv2dParams { padding: Padding::Explicit([2, 2]), dilation: [dilation, dilation], ..Default::default() };
        expect_exact(&call(&[1, 1, 3, 3], &[1, 1, 1, 1], params));
    }
}

#[test]
fn sums_beyond_a_drivers_loop_limit() {
    // llvmpipe ends an invocation's loops after 65,535 iterations in all.
    expect_exact(&call(&[1, 70_000, 1, 2], &[2, 70_000, 1, 1], Conv2dParams::default()));
    expect_exact(&call(&[1, 8_000, 3, 4], &[1, 8_000, 3, 3], Conv2dParams::default()));
    expect_exact(&call(&[1, 40_000, 3, 3], &[1, 40_000, 3, 3], Conv2dParams::default()));
    expect_exact(&call(&[1, 1, 1, 70_001], &[1, 1, 1, 70_000], Conv2dParams::default()));
    expect_exact(&call(&[1, 1, 300, 300], &[2, 1, 300, 300], Conv2dParams::default()));
    // So many groups that products in tiles are not split.
    let params = Conv2dParams { groups: 128, ..Default::default() };
    expect_exact(&call(&[1, 128 * 13_000, 1, 1], &[128, 13_000, 1, 1], params));
}
