//! zero: 0 in every element.

use serde_json::json;
use wgdnn::Zero;
use wgdnn::cases::CaseArray;

use crate::harness::{call, expect_overflow_refused, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("zero", at_least 40);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::harness::{gpu, random};
    use crate::properties::{agree, config};
    use crate::splitting::device_with_binding;
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::{Tensor, ZeroInputs};

    fn of(shape: &[usize], seed: u64) -> Call {
        Call::new::<Zero>(ZeroInputs { input: random(shape, seed) }, &Default::default()).unwrap()
    }

    #[test]
    fn long_and_cut_arrays() {
        for (gpu, length) in [(gpu(), 1_000_003), (&device_with_binding(1 << 11), 1003)] {
            let numbers = Tensor::from_array(gpu, &random(&[length], 1)).unwrap();
            wgdnn::zero_(&numbers).unwrap();
            assert!(numbers.read_vec_blocking().unwrap().iter().all(|x| *x == 0.0), "{length}");
        }
    }

    #[test]
    fn what_lies_beside_it_stays() {
        let flat = wgdnn::FlatTensors::zeros(gpu(), &[[5], [6], [7]]).unwrap();
        flat.parts().iter().for_each(|part| part.write(&vec![1.0; part.len()]).unwrap());
        wgdnn::zero_(&flat[1]).unwrap();
        let [a, b, c] = [0, 1, 2].map(|index| flat[index].read_vec_blocking().unwrap());
        assert_eq!((&a[..], &b[..], &c[..]), (&[1.0; 5][..], &[0.0; 6][..], &[1.0; 7][..]));
        let nan = Tensor::from_slice(gpu(), &[f32::NAN, f32::INFINITY], &[2]).unwrap();
        wgdnn::zero_(&nan).unwrap();
        assert_eq!(nan.read_vec_blocking().unwrap(), [0.0; 2]);
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in crate::properties::shape(), seed: u64) {
            agree(Ok(of(&shape, seed)), 0.0)?;
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    expect_overflow_refused("zero", Zero::new);
}

#[test]
fn bad_input_is_refused() {
    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    expect_refused(
        "zero",
        &[
            ("input", call("zero", json!({}), &[])),
            ("input", call("zero", json!({}), &[("input", integers)])),
            ("input", call("zero", json!({}), &[("input", floats(&[0, 1 << 20, 1 << 20]))])),
            ("input", call("zero", json!({}), &[("input", floats(&[0, 1 << 40]))])),
            ("input", call("zero", json!({}), &[("input", floats(&[1 << 29, 0]))])),
            ("input", call("zero", json!({}), &[("input", floats(&[0, 1 << 33]))])),
            ("input", call("zero", json!({}), &[("input", floats(&[1 << 20, 1 << 20, 0]))])),
            ("input", call("zero", json!({}), &[("input", floats(&[1 << 10, 0, 1 << 19]))])),
        ],
    );
}

planted_faults!(
    "zero",
    [
        ("zero", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("zero", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("zero", "input[params.base + index] = 0.0;", "input[params.base + index] = 1.0;"),
    ]
);
