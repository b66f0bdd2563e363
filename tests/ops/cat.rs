//! cat: tensors joined along a dimension.

use serde_json::json;
use wgdnn::{Cat, CatParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("cat", at_least 60);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use proptest::prelude::*;
    use wgdnn::CatInputs;
    use wgdnn::cases::Call;

    use super::*;
    use crate::harness::{expect_exact, random};
    use crate::properties::{agree, config};
    use crate::splitting::expect_cut;

    fn of(shapes: &[&[usize]], dim: isize) -> Call {
        let tensors = shapes.iter().zip(1..).map(|(shape, seed)| random(shape, seed)).collect();
        Call::new::<Cat>(CatInputs { tensors }, &CatParams { dim }).unwrap()
    }

    #[test]
    fn blocks_elements_and_many_tensors() {
        expect_exact(&of(&[&[2, 4, 8], &[2, 12, 8]], 1));
        expect_exact(&of(&[&[2, 4, 7], &[2, 12, 7]], 1));
        expect_exact(&of(&[&[2, 4, 3], &[2, 3, 3], &[2, 5, 3]], 1));
        expect_exact(&of(&[&[1_000_003], &[5], &[4_000_001]], 0));
        // More than a kernel can bind.
        expect_exact(&of(&[&[3, 5][..]; 40], 1));
        expect_exact(&of(&[&[0], &[2, 3], &[0], &[1, 3]], 0));
    }

    /// More than 16 bits count. All but a few add nothing, and so take no dispatch.
    #[test]
    fn very_many_tensors() {
        let mut shapes = vec![&[0, 2][..]; 70_000];
        shapes[1] = &[3, 2];
        shapes[65_535] = &[1, 2];
        shapes[69_999] = &[2, 2];
        expect_exact(&of(&shapes, 0));
    }

    #[test]
    fn a_list_of_nothing_is_refused() {
        use wgdnn::Operator;

        let cat = Cat::new(&[&[4]], &CatParams::default()).unwrap();
        let error = cat.call(&CatInputs { tensors: vec![] }).unwrap_err().to_string();
        assert_eq!(error, "cat: tensors: expected at least one tensor, got none");
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        expect_cut(&of(&[&[101, 3, 5], &[101, 4, 5]], 1), 0.0);
        expect_cut(&of(&[&[101, 3, 4], &[101, 4, 4]], -2), 0.0);
    }

    /// The same tensor may be joined with itself; the output is another.
    #[test]
    fn a_tensor_may_stand_in_a_list_twice() {
        use crate::harness::gpu;
        use wgdnn::{Tensor, cat};

        let x = Tensor::from_array(gpu(), &ndarray::array![1.0, 2.0]).unwrap();
        let joined = cat(&[&x, &x, &x.clone()], &CatParams::default()).unwrap();
        assert_eq!(joined.read_vec_blocking().unwrap(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    }

    /// A recorded list must have as many buffers as were planned.
    #[test]
    fn lists_of_another_length_are_refused() {
        use crate::harness::gpu;
        use wgdnn::{CatOutputs, Operator, Tensor};

        let cat = Cat::new(&[&[2], &[2]], &CatParams::default()).unwrap();
        let [a, b, output] = [0; 3].map(|_| Tensor::zeros(gpu(), &[4]).unwrap());
        let record = |inputs: &[&Tensor], output: &Tensor| {
            let mut encoder = gpu().device().create_command_encoder(&Default::default());
            let tensors = inputs.iter().map(|tensor| tensor.slice().unwrap()).collect();
            let outputs = CatOutputs { output: output.slice().unwrap() };
            cat.record(&mut gpu().record(&mut encoder), &CatInputs { tensors }, &outputs, None)
        };
        record(&[&a, &b], &output).unwrap();
        let error = record(&[&a], &output).unwrap_err().to_string();
        assert_eq!(error, "cat: tensors[1]: expected a buffer of at least 8 bytes, got none");
        let error = record(&[&a, &b, &a], &output).unwrap_err().to_string();
        assert_eq!(error, "cat: tensors[2]: expected no more than planned, got a buffer");
        let error = record(&[&a, &b], &b).unwrap_err().to_string();
        assert_eq!(error, "cat: output: expected a buffer that no other argument uses, got the buffer of tensors[1]");
    }

    prop_compose! {
        fn problem()(shape in prop::collection::vec(0..6_usize, 1..5), lengths in prop::collection::vec(0..9_usize, 1..6))(
            dim in 0..shape.len(),
            (shape, lengths) in Just((shape, lengths)),
        ) -> (Vec<Vec<usize>>, isize) {
            let of_length = |&length: &usize| {
                let mut shape = shape.clone();
                shape[dim] = length;
                shape
            };
            (lengths.iter().map(of_length).collect(), dim as isize)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((shapes, dim) in problem(), seed in 0..1_u64 << 60) {
            let tensors = shapes.iter().zip(seed..).map(|(shape, seed)| random(shape, seed)).collect();
            agree(Call::new::<Cat>(CatInputs { tensors }, &CatParams { dim }), 0.0)?;
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
        fn parameters_come_back(dim: isize) {
            comes_back(&CatParams { dim });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Cat::new(&[&[1 << 28], &[1 << 28]], &CatParams::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "cat", argument: "output", .. }), "{error}");
    let error = Cat::new(&[&[1], &[1 << 29]], &CatParams::default()).unwrap_err();
    let is_right = matches!(error, Error::LimitExceeded { operator: "cat", argument: "tensors", item: Some(1), .. });
    assert!(is_right, "{error}");
}

#[test]
fn bad_input_is_refused() {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use wgdnn::cases::{Call, Case, CaseArray};

    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    let of_arrays = |arrays: Vec<CaseArray>, params: serde_json::Value| {
        Call::of_case(&Case {
            id: "bad".into(),
            op: "cat".into(),
            params: params.as_object().unwrap().clone(),
            inputs: [("tensors".to_owned(), arrays.into_iter().map(Arc::new).collect())].into(),
            lists: ["tensors".to_owned()].into(),
            outputs: BTreeMap::new(),
            is_error: true,
        })
    };
    let of = |shapes: &[&[usize]], params| of_arrays(shapes.iter().map(|shape| floats(shape)).collect(), params);
    expect_refused(
        "cat",
        &[
            ("tensors", of(&[], json!({}))),
            ("tensors", call("cat", json!({}), &[])),
            ("tensors[0]", of(&[&[]], json!({}))),
            ("tensors[1]", of(&[&[2, 3], &[2, 4]], json!({}))),
            ("tensors[2]", of(&[&[2, 3], &[5, 3], &[2, 3, 1]], json!({}))),
            ("tensors[1]", of(&[&[2, 3], &[3]], json!({}))),
            ("tensors[1]", of(&[&[2, 3], &[0, 0]], json!({}))),
            ("tensors[1]", of_arrays(vec![floats(&[2]), integers], json!({}))),
            ("dim", of(&[&[2, 3]], json!({"dim": 2}))),
            ("dim", of(&[&[2, 3]], json!({"dim": -3}))),
            ("dim", of(&[&[2, 3]], json!({"dim": 0.5}))),
        ],
    );
}

planted_faults!(
    "cat",
    [
        ("cat", "params.output_base + outer * params.output_row + params.begin", "outer * params.output_row"),
        ("cat", "outer * params.output_row", "outer * params.row"),
        ("cat", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("cat", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("cat", "tensor_blocks[params.input_base + block]", "tensor_blocks[params.input_base]"),
        ("cat_backward", "+ params.begin", ""),
        ("cat_backward", "outer * params.output_row", "outer * params.row"),
        ("cat_backward", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("cat_backward", "if (block < params.count)", "if (block + 1u < params.count)"),
    ]
);
