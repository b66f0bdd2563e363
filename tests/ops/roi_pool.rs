//! roi_pool: the maxima of the bins that boxes are cut into.

use ndarray::array;
use serde_json::json;
use wgdnn::{Boxes, Error, RoiPool, RoiPoolParams};

use crate::cases::CaseArray;
use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("roi_pool", at_least 40);

#[cfg(feature = "gpu")]
#[test]
fn bins_beyond_a_drivers_loop_limit() {
    use crate::cases::{Call, CaseBoxes};
    use crate::harness::{expect_exact, random};

    // 90,000 elements in one bin; llvmpipe ends a loop after 65,535.
    let boxes = array![[0.0, 0.0, 0.0, 299.0, 299.0], [0.0, 5.0, 7.0, 9.0, 299.0]].into_dyn();
    expect_exact(&Call::RoiPool {
        input: random(&[1, 2, 300, 300], 1),
        boxes: CaseBoxes::Indexed(boxes),
        params: RoiPoolParams::new([1, 1]),
    });
}

#[cfg(feature = "gpu")]
#[test]
fn any_number_of_channels() {
    use crate::cases::{Call, CaseBoxes};
    use crate::harness::{expect_exact, random};

    let boxes = array![[0.0, 0.0, 0.0, 9.0, 9.0], [1.0, 5.0, 7.0, 9.0, 8.0], [0.0, 30.0, 30.0, 40.0, 40.0]].into_dyn();
    for channels in [1, 2, 3, 4, 5, 8, 33] {
        let mut input = random(&[2, channels, 11, 12], 1);
        input[[0, 0, 3, 3]] = f32::NAN;
        let boxes = CaseBoxes::Indexed(boxes.clone());
        expect_exact(&Call::RoiPool { input, boxes, params: RoiPoolParams::new([3, 2]) });
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
