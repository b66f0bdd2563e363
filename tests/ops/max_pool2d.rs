//! max_pool2d: the maximum over sliding windows.

use serde_json::json;
use wgdnn::{Error, MaxPool2d, MaxPool2dParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("max_pool2d", at_least 40);

#[cfg(feature = "gpu-core")]
mod exact {
    use super::*;
    use crate::harness::{expect_exact, gpu, random, random_integers};
    use ndarray::Array;
    use wgdnn::cases::Call;
    use wgdnn::{MaxPool2dInputs, Tensor, max_pool2d_backward, reference};

    #[test]
    fn ties_take_the_first() {
        let params = MaxPool2dParams {
            stride: Some([1, 2]),
            padding: [1, 1].into(),
            return_indices: true,
            ..MaxPool2dParams::new([3, 3])
        };
        expect_exact(
            &Call::new::<MaxPool2d>(
                MaxPool2dInputs { input: random_integers(&[2, 3, 17, 9], 1).mapv(|x| x + 0.5) },
                &params,
            )
            .unwrap(),
        );
    }

    /// Rows in blocks of 4, and windows over their edges.
    #[test]
    fn blocks_are_exact() {
        for (kernel, stride, padding, size) in [
            ([2, 2], [2, 2], [0, 0], [6, 16]),
            ([3, 3], [1, 1], [1, 1], [5, 8]),
            ([3, 3], [2, 2], [1, 1], [7, 24]),
            ([1, 5], [3, 1], [0, 2], [6, 12]),
            ([7, 7], [4, 4], [3, 3], [9, 32]),
            ([2, 13], [1, 3], [1, 6], [3, 36]),
        ] {
            for return_indices in [false, true] {
                let params = MaxPool2dParams {
                    stride: Some(stride),
                    padding: padding.into(),
                    return_indices,
                    ..MaxPool2dParams::new(kernel)
                };
                let mut input = random_integers(&[2, 3, size[0], size[1]], 1);
                input[[0, 1, 1, 5]] = f32::NAN;
                input[[1, 2, 2, 7]] = f32::INFINITY;
                input.index_axis_mut(ndarray::Axis(0), 1).index_axis_mut(ndarray::Axis(0), 0).fill(f32::NEG_INFINITY);
                let call = Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params).unwrap();
                expect_exact(&call);
                crate::gradients::agree(&call, 1).unwrap();
            }
        }
    }

    #[test]
    fn more_windows_than_a_driver_loops_over() {
        // Every window has its maximum at column 33,000.
        let params =
            MaxPool2dParams { stride: Some([1, 1]), return_indices: true, ..MaxPool2dParams::new([1, 33_001]) };
        let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, 1, 1, 33_001))).unwrap();
        let indices = Tensor::from_array(gpu(), &Array::from_elem((1, 1, 1, 33_001), 33_000)).unwrap();
        let gradient = max_pool2d_backward(&ones, &indices, &[1, 1, 1, 66_001], &params).unwrap();
        let gradient = gradient.read_blocking().unwrap();
        assert_eq!((gradient[[0, 0, 0, 33_000]], gradient.sum()), (33_001.0, 33_001.0));
    }

    /// In both kernels.
    #[test]
    fn a_place_outside_its_window_gets_no_gradient() {
        for cols in [4, 3] {
            let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
            let input = [1, 1, 4, 2 * cols];
            // Only the first and the last are right.
            let [inside, last] = [0, 3 * input[3] as i32 - 1];
            let places = [inside, 0, 6, -1, i32::MAX, i32::MIN, 1 << 30];
            let indices = Array::from_shape_fn((1, 1, 2, cols), |(_, _, y, x)| match y * cols + x {
                at if at + 1 == 2 * cols => last,
                at => places[at],
            });
            let grad = Array::from_shape_fn((1, 1, 2, cols), |(_, _, y, x)| (y * cols + x + 1) as f32);
            let expected = reference::max_pool2d_backward(&grad, &indices, &input, &params).unwrap();
            assert_eq!(expected.sum(), 1.0 + 2.0 * cols as f32);
            let grad = Tensor::from_array(gpu(), &grad).unwrap();
            let indices = Tensor::from_array(gpu(), &indices).unwrap();
            let got = max_pool2d_backward(&grad, &indices, &input, &params).unwrap();
            assert_eq!(got.read_blocking().unwrap(), expected);
        }
    }

    #[test]
    fn windows_beyond_a_drivers_loop_limit() {
        // 90,000 elements in one window; llvmpipe ends a loop after 65,535.
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([300, 300]) };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[2, 1, 300, 300], 2) }, &params.clone()).unwrap(),
        );
        let params = MaxPool2dParams { return_indices: false, ..params };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[1, 1, 300, 300], 3) }, &params).unwrap(),
        );
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([1, 70_000]) };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[1, 1, 2, 70_000], 4) }, &params).unwrap(),
        );
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random_integers;
    use crate::properties::{agree, commutes_with_a_split, config, image, pair};
    use ndarray::ArrayD;
    use proptest::prelude::*;
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;

    prop_compose! {
        fn problem()(
            shape in image(), kernel_size in pair(1..6), stride in prop::option::of(pair(1..5)), half in pair(0..3),
            dilation in pair(1..4), ceil_mode: bool, return_indices: bool, seed: u64,
        ) -> (ArrayD<f32>, MaxPool2dParams) {
            let padding = [half[0].min(kernel_size[0] / 2), half[1].min(kernel_size[1] / 2)];
            let params = MaxPool2dParams { kernel_size, stride, padding: padding.into(), dilation, ceil_mode, return_indices };
            (random_integers(&shape, seed), params)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((input, params) in problem()) {
            agree(Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params), 0.0)?;
        }

        #[test]
        fn it_commutes_with_a_split_of_the_batch((input, params) in problem(), cut in 0..4_usize) {
            commutes_with_a_split(|input| Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params), &input, cut)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::gradients::backward_of;
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;

    let call = |shape: &[usize], params| Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(shape, 1) }, &params);
    expect_cut(&call(&[27, 2, 6, 5], MaxPool2dParams::new([2, 2])).unwrap(), 0.0);
    // Parts that begin nowhere near where bindings may.
    expect_cut(&call(&[70, 1, 21, 23], MaxPool2dParams::new([3, 2])).unwrap(), 0.0);
    let params = MaxPool2dParams { return_indices: true, stride: Some([1, 1]), ..MaxPool2dParams::new([3, 2]) };
    let call = call(&[27, 2, 6, 5], params).unwrap();
    expect_cut(&call, 0.0);
    for how in [Gradient::Write, Gradient::Accumulate] {
        expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-6);
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, pair};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            (kernel_size, stride, padding, dilation) in (pair(), proptest::option::of(pair()), pair(), pair()),
            (ceil_mode, return_indices) in any::<(bool, bool)>(),
        ) {
            comes_back(&MaxPool2dParams { kernel_size, stride, padding: padding.into(), dilation, ceil_mode, return_indices });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "max_pool2d";
    let with = |params, shape: &[usize]| call(op, params, &[("input", floats(shape))]);
    let image = &[1, 2, 6, 6];
    expect_refused(
        op,
        &[
            ("input", with(json!({"kernel_size": 2}), &[6, 6])),
            ("input", with(json!({"kernel_size": 2}), &[1, 1, 1, 6, 6])),
            ("input", with(json!({"kernel_size": 2}), &[1, 0, 6, 6])),
            ("input", with(json!({"kernel_size": 7}), image)),
            ("input", with(json!({"kernel_size": 3, "dilation": 3}), image)),
            ("kernel_size", with(json!({"kernel_size": 0}), image)),
            ("kernel_size", with(json!({}), image).or_else(|_| with(json!({"kernel_size": [2, 0]}), image))),
            ("kernel_size", with(json!({"kernel_size": [2, 2, 2]}), image)),
            ("kernel_size", with(json!({"kernel_size": "2"}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": 0}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": -1}), image)),
            ("padding", with(json!({"kernel_size": 2, "padding": 2}), image)),
            ("padding", with(json!({"kernel_size": 2, "padding": -1}), image)),
            ("dilation", with(json!({"kernel_size": 2, "dilation": [1, 0]}), image)),
            ("ceil_mode", with(json!({"kernel_size": 2, "ceil_mode": 1}), image)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let params = MaxPool2dParams { padding: [usize::MAX / 2; 2].into(), ..MaxPool2dParams::new([usize::MAX; 2]) };
    assert!(matches!(MaxPool2d::new(&[1, 1, 4, 4], &params), Err(Error::LimitExceeded { .. })));
    let params = MaxPool2dParams::new([1, 1]);
    for shape in [[1, 1, 1 << 20, 1 << 20], [usize::MAX; 4], [1, 1 << 29, 1, 1]] {
        assert!(matches!(MaxPool2d::new(&shape, &params), Err(Error::LimitExceeded { .. })));
    }
}

/// Padding that differs before and after is that of an input padded before.
#[test]
fn sides_are_padded_each_by_its_own() {
    use crate::harness::{padded, random};
    use wgdnn::{MaxPool2dParams, Padding, reference};

    for (sides, cols) in [([[0, 1], [1, 0]], 8), ([[1, 0], [0, 1]], 12), ([[0, 1], [0, 1]], 7)] {
        let input = random(&[2, 3, 9, cols], 1);
        let params =
            MaxPool2dParams { stride: Some([2, 1]), padding: Padding::Sides(sides), ..MaxPool2dParams::new([3, 2]) };
        let output = reference::max_pool2d(&input, &params).unwrap().output;
        let around = padded(&input, sides, f32::NEG_INFINITY);
        let alone = MaxPool2dParams { padding: Padding::Valid, ..params.clone() };
        assert_eq!(output, reference::max_pool2d(&around, &alone).unwrap().output);
        #[cfg(feature = "gpu-core")]
        for return_indices in [false, true] {
            use wgdnn::{MaxPool2d, MaxPool2dInputs, cases::Call};
            let (inputs, params) = (MaxPool2dInputs::new(input.clone()), params.clone());
            let params = MaxPool2dParams { return_indices, ..params };
            crate::harness::expect_exact(&Call::new::<MaxPool2d>(inputs, &params).unwrap());
        }
    }
    let same = MaxPool2dParams { padding: Padding::Same, ..MaxPool2dParams::new([3, 3]) };
    let error = wgdnn::MaxPool2d::new(&[1, 1, 8, 8], &same).unwrap_err();
    assert!(error.to_string().starts_with("max_pool2d: padding: expected numbers"), "{error}");
    let large = MaxPool2dParams { padding: Padding::Sides([[0, 2], [0, 0]]), ..MaxPool2dParams::new([3, 3]) };
    assert!(wgdnn::MaxPool2d::new(&[1, 1, 8, 8], &large).is_err());
}

planted_faults!(
    "max_pool2d",
    [
        ("max_pool2d", "ordered(value) > ordered(best.value)", "ordered(value) >= ordered(best.value)"),
        ("max_pool2d", "is_nan_of(value) || ", ""),
        ("max_pool2d", "min(params.col_end, cols); col_tap++", "min(params.col_end, cols) - 1; col_tap++"),
        ("max_pool2d", "row_index + first_col + col_tap * params.cols.dilation", "row_index + first_col + col_tap"),
        ("max_pool2d", "!is_nan_of(best.value) && ordered", "ordered"),
        ("max_pool2d_backward", "out_col < cols.y", "out_col + 1 < cols.y"),
        ("max_pool2d_backward", "sums += of_row", "sums = of_row"),
        ("max_pool2d_backward", "if (left > 2)", "if (left > 3)"),
        ("max_pool2d_backward_quads", "places[window] == place", "places[window] >= place"),
        ("max_pool2d_backward_quads", "window < LEFT + WINDOWS", "window < LEFT + WINDOWS - 1"),
        ("max_pool2d_backward_quads", "block < STRIDE_COLS", "block < STRIDE_COLS - 1"),
    ]
);

#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_are_seen_among_nans() {
    use crate::harness::{expect_seen_in, random_integers};
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;

    let mut input = random_integers(&[1, 1, 4, 8], 2);
    input[[0, 0, 1, 2]] = f32::NAN;
    input[[0, 0, 1, 3]] = f32::NAN;
    let params = MaxPool2dParams {
        stride: Some([1, 1]),
        padding: [1, 1].into(),
        return_indices: true,
        ..MaxPool2dParams::new([3, 3])
    };
    expect_seen_in(
        &Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params).unwrap(),
        &[
            ("max_pool2d_quads", "|| order == NAN_ORDER", ""),
            ("max_pool2d_quads", "col >= 0 && col < params.in_cols", "col >= 0"),
        ],
    );
}

