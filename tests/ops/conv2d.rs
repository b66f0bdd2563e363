//! conv2d: two-dimensional convolution.

use serde_json::json;
use wgdnn::{Conv2d, Conv2dParams, Error, Padding};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("conv2d", at_least 40);

#[cfg(feature = "gpu")]
mod exact {
    use super::*;
    use crate::cases::{Call, CaseArray};
    use crate::harness::{expect_exact, expect_within, expect_within_on, gpu, random, random_integers};
    use wgdnn::{Conv2dAlgorithm, Conv2dBuffers, PackedWeight, Tensor, conv2d, conv2d_packed, wgpu};

    fn call(input: &[usize], weight: &[usize], params: Conv2dParams) -> Call {
        Call::Conv2d {
            input: random_integers(input, 1),
            weight: random_integers(weight, 2),
            bias: Some(random_integers(&weight[..1], 3)),
            params,
        }
    }

    #[test]
    fn integers_are_exact() {
        expect_exact(&call(&[2, 16, 33, 31], &[8, 16, 3, 3], Conv2dParams::default()));
        let params = Conv2dParams {
            stride: [2, 3],
            padding: Padding::Explicit([1, 2]),
            dilation: [2, 1],
            groups: 4,
            ..Default::default()
        };
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
            let params = Conv2dParams {
                algorithm: Conv2dAlgorithm::ImplicitGemm,
                padding: Padding::Explicit([2, 0]),
                stride: [stride, 1],
                ..Default::default()
            };
            let operator = Conv2d::new(&input, &weight, Some(&weight[..1]), &params).unwrap();
            assert_eq!(operator.workspace_size() > 0, weight[1] >= 70, "{input:?}");
            let call = call(&input, &weight, params);
            assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap(), "{input:?}");
        }
    }

    #[test]
    fn infinities_stay_infinite_and_where_they_belong() {
        let mut input = random_integers(&[1, 64, 20, 20], 1);
        input[[0, 3, 9, 9]] = f32::INFINITY;
        let infinite = |algorithm| Call::Conv2d {
            input: input.clone(),
            weight: random_integers(&[16, 64, 3, 3], 2).mapv(|x| x.abs() + 1.0),
            bias: None,
            params: Conv2dParams { algorithm, ..Default::default() },
        };
        let infinities_and_nans = |algorithm| {
            let CaseArray::F32(output) = &infinite(algorithm).run_eager(gpu()).unwrap()["output"] else { panic!() };
            [f32::is_infinite as fn(f32) -> bool, f32::is_nan].map(|is| output.iter().filter(|x| is(**x)).count())
        };
        for &algorithm in Conv2dAlgorithm::ALL {
            assert_eq!(infinities_and_nans(algorithm), [16 * 9, 0], "{algorithm:?}");
        }
    }

    /// More pixels than the reference has inputs of in one matrix.
    #[test]
    fn the_references_blocks_fit_together() {
        let params = Conv2dParams { padding: Padding::Same, algorithm: Conv2dAlgorithm::Direct, ..Default::default() };
        let call = call(&[1, 512, 49, 50], &[2, 512, 3, 3], params);
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
            operator.algorithm_on(&gpu)
        };
        assert_eq!(taken_for(AdapterClass::Hardware), Conv2dAlgorithm::ImplicitGemm);
        assert_eq!(taken_for(AdapterClass::Llvmpipe), Conv2dAlgorithm::Winograd2x2);
        assert_eq!(taken_for(AdapterClass::Cpu), Conv2dAlgorithm::Tiles);
        let gpu = Gpu::new_blocking().unwrap();
        if gpu.adapter_info().name.contains("llvmpipe") {
            assert_eq!(operator.algorithm_on(&gpu), Conv2dAlgorithm::Winograd2x2);
        }
        // There its own kernel for F(2x2) is that of GPUs, which needs no workspace.
        gpu.take_for(AdapterClass::Cpu);
        let params = Conv2dParams { algorithm: Conv2dAlgorithm::Winograd2x2, ..Default::default() };
        let operator = Conv2d::new(&[1, 64, 56, 56], &[64, 64, 3, 3], None, &params).unwrap();
        assert_eq!(operator.workspace_size_on(&gpu), 0);
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
            let call = Call::Conv2d { input: random(&input, 1), weight: weights, bias: None, params };
            expect_within(&call, 2e-5);
            expect_within_on(crate::harness::gpu_taken_for_hardware(), &call, 2e-5);
        }
        let mut image = random(&[1, 64, 4, 4], 3);
        image[[0, 5, 3, 3]] = 1e30;
        let params = Conv2dParams { padding: Padding::Valid, ..Default::default() };
        let mut weights = random(&[3, 64, 3, 3], 4).mapv(|w| w / 8.0);
        weights.slice_mut(ndarray::s![.., .., 2, 2]).fill(0.0);
        expect_within(&Call::Conv2d { input: image, weight: weights, bias: None, params }, 2e-5);
    }

    /// Packed weights, called eagerly: the same bits, whatever algorithm takes them or does not.
    #[test]
    fn packed_weights_give_the_same() {
        let input = Tensor::from_array(gpu(), &random(&[3, 64, 40, 38], 1)).unwrap();
        let bias = Tensor::from_array(gpu(), &random(&[70], 3)).unwrap();
        for (weight_shape, groups) in [([70, 64, 3, 3], 1), ([70, 32, 3, 3], 2), ([70, 64, 2, 5], 1)] {
            let weight = Tensor::from_array(gpu(), &random(&weight_shape, 2)).unwrap();
            for &algorithm in Conv2dAlgorithm::ALL {
                let padding = Padding::Explicit([1, 1]);
                let params = Conv2dParams { algorithm, groups, padding, ..Default::default() };
                let expected = conv2d(&input, &weight, Some(&bias), &params);
                match (expected, PackedWeight::new(&weight, &params)) {
                    (Ok(expected), Ok(packed)) => {
                        let got = conv2d_packed(&input, &packed, Some(&bias), &params).unwrap();
                        assert_eq!(got.read_blocking(), expected.read_blocking(), "{algorithm:?}, {weight_shape:?}");
                        assert_eq!(packed.weight().shape(), weight_shape);
                    }
                    (Err(error), Err(refused)) => assert_eq!(error, refused),
                    (expected, packed) => panic!("{algorithm:?}: {expected:?} but {packed:?}"),
                }
            }
        }
        // A weight that is packed for one algorithm is, for another and for other groups, the weight that it was.
        let weight = Tensor::from_array(gpu(), &random(&[72, 64, 3, 3], 2)).unwrap();
        let wide = Tensor::from_array(gpu(), &random(&[1, 128, 9, 11], 4)).unwrap();
        let params = |algorithm, groups| Conv2dParams { algorithm, groups, ..Default::default() };
        for (&made_for, &used_by) in
            Conv2dAlgorithm::ALL.iter().flat_map(|a| Conv2dAlgorithm::ALL.iter().map(move |b| (a, b)))
        {
            let packed = PackedWeight::new(&weight, &params(made_for, 1)).unwrap();
            for (input, params) in [(&input, params(used_by, 1)), (&wide, params(used_by, 2))] {
                let got = conv2d_packed(input, &packed, None, &params).unwrap();
                let expected = conv2d(input, &weight, None, &params).unwrap();
                assert_eq!(got.read_blocking(), expected.read_blocking(), "{made_for:?}, {used_by:?}, {params:?}");
            }
        }
    }

    #[test]
    fn buffers_of_packed_weights_are_checked() {
        let buffer = |size| {
            let usage = wgpu::BufferUsages::STORAGE;
            gpu().device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let new = |algorithm| {
            let params = Conv2dParams { algorithm, ..Default::default() };
            Conv2d::new(&[1, 64, 6, 6], &[1, 64, 3, 3], None, &params).unwrap().with_packed_weight()
        };
        let operator = new(Conv2dAlgorithm::Winograd4x4);
        let size = operator.packed_weight_size_on(gpu());
        assert!(size >= 36 * 64 * 4);
        // Without the weights, the workspace is smaller.
        let params = Conv2dParams { algorithm: Conv2dAlgorithm::Winograd4x4, ..Default::default() };
        let plain = Conv2d::new(&[1, 64, 6, 6], &[1, 64, 3, 3], None, &params).unwrap();
        assert_eq!(plain.workspace_size_on(gpu()), operator.workspace_size_on(gpu()) + size);
        assert_eq!(plain.workspace_size_on(gpu()), plain.workspace_size());

        let (input, weight, output) = (buffer(64 * 36 * 4), buffer(64 * 9 * 4), buffer(64));
        let workspace = buffer(operator.workspace_size());
        let buffers = Conv2dBuffers {
            input: input.slice(..),
            weight: weight.slice(..),
            bias: None,
            output: output.slice(..),
            workspace: Some(workspace.slice(..)),
        };
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let mut recorder = gpu().record(&mut encoder);
        let refused = |result: wgdnn::Result<()>, wanted: &str| match result {
            Err(Error::InvalidArgument { operator: "conv2d", argument, .. }) => assert_eq!(argument, wanted),
            other => panic!("{other:?}"),
        };
        let (enough, short) = (buffer(size), buffer(size - 4));
        refused(operator.record(&mut recorder, &buffers), "packed_weight");
        refused(operator.record_packed(&mut recorder, &buffers, short.slice(..)), "packed_weight");
        refused(operator.record_packed(&mut recorder, &buffers, weight.slice(..)), "packed_weight");
        let large = buffer(operator.workspace_size().max(size));
        let twice = Conv2dBuffers { workspace: Some(large.slice(..)), ..buffers };
        refused(operator.record_packed(&mut recorder, &twice, large.slice(..)), "workspace");
        refused(operator.record_pack_weight(&mut recorder, weight.slice(..), short.slice(..)), "packed_weight");
        refused(operator.record_pack_weight(&mut recorder, output.slice(..), enough.slice(..)), "weight");
        refused(operator.record_pack_weight(&mut recorder, enough.slice(..), enough.slice(..)), "packed_weight");
        refused(plain.record_pack_weight(&mut recorder, weight.slice(..), enough.slice(..)), "packed_weight");
        refused(plain.record_packed(&mut recorder, &buffers, enough.slice(..)), "packed_weight");
        // Where there is nothing to pack, the buffer is not looked at.
        let direct = new(Conv2dAlgorithm::Direct);
        assert_eq!(direct.packed_weight_size_on(gpu()), 0);
        assert_eq!(direct.record_pack_weight(&mut recorder, weight.slice(..), short.slice(..)), Ok(()));
        assert_eq!(direct.record_packed(&mut recorder, &buffers, short.slice(..)), Ok(()));
    }

    #[test]
    fn algorithms_refuse_what_they_are_not_for() {
        let new = |channels: usize, kernel: usize, algorithm| {
            let params = Conv2dParams { algorithm, ..Default::default() };
            Conv2d::new(&[1, channels, 8, 8], &[2, channels, kernel, 3], None, &params)
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
            let params = Conv2dParams {
                padding: Padding::Explicit([2, 2]),
                dilation: [dilation, dilation],
                ..Default::default()
            };
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
}

/// Arrays and views of them, of any dimension and in any order.
#[test]
fn references_take_views() {
    use ndarray::{Array1, Array4};
    use wgdnn::reference;

    let pixels = Array4::from_shape_fn((2, 5, 6, 3), |(n, y, x, c)| (n * 7 + y * 5 + x * 3 + c * 11) as f32);
    let weight = Array4::from_shape_fn((4, 3, 2, 2), |(o, c, u, v)| (o + 2 * c + 3 * u + 5 * v) as f32);
    let bias = Array1::from_iter((0..8).map(|x| x as f32));
    // Channels first, and every other element of the bias.
    let image = pixels.view().permuted_axes([0, 3, 1, 2]);
    let bias = bias.slice(ndarray::s![..;2]);
    let params = Conv2dParams::default();
    let output = reference::conv2d(&image, &weight, Some(&bias), &params).unwrap();
    let owned = [image.to_owned().into_dyn(), weight.into_dyn()];
    let bias = bias.to_owned().into_dyn();
    assert_eq!(output, reference::conv2d(&owned[0], &owned[1], Some(&bias), &params).unwrap());
    assert_eq!(output[[1, 2, 0, 1]], {
        let products = (0..3).flat_map(|c| (0..2).flat_map(move |u| (0..2).map(move |v| (c, u, v))));
        products.map(|(c, u, v)| pixels[[1, u, 1 + v, c]] * owned[1][[2, c, u, v]]).sum::<f32>() + 4.0
    });
}

#[test]
fn bad_input_is_refused() {
    let op = "conv2d";
    let with = |params, input: &[usize], weight: &[usize], bias: &[usize]| {
        call(op, params, &[("input", floats(input)), ("weight", floats(weight)), ("bias", floats(bias))])
    };
    let (image, kernel, bias) = (&[1, 4, 6, 6][..], &[2, 4, 3, 3][..], &[2][..]);
    expect_refused(
        op,
        &[
            ("input", with(json!({}), &[6, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 0, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 2, 6], kernel, bias)),
            ("groups", with(json!({"groups": 3}), image, &[3, 1, 3, 3], &[3])),
            ("input", with(json!({"dilation": 3}), image, kernel, bias)),
            ("weight", with(json!({}), image, &[2, 4, 3], bias)),
            ("weight", with(json!({}), image, &[2, 3, 3, 3], bias)),
            ("weight", with(json!({}), image, &[0, 4, 3, 3], &[0])),
            ("weight", with(json!({"groups": 2}), image, kernel, bias)),
            ("groups", with(json!({"groups": 4}), image, &[2, 1, 3, 3], bias)),
            ("bias", with(json!({}), image, kernel, &[3])),
            ("bias", with(json!({}), image, kernel, &[1, 2])),
            ("groups", with(json!({"groups": 0}), image, kernel, bias)),
            ("groups", with(json!({"groups": -1}), image, kernel, bias)),
            ("stride", with(json!({"stride": 0}), image, kernel, bias)),
            ("stride", with(json!({"stride": 2, "padding": "same"}), image, kernel, bias)),
            ("padding", with(json!({"padding": -1}), image, kernel, bias)),
            ("padding", with(json!({"padding": "full"}), image, kernel, bias)),
            ("dilation", with(json!({"dilation": [0, 1]}), image, kernel, bias)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], weight: &[usize], params| Conv2d::new(input, weight, None, &params);
    let default = Conv2dParams::default;
    for result in [
        new(&[1, 1, 8, 8], &[1 << 29, 1, 1, 1], default()),
        new(&[0, 1, 1, 1], &[8, 1, 1, 1], Conv2dParams { padding: [1 << 29, 1 << 29].into(), ..default() }),
        new(&[1 << 20, 1, 8, 8], &[1 << 20, 1, 1, 1], default()),
        new(&[1, 1, 1 << 20, 1 << 20], &[1, 1, 1, 1], default()),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [1 << 20, 1 << 20].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [usize::MAX, 0].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { dilation: [usize::MAX, 1], ..default() }),
        new(
            &[1, 1, 8, 8],
            &[1, 1, 3, 3],
            Conv2dParams { dilation: [usize::MAX, 1], padding: Padding::Same, ..default() },
        ),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}
