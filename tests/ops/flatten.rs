//! flatten: several dimensions as one.

use serde_json::json;
use wgdnn::{Error, Flatten, FlattenParams};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("flatten", at_least 40);

#[cfg(feature = "gpu-core")]
#[test]
fn the_buffer_is_shared() {
    use crate::harness::{gpu, random};
    use wgdnn::{Tensor, flatten};

    let input = Tensor::from_array(gpu(), &random(&[2, 3, 4], 1)).unwrap();
    let flat = flatten(&input, &FlattenParams::default()).unwrap();
    assert_eq!(flat.shape(), [24]);
    assert_eq!(flat.slice().unwrap(), input.slice().unwrap());
    // Integers too.
    let indices = Tensor::from_array(gpu(), &ndarray::array![[1, 2], [3, 4]]).unwrap();
    let flat = flatten(&indices, &FlattenParams::default()).unwrap();
    assert_eq!(flat.read_blocking().unwrap(), ndarray::array![1, 2, 3, 4].into_dyn());
}

/// What only changes its shape is bound nowhere, and may be larger than a binding.
#[cfg(feature = "gpu-core")]
#[test]
fn it_is_larger_than_a_devices_bindings() {
    use crate::gradients::backward_of;
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::operator::Gradient;
    use wgdnn::{UnaryInputs, cases::Call};

    let input = random(&[3, 6, 3, 4, 6], 1);
    let call = Call::new::<Flatten>(UnaryInputs { input }, &FlattenParams::default()).unwrap();
    expect_cut(&call, 0.0);
    for how in [Gradient::Write, Gradient::Accumulate] {
        expect_cut(&backward_of(&call, 1, how, None).unwrap(), 0.0);
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random;
    use crate::properties::{agree, config, shape};
    use proptest::prelude::*;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in shape(), start_dim in -5..5_isize, end_dim in -5..5_isize, seed: u64) {
            let input = random(&shape, seed);
            agree(Call::new::<Flatten>(UnaryInputs { input }, &FlattenParams { start_dim, end_dim }), 0.0)?;
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
        fn parameters_come_back((start_dim, end_dim) in any::<(isize, isize)>()) {
            comes_back(&FlattenParams { start_dim, end_dim });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "flatten";
    let with = |params, shape: &[usize]| call(op, params, &[("input", floats(shape))]);
    expect_refused(
        op,
        &[
            ("start_dim", with(json!({"start_dim": 3}), &[2, 3, 4])),
            ("start_dim", with(json!({"start_dim": -4}), &[2, 3, 4])),
            ("start_dim", with(json!({"start_dim": 2, "end_dim": 1}), &[2, 3, 4])),
            ("start_dim", with(json!({"start_dim": -1, "end_dim": 0}), &[2, 3, 4])),
            ("start_dim", with(json!({"start_dim": 1.5}), &[2, 3, 4])),
            ("start_dim", with(json!({"start_dim": 1}), &[])),
            ("end_dim", with(json!({"end_dim": 3}), &[2, 3, 4])),
            ("end_dim", with(json!({"end_dim": -4}), &[2, 3, 4])),
            ("end_dim", with(json!({"end_dim": "last"}), &[2, 3, 4])),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let params = FlattenParams { start_dim: 1, end_dim: -1 };
    for shape in [&[2, 1 << 30, 1 << 30][..], &[0, usize::MAX, usize::MAX]] {
        assert!(matches!(Flatten::new(shape, &params), Err(Error::LimitExceeded { .. })));
    }
}
