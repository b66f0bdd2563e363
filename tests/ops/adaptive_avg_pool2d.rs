//! adaptive_avg_pool2d: the means of areas.

use serde_json::json;
use wgdnn::{AdaptiveAvgPool2d, AdaptiveAvgPool2dParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("adaptive_avg_pool2d", at_least 60, barriers problems);

#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    let call = on_gpu::of(&[1, 2, 60, 50], [1, 1]);
    vec![crate::barriers::Problem { call, files: &["adaptive_avg_pool2d"] }]
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use ndarray::Array;
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;
    use wgdnn::{Tensor, UnaryInputs, adaptive_avg_pool2d_backward};

    use super::*;
    use crate::gradients::backward_of;
    use crate::harness::{expect_within, gpu, random};
    use crate::properties::{agree, config, image};
    use crate::splitting::expect_cut;

    pub fn of(shape: &[usize], out: [usize; 2]) -> Call {
        let params = AdaptiveAvgPool2dParams::new(out.map(Some));
        Call::new::<AdaptiveAvgPool2d>(UnaryInputs { input: random(shape, 1) }, &params).unwrap()
    }

    #[test]
    fn every_plan() {
        for (shape, out, says) in [
            (&[2, 3, 7, 7][..], [1, 1], "an area an invocation"),
            (&[2, 3, 32, 32], [1, 1], "an area an invocation"),
            (&[2, 3, 33, 32], [1, 1], "an area a workgroup"),
            (&[3, 224, 200], [2, 3], "an area a workgroup"),
            (&[3, 5, 7], [11, 13], "an area an invocation"),
            (&[1, 1, 70_001], [1, 3], "an area a workgroup"),
            // Products of positions and lengths beyond 32 bits.
            (&[1, 1, 100_003], [1, 70_001], "an area an invocation"),
            (&[1, 70_001, 1], [100_003, 1], "an area an invocation"),
        ] {
            let call = of(shape, out);
            let plan = call.operator().plan_on(gpu().capabilities());
            assert_eq!(plan, says, "{shape:?}");
            expect_within(&call, 1.2e-7);
            crate::gradients::agree(&call, 1).unwrap();
        }
    }

    #[test]
    fn more_areas_than_a_driver_loops_over() {
        for out in [[300, 300], [1, 70_000], [70_000, 1]] {
            let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, out[0], out[1]))).unwrap();
            let params = AdaptiveAvgPool2dParams::new(out.map(Some));
            let gradient = adaptive_avg_pool2d_backward(&ones, &[1, 1, 1], &params).unwrap();
            assert_eq!(gradient.read_blocking().unwrap()[[0, 0, 0]], (out[0] * out[1]) as f32);
        }
    }

    /// More elements than an invocation of llvmpipe may loop over, if its workgroup shares them.
    #[test]
    fn an_area_is_cut_where_loops_would_be_too_long() {
        let call = of(&[1, 2100, 2000], [1, 1]);
        let software = wgdnn::Capabilities::new(
            wgdnn::AdapterClass::Llvmpipe,
            wgdnn::wgpu::Features::empty(),
            wgdnn::wgpu::Limits::defaults(),
        );
        assert_eq!(call.operator().plan_on(&software), "an area a workgroup, in 3 parts");
        expect_within(&call, 1.2e-7);
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        let call = of(&[11, 3, 5, 6], [2, 3]);
        expect_cut(&call, 1.2e-7);
        for how in [Gradient::Write, Gradient::Accumulate] {
            expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-6);
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in image(), out in [0..12_usize, 0..12], none: [bool; 2], seed: u64) {
            let output_size = [0, 1].map(|axis| (!none[axis]).then_some(out[axis]));
            let params = AdaptiveAvgPool2dParams::new(output_size);
            let inputs = UnaryInputs { input: random(&shape, seed) };
            agree(Call::new::<AdaptiveAvgPool2d>(inputs, &params), 1.2e-7)?;
        }
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(output_size: [Option<usize>; 2]) {
            comes_back(&AdaptiveAvgPool2dParams::new(output_size));
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = AdaptiveAvgPool2d::new(&[1 << 27, 2, 2], &AdaptiveAvgPool2dParams::new([None; 2])).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { argument: "input", .. }), "{error}");
    let params = AdaptiveAvgPool2dParams::new([Some(usize::MAX); 2]);
    let error = AdaptiveAvgPool2d::new(&[1, 2, 2], &params).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { argument: "output_size", .. }), "{error}");
}

#[test]
fn bad_input_is_refused() {
    let of = |shape: &[usize], size| {
        call("adaptive_avg_pool2d", json!({ "output_size": size }), &[("input", floats(shape))])
    };
    expect_refused(
        "adaptive_avg_pool2d",
        &[
            ("input", of(&[4, 4], json!(1))),
            ("input", of(&[1, 1, 1, 4, 4], json!(1))),
            ("input", of(&[1, 1, 0, 4], json!(1))),
            ("input", of(&[1, 4, 0], json!(0))),
            ("output_size", of(&[1, 4, 4], json!(-1))),
            ("output_size", of(&[1, 4, 4], json!([1]))),
            ("output_size", of(&[1, 4, 4], json!([1, 1, 1]))),
            ("output_size", of(&[1, 4, 4], json!("1"))),
            ("output_size", of(&[1, 4, 4], json!(null))),
            ("output_size", of(&[1, 4, 4], json!([1.5, 1]))),
            ("output_size", call("adaptive_avg_pool2d", json!({}), &[("input", floats(&[1, 4, 4]))])),
        ],
    );
}

planted_faults!(
    "adaptive_avg_pool2d",
    [
        ("adaptive_avg_pool2d", "if (index >= params.count)", "if (index + 1u >= params.count)"),
        ("adaptive_avg_pool2d", "select(0u, 1u, begin_of_next.y > 0u)", "0u"),
        ("adaptive_avg_pool2d", "index * whole + divided.x", "index * whole"),
        ("adaptive_avg_pool2d", "f32(area.row_end - area.row_begin) * ", ""),
        ("adaptive_avg_pool2d_backward", "begin_of(first, parts, length)", "0u"),
        ("adaptive_avg_pool2d_backward", "rest - select(0u, parts, carries)", "rest"),
        ("adaptive_avg_pool2d_backward", "select(0u, 1u, begin.y > 0u)", "0u"),
        ("adaptive_avg_pool2d_backward", "columns < vec4<u32>(end)", "columns <= vec4<u32>(end)"),
        ("adaptive_avg_pool2d_backward", "(height * f32(end - at_col.x))", "height"),
        ("adaptive_avg_pool2d_backward", "sums += of_row", "sums = of_row"),
    ]
);

/// In kernels that the golden cases do not reach.
#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_in_large_areas_are_seen() {
    use crate::harness::expect_seen_in;

    const NAME: &str = "adaptive_avg_pool2d";
    // Of whole numbers sums are exact.
    let call = wgdnn::cases::Call::new::<AdaptiveAvgPool2d>(
        wgdnn::UnaryInputs { input: crate::harness::random_integers(&[2, 64, 64], 1) },
        &AdaptiveAvgPool2dParams::new([Some(1); 2]),
    );
    expect_seen_in(
        &call.unwrap(),
        &[
            (NAME, "element += WORKGROUP_SIZE", "element += WORKGROUP_SIZE + 1u"),
            (NAME, "add_pair(sums[lane], sums[lane + width])", "sums[lane]"),
            (NAME, "area.plane_begin + at", "at"),
            (NAME, "rounded(total) / f32(size)", "rounded(total)"),
        ],
    );
}
