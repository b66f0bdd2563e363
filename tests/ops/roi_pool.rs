//! roi_pool: the maxima of the bins that boxes are cut into.

use ndarray::array;
use serde_json::json;
use wgdnn::{Boxes, Error, RoiPool, RoiPoolParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
use wgdnn::cases::CaseArray;

golden_tests!("roi_pool", at_least 40);

/// The call of an operator on its boxes' bins.
#[cfg(feature = "gpu-core")]
fn call_of(operator: RoiPool, input: ndarray::ArrayD<f32>) -> wgdnn::cases::Call {
    let bins = ndarray::Array1::from(operator.bins()).into_dyn();
    wgdnn::cases::Call::of_operator(operator, wgdnn::RoiPoolInputs { input, bins })
}

#[test]
fn golden_cases_ask_for_the_optional_outputs() {
    let cases = crate::harness::golden_of("roi_pool");
    let count = cases.iter().filter(|case| case.outputs.contains_key("argmax")).count();
    assert!(count >= 60, "{count}");
}

#[cfg(feature = "gpu-core")]
#[test]
fn bins_beyond_a_drivers_loop_limit() {
    use crate::harness::{expect_exact, random};

    // 90,000 elements in one bin; llvmpipe ends a loop after 65,535.
    let boxes = array![[0.0, 0.0, 0.0, 299.0, 299.0], [0.0, 5.0, 7.0, 9.0, 299.0]].into_dyn();
    let operator = RoiPool::new(&[1, 2, 300, 300], &Boxes::Indexed(&boxes), &RoiPoolParams::new([1, 1])).unwrap();
    for operator in [operator.clone(), operator.with_argmax()] {
        expect_exact(&call_of(operator, random(&[1, 2, 300, 300], 1)));
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn any_number_of_channels() {
    use crate::harness::{expect_exact, expect_within_on, gpu_taken_for_hardware, random};

    let boxes = array![[0.0, 0.0, 0.0, 9.0, 9.0], [1.0, 5.0, 7.0, 9.0, 8.0], [0.0, 30.0, 30.0, 40.0, 40.0]].into_dyn();
    for channels in [1, 2, 3, 4, 5, 8, 33] {
        let mut input = random(&[2, channels, 11, 12], 1);
        input[[0, 0, 3, 3]] = f32::NAN;
        // Of the same value the first is taken.
        input[[0, 0, 1, 1]] = 2.0;
        input[[0, 0, 2, 0]] = 2.0;
        let operator = RoiPool::new(input.shape(), &Boxes::Indexed(&boxes), &RoiPoolParams::new([3, 2])).unwrap();
        for operator in [operator.clone(), operator.with_argmax()] {
            let call = call_of(operator, input.clone());
            expect_exact(&call);
            expect_within_on(gpu_taken_for_hardware(), &call, 0.0);
        }
    }
}

/// Empty bins, and bins of which no value is above the lowest finite number, have no maximum.
#[test]
fn bins_without_a_maximum_have_no_place() {
    use wgdnn::RoiPoolInputs;
    use wgdnn::operator::OnCpu;

    let mut input = ndarray::ArrayD::from_elem(vec![1, 1, 4, 4], f32::NAN);
    input[[0, 0, 0, 1]] = f32::NEG_INFINITY;
    input[[0, 0, 3, 3]] = f32::MIN;
    input[[0, 0, 2, 0]] = 1.0;
    let boxes = array![[0.0, 0.0, 0.0, 3.0, 3.0], [0.0, 9.0, 9.0, 10.0, 10.0]].into_dyn();
    let operator = RoiPool::new(input.shape(), &Boxes::Indexed(&boxes), &RoiPoolParams::new([2, 2])).unwrap();
    let operator = operator.with_argmax();
    let bins = ndarray::Array1::from(operator.bins()).into_dyn();
    let outputs = operator.compute(&RoiPoolInputs { input: input.clone(), bins }).unwrap().outputs;
    let lowest = f32::MIN;
    assert_eq!(outputs.output.into_iter().collect::<Vec<_>>(), [lowest, lowest, 1.0, lowest, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(outputs.argmax.unwrap().into_iter().collect::<Vec<_>>(), [-1, -1, 8, -1, -1, -1, -1, -1]);
    #[cfg(feature = "gpu-core")]
    {
        use crate::harness::{gpu, gpu_taken_for_hardware};
        let call = call_of(operator, input);
        for gpu in [gpu(), gpu_taken_for_hardware()] {
            assert_eq!(call.run_eager(gpu), call.run_reference());
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::gradients::backward_of;
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::operator::Gradient;

    let boxes = ndarray::ArrayD::from_shape_fn(vec![45, 5], |at| match at[1] {
        0 => (at[0] % 2) as f32,
        side => (at[0] % 3 + if side > 2 { 3 } else { 0 }) as f32,
    });
    let operator = RoiPool::new(&[2, 3, 9, 8], &Boxes::Indexed(&boxes), &RoiPoolParams::new([3, 3])).unwrap();
    for operator in [operator.clone(), operator.with_argmax()] {
        let call = call_of(operator, random(&[2, 3, 9, 8], 1));
        expect_cut(&call, 0.0);
        for how in [Gradient::Write, Gradient::Accumulate] {
            expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-5);
        }
    }
}

/// Boxes all over two images, more than an invocation of llvmpipe may loop over.
#[cfg(feature = "gpu-core")]
fn many_boxes(count: usize) -> wgdnn::cases::Call {
    let boxes = ndarray::ArrayD::from_shape_fn(vec![count, 5], |at| match at[1] {
        0 => (at[0] % 2) as f32,
        side => (at[0] % 5 + side + if side > 2 { at[0] % 7 } else { 0 }) as f32,
    });
    let operator = RoiPool::new(&[2, 3, 13, 14], &Boxes::Indexed(&boxes), &RoiPoolParams::new([7, 6])).unwrap();
    call_of(operator, crate::harness::random(&[2, 3, 13, 14], 1))
}

#[cfg(feature = "gpu-core")]
#[test]
fn gradients_of_thousands_of_boxes() {
    let call = many_boxes(3000);
    let software = wgdnn::Capabilities::new(
        wgdnn::AdapterClass::Llvmpipe,
        wgdnn::wgpu::Features::empty(),
        wgdnn::wgpu::Limits::defaults(),
    );
    let backward = crate::gradients::backward_of(&call, 1, wgdnn::operator::Gradient::Write, None).unwrap();
    assert_eq!(backward.operator().plan_on(&software), "a plane an invocation, in 5 parts");
    crate::gradients::agree(&call, 1).unwrap();
}

/// A place outside its bin gets no gradient, and both kernels add in the same order.
#[cfg(feature = "gpu-core")]
#[test]
fn kernels_of_gradients_agree_to_the_bit() {
    use crate::harness::{gpu, gpu_taken_for_hardware, random};
    use wgdnn::{Tensor, reference, roi_pool_backward};

    let input = [2, 5, 11, 10];
    let boxes = ndarray::ArrayD::from_shape_fn(vec![40, 5], |at| match at[1] {
        0 => (at[0] % 2) as f32,
        side => ((at[0] * side) % 7) as f32 * 1.5,
    });
    let (boxes, params) = (Boxes::Indexed(&boxes), RoiPoolParams::new([3, 4]));
    let grad = random(&[40, 5, 3, 4], 1);
    let operator = RoiPool::new(&input, &boxes, &params).unwrap();
    let outputs = call_of(operator.with_argmax(), random(&input, 2)).run_reference().unwrap();
    let CaseArray::I64(argmax) = &outputs["argmax"] else { panic!("no places") };
    // Every third is another's, and some are outside of the image.
    let mut argmax = argmax.mapv(|place| place as i32);
    let places: Vec<_> = argmax.iter().copied().collect();
    for (index, place) in argmax.iter_mut().enumerate().step_by(3) {
        *place = if index % 5 == 0 {
            [-7, 110, i32::MAX, i32::MIN][index % 4]
        } else {
            places[(index * 7 + 1) % places.len()]
        };
    }
    let expected = reference::roi_pool_backward(&grad, &argmax, &input, &boxes, &params).unwrap();
    assert!(expected.iter().filter(|&&x| x != 0.0).count() > 100);
    let [on_planes, on_elements] = [gpu(), gpu_taken_for_hardware()].map(|gpu| {
        let (grad, argmax) = (Tensor::from_array(gpu, &grad).unwrap(), Tensor::from_array(gpu, &argmax).unwrap());
        roi_pool_backward(&grad, &argmax, &input, &boxes, &params).unwrap().read_blocking().unwrap()
    });
    assert_eq!(on_planes, on_elements);
    assert!(expected.iter().zip(&on_planes).all(|(expected, got)| (expected - got).abs() < 1e-6));
}

/// Which no golden case reaches on this adapter.
#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_in_gradients_of_hardware_are_seen() {
    use crate::harness::{faulty, portable_gpu};

    let backward = crate::gradients::backward_of(&many_boxes(40), 1, wgdnn::operator::Gradient::Write, None).unwrap();
    const NAME: &str = "roi_pool_backward";
    for fault in [
        (NAME, "edges.image == image && ", ""),
        (NAME, "bins[edges.lefts] <= block.col + 3", "bins[edges.lefts] <= block.col"),
        (NAME, "block.row < bins[last_row]", "block.row + 1 < bins[last_row]"),
        (NAME, "block.row < bins[edges.bottoms + bin_row]", "block.row + 1 < bins[edges.bottoms + bin_row]"),
        (NAME, "sums += select", "sums = select"),
    ] {
        let gpu = portable_gpu();
        gpu.take_for(wgdnn::AdapterClass::Hardware);
        gpu.set_validation(true);
        assert!(backward.run_eager(&gpu).is_ok());
        gpu.substitute_shader(NAME, faulty(&fault));
        assert!(backward.run_eager(&gpu).is_err(), "{fault:?}");
    }
}

#[test]
fn large_boxes_have_the_bins_of_torchvision() {
    // torchvision counts the box's 16,777,218 rows in integers; in f32 there is no such number.
    let image = ndarray::ArrayD::from_shape_fn(vec![1, 1, 300, 1], |index| index[2] as f32);
    let boxes = array![[0.0, 0.0, -1.0, 0.0, 16_777_216.0]].into_dyn();
    let pooled = wgdnn::reference::roi_pool(&image, &Boxes::Indexed(&boxes), &RoiPoolParams::new([65_536, 1])).unwrap();
    assert_eq!((pooled[[0, 0, 0, 0]], pooled[[0, 0, 1, 0]]), (255.0, 299.0));
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random;
    use crate::properties::{agree, config, image, pair};
    use ndarray::ArrayD;
    use proptest::prelude::*;

    prop_compose! {
        fn problem()(
            shape in image(),
            boxes in prop::collection::vec((0..3_usize, [-8.0..40.0_f32, -8.0..40.0, -8.0..40.0, -8.0..40.0]), 0..4),
            output_size in pair(1..8), scale in prop_oneof![Just(1.0), Just(0.5), Just(0.0625), Just(2.0)],
            seed: u64,
        ) -> (ArrayD<f32>, ArrayD<f32>, RoiPoolParams) {
            let rows = boxes.iter().flat_map(|(image, corners)| {
                let image = *image % shape[0].max(1);
                [image as f32, corners[0], corners[1], corners[2], corners[3]]
            });
            let boxes = ArrayD::from_shape_vec(vec![boxes.len(), 5], rows.collect()).unwrap();
            (random(&shape, seed), boxes, RoiPoolParams { output_size, spatial_scale: scale })
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((input, boxes, params) in problem(), with_argmax: bool) {
            let operator = RoiPool::new(input.shape(), &Boxes::Indexed(&boxes), &params);
            let operator = operator.map(|operator| if with_argmax { operator.with_argmax() } else { operator });
            agree(operator.map(|operator| call_of(operator, input)).map_err(Into::into), 0.0)?;
        }
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, number, pair};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back((output_size, spatial_scale) in (pair(), number())) {
            comes_back(&RoiPoolParams { output_size, spatial_scale: spatial_scale as f32 });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "roi_pool";
    let with = |params, shape: &[usize], boxes: &CaseArray| {
        call(op, params, &[("input", floats(shape)), ("boxes", boxes.clone())])
    };
    let one = |row: [f32; 5]| CaseArray::F32(array![row].into_dyn());
    let good = one([0.0, 0.0, 0.0, 4.0, 4.0]);
    let image = &[2, 3, 8, 8];
    let size = || json!({"output_size": 2});
    expect_refused(
        op,
        &[
            ("input", with(size(), &[3, 8, 8], &good)),
            ("input", with(size(), &[1, 2, 3, 8, 8], &good)),
            ("boxes", with(size(), image, &floats(&[2, 6]))),
            ("boxes", with(size(), image, &floats(&[5]))),
            ("boxes", with(size(), image, &one([2.0, 0.0, 0.0, 4.0, 4.0]))),
            ("boxes", with(size(), image, &one([-1.0, 0.0, 0.0, 4.0, 4.0]))),
            ("boxes", with(size(), image, &one([f32::NAN, 0.0, 0.0, 4.0, 4.0]))),
            ("boxes", with(size(), image, &one([0.0, f32::NAN, 0.0, 4.0, 4.0]))),
            ("boxes", with(size(), image, &one([0.0, 0.0, 0.0, f32::INFINITY, 4.0]))),
            ("boxes", with(size(), image, &one([0.0, 0.0, 0.0, 1e20, 4.0]))),
            ("output_size", with(json!({"output_size": 0}), image, &good)),
            ("output_size", with(json!({"output_size": [2, -1]}), image, &good)),
            ("output_size", with(json!({"output_size": "2"}), image, &good)),
            ("spatial_scale", with(json!({"output_size": 2, "spatial_scale": "half"}), image, &good)),
            ("spatial_scale", with(json!({"output_size": 2, "spatial_scale": 1e60}), image, &good)),
        ],
    );
}

#[test]
fn boxes_for_more_images_than_there_are_are_refused() {
    let boxes = [array![[0.0, 0.0, 1.0, 1.0]].into_dyn(), array![[0.0, 0.0, 1.0, 1.0]].into_dyn()];
    let params = RoiPoolParams::new([1, 1]);
    assert!(RoiPool::new(&[2, 1, 4, 4], &Boxes::PerImage(&boxes), &params).is_ok());
    let result = RoiPool::new(&[1, 1, 4, 4], &Boxes::PerImage(&boxes), &params);
    assert!(matches!(result, Err(Error::InvalidArgument { argument: "boxes", .. })));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let boxes = array![[0.0, 0.0, 0.0, 1.0, 1.0]].into_dyn();
    let none = ndarray::ArrayD::zeros(vec![0, 5]);
    let result = RoiPool::new(&[1, 1, 4, 4], &Boxes::Indexed(&none), &RoiPoolParams::new([usize::MAX, 2]));
    assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    for (shape, size) in
        [([1, 1, 4, 4], [usize::MAX, 1]), ([1, 1, 4, 4], [1 << 20, 1 << 20]), ([1 << 30, 1, 4, 4], [1, 1])]
    {
        let result = RoiPool::new(&shape, &Boxes::Indexed(&boxes), &RoiPoolParams::new(size));
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

#[test]
fn wrong_boxes_of_a_case_are_told() {
    use crate::harness::{call, floats};
    use serde_json::json;

    let image = || ("input", floats(&[1, 3, 8, 8]));
    let integers = CaseArray::I64(ndarray::arr2(&[[0, 0, 0, 4, 4]]).into_dyn());
    let text =
        |inputs: &[(&str, CaseArray)]| call("roi_pool", json!({"output_size": 2}), inputs).unwrap_err().to_string();
    assert_eq!(text(&[image(), ("boxes", integers)]), "refused: roi_pool: boxes: expected floats, got integers");
    let missing = "refused: roi_pool: boxes: expected an array or a list of them, got none";
    assert_eq!(text(&[image()]), missing);
}

planted_faults!(
    "roi_pool",
    [
        ("roi_pool", "!is_nan_of(value) && ", ""),
        ("roi_pool", "select(values, vec4<u32>(), is_empty(bin))", "values"),
        ("roi_pool", "best_2 = better(best_2, input[at.z], index);", ""),
        ("roi_pool", "best_3 = better(best_3, input[at.w], index);", ""),
        ("roi_pool_backward", "+= grad_output[begin + bin_col]", "= grad_output[begin + bin_col]"),
        ("roi_pool_backward", "select(params.row_begin, params.row_end, edges.image == image)", "params.row_end"),
        ("roi_pool_backward", "= 0.0;\n    }\n}", "= 1.0;\n    }\n}"),
        (
            "roi_pool_backward",
            "box < params.box_end; box++) {\n        let edges = box_row(box);\n        let end_row",
            "box + 1 < params.box_end; box++) {\n        let edges = box_row(box);\n        let end_row"
        ),
    ]
);

/// Where maxima are, which the golden cases do not tell, and bins that are cut into parts.
#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_are_seen_in_places() {
    use crate::harness::{expect_seen_in, random};

    let call = |input: &[usize], boxes: ndarray::ArrayD<f32>, size| {
        let operator = RoiPool::new(input, &Boxes::Indexed(&boxes), &RoiPoolParams::new(size)).unwrap();
        call_of(operator.with_argmax(), random(input, 1))
    };
    let boxes = array![[0.0, 0.0, 0.0, 9.0, 9.0], [1.0, 5.0, 7.0, 9.0, 8.0], [0.0, 30.0, 30.0, 40.0, 40.0]];
    expect_seen_in(
        &call(&[2, 6, 11, 12], boxes.into_dyn(), [3, 2]),
        &[
            ("roi_pool", "argmax[out.y] = bests.indices.y;", ""),
            ("roi_pool", "select(best.index, index, is_better)", "index"),
            ("roi_pool", "ordered(value) > ordered(best.value)", "ordered(value) < ordered(best.value)"),
            (
                "roi_pool",
                "let out = quad.out;\n    var bests = Bests(vec4<u32>(LOWEST), vec4<i32>(-1));",
                "let out = quad.out;\n    var bests = Bests(vec4<u32>(LOWEST), vec4<i32>(0));",
            ),
        ],
    );
    let boxes = array![[0.0, 0.0, 0.0, 299.0, 299.0]];
    expect_seen_in(
        &call(&[1, 2, 300, 300], boxes.into_dyn(), [1, 1]),
        &[("roi_pool", "vec4<i32>(argmax[out.x], argmax[out.y]", "vec4<i32>(argmax[out.x], -1")],
    );
}