#[cfg(feature = "gpu-core")]
#[test]
#[ignore]
fn zz_time() {
    use crate::harness::{gpu, random, random_integers};
    use std::time::Instant;
    use wgdnn::*;
    let gpu = gpu();
    if let Ok(dir) = std::env::var("H1_SHADERS") {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name: &'static str = path.file_stem().unwrap().to_str().unwrap().to_owned().leak();
            gpu.substitute_shader(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    let cpu = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap().split_whitespace().map(|x| x.parse().unwrap_or(0.0)).collect();
        (fields[11] + fields[12]) * 10.0
    };
    let only = std::env::var("H1_ONLY").unwrap_or_default();
    let time = |name: &str, f: &dyn Fn() -> Tensor| {
        if !name.contains(&only) {
            return;
        }
        let mut times: Vec<f64> = Vec::new();
        let mut before = 0.0;
        for i in 0..11 {
            if i == 1 {
                before = cpu();
            }
            let start = Instant::now();
            let t = f();
            gpu.submit().unwrap();
            gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            drop(t);
        }
        times[1..].sort_by(f64::total_cmp);
        println!(
            "{name}: first {:.1} min {:.2} median {:.2} cpu/2 {:.1} ms",
            times[0],
            times[1],
            times[6],
            (cpu() - before) / 20.0
        );
    };
    let up = |shape: &[usize]| Tensor::from_array(gpu, &random(shape, 1)).unwrap();
    let shape = [8, 64, 112, 112];
    for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 1, 2), (4, 4, 0), (7, 7, 0), (3, 3, 0)] {
        let params = MaxPool2dParams {
            stride: Some([stride; 2]),
            padding: [padding; 2].into(),
            return_indices: true,
            ..MaxPool2dParams::new([kernel; 2])
        };
        let pooled = max_pool2d(&up(&shape), &params).unwrap();
        let grad = up(pooled.output.shape());
        let indices = pooled.indices.unwrap();
        time(&format!("max k{kernel} s{stride} p{padding}"), &|| {
            max_pool2d_backward(&grad, &indices, &shape, &params).unwrap()
        });
        let params = AvgPool2dParams {
            stride: Some([stride; 2]),
            padding: [padding; 2].into(),
            ..AvgPool2dParams::new([kernel; 2])
        };
        time(&format!("avg k{kernel} s{stride} p{padding}"), &|| avg_pool2d_backward(&grad, &shape, &params).unwrap());
    }
    let params = AvgPool2dParams::new([7; 2]);
    let grad = up(&[8, 2048, 1, 1]);
    time("avg global7", &|| avg_pool2d_backward(&grad, &[8, 2048, 7, 7], &params).unwrap());
    let _ = random_integers(&[1], 1);
    let params = AdaptiveAvgPool2dParams::new([Some(1); 2]);
    time("adaptive global7", &|| adaptive_avg_pool2d_backward(&grad, &[8, 2048, 7, 7], &params).unwrap());
    let params = AdaptiveAvgPool2dParams::new([Some(7); 2]);
    let grad = up(&[8, 256, 7, 7]);
    time("adaptive 8x256x24x24 to 7", &|| adaptive_avg_pool2d_backward(&grad, &[8, 256, 24, 24], &params).unwrap());
    let grad = up(&[8, 64, 112, 112]);
    let input = up(&[8, 64, 56, 56]);
    for mode in [InterpolateMode::Nearest, InterpolateMode::Bilinear] {
        let params = InterpolateParams::by_factor([2.0; 2], mode);
        time(&format!("interpolate {mode:?} up 2"), &|| {
            interpolate_backward(&grad, &[8, 64, 56, 56], &params).unwrap()
        });
        time(&format!("forward {mode:?} up 2"), &|| interpolate(&input, &params).unwrap());
    }
    let params = InterpolateParams {
        align_corners: Some(true),
        ..InterpolateParams::by_factor([2.0; 2], InterpolateMode::Bilinear)
    };
    time("interpolate aligned up 2", &|| interpolate_backward(&grad, &[8, 64, 56, 56], &params).unwrap());
    let params = InterpolateParams::by_factor([0.5; 2], InterpolateMode::Bilinear);
    time("interpolate down 2", &|| interpolate_backward(&grad, &[8, 64, 224, 224], &params).unwrap());
    let mut seed = 1u32;
    let mut next = |most: f32| {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        (seed >> 8) as f32 / (1u32 << 24) as f32 * most
    };
    let boxes = ndarray::Array2::from_shape_fn((512, 5), |_| 0.0);
    let mut boxes = boxes;
    for mut row in boxes.rows_mut() {
        let (x, y) = (next(1100.0), next(700.0));
        row[1] = x;
        row[2] = y;
        row[3] = (x + 16.0 + next(500.0)).min(1215.0);
        row[4] = (y + 16.0 + next(400.0)).min(799.0);
    }
    let boxes = boxes.into_dyn();
    let params = RoiPoolParams { spatial_scale: 0.0625, ..RoiPoolParams::new([7, 7]) };
    let pool = RoiPool::new(&[1, 256, 50, 76], &Boxes::Indexed(&boxes), &params).unwrap().with_argmax();
    let table = pool.bins();
    let bins = Tensor::from_slice(gpu, &table, &[table.len()]).unwrap();
    let input = up(&[1, 256, 50, 76]);
    let pooled = pool.call(&RoiPoolInputs { input: &input, bins: &bins }).unwrap();
    let argmax = pooled.argmax.unwrap();
    let grad = up(&[512, 256, 7, 7]);
    time("roi forward", &|| pool.call(&RoiPoolInputs { input: &input, bins: &bins }).unwrap().output);
    time("roi planes", &|| {
        roi_pool_backward(&grad, &argmax, &[1, 256, 50, 76], &Boxes::Indexed(&boxes), &params).unwrap()
    });
    let backward = operator::Differentiable::backward_of_all(&pool).unwrap();
    let hard = crate::harness::gpu_taken_for_hardware();
    let argmax = Tensor::from_array(hard, &argmax.read_blocking().unwrap()).unwrap();
    let grad = Tensor::from_array(hard, &grad.read_blocking().unwrap()).unwrap();
    let bins = Tensor::from_slice(hard, &table, &[table.len()]).unwrap();
    let start = Instant::now();
    let all = backward.call(&RoiPoolBackwardInputs::new(&grad, &argmax, &bins)).unwrap().grad_input.unwrap();
    all.read_blocking().unwrap();
    println!("roi elements {:?}", start.elapsed());
}
