//! The tests that softmax and log_softmax share.

/// Tests an operator on rows of scores. `$more` are faults of its own: a part of its shader's text and what stands there
/// instead.
macro_rules! softmax_tests {
    ($operator:ident, $op:literal, [$($more:expr),* $(,)?]) => {
        use serde_json::json;
        use wgdnn::{$operator, Error, SoftmaxParams};

        use $crate::harness::{call, expect_refused, floats};

        #[cfg(feature = "gpu-core")]
        fn problems() -> Vec<$crate::barriers::Problem> {
            // Some invocations a row, and all of a workgroup.
            let files: &[(_, &[_])] = &[(100, &[concat!($op, "_in_blocks")]), (101, &[$op]), (5001, &[$op])];
            let backward: &[(_, &[_])] = &[
                (100, &[concat!($op, "_backward_in_blocks")]),
                (101, &[concat!($op, "_backward")]),
                (5001, &[concat!($op, "_backward")]),
            ];
            let of = |classes| on_gpu::of(&[2, classes], -1, 1.0, 1);
            let each = files.iter().map(|&(classes, files)| $crate::barriers::Problem { call: of(classes), files });
            let gradients = backward.iter().map(|&(classes, files)| {
                let call = $crate::gradients::backward_of(&of(classes), 1, wgdnn::operator::Gradient::Write, None);
                $crate::barriers::Problem { call: call.unwrap(), files }
            });
            each.chain(gradients).collect()
        }

        $crate::harness::golden_tests!($op, at_least 60, barriers problems);

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use proptest::prelude::*;
            use wgdnn::UnaryInputs;
            use wgdnn::cases::Call;
            use wgdnn::operator::{FloatOrInteger, Gradient};

            use super::*;
            use $crate::gradients::backward_of;
            use $crate::harness::{expect_within, gpu, random};
            use $crate::properties::{agree, config};
            use $crate::splitting::expect_cut;

            pub fn of(shape: &[usize], dim: isize, scale: f32, seed: u64) -> Call {
                let input = random(shape, seed).mapv(|x| x * scale);
                Call::new::<$operator>(UnaryInputs { input }, &SoftmaxParams::new(dim)).unwrap()
            }

            fn bound(scale: f32) -> f64 {
                f64::from(scale.max(1.0)) * 1e-6
            }

            #[test]
            fn every_plan() {
                for (shape, dim, says) in [
                    (&[3, 21, 8, 8][..], 1, "an invocation for 4 rows"),
                    (&[3, 4096, 4], 1, "an invocation for 4 rows"),
                    (&[3, 5000, 4], 1, "invocations a row"),
                    (&[70, 30], -1, "1 of 64 invocations a row"),
                    (&[70, 32], 1, "1 of 64 invocations a row, in blocks of 4"),
                    (&[70, 33], 1, "of 64 invocations a row"),
                    (&[2, 1000], 1, "of 64 invocations a row, in blocks of 4"),
                    (&[2, 100, 65], 1, "1 of 64 invocations a row"),
                    (&[1_000_001], 0, "256 of 256 invocations a row"),
                    (&[2, 1_000_000], -1, "256 of 256 invocations a row, in blocks of 4"),
                    (&[2, 100_000, 3], 1, "256 of 256 invocations a row"),
                    (&[1], 0, "1 of 64"),
                ] {
                    let call = of(shape, dim, 5.0, 1);
                    let plan = call.operator().plan_on(gpu().capabilities());
                    assert!(plan.contains(says), "{shape:?}: {plan}");
                    expect_within(&call, bound(5.0));
                    for how in [Gradient::Write, Gradient::Accumulate] {
                        let backward = backward_of(&call, 1, how, None).unwrap();
                        let plan = backward.operator().plan_on(gpu().capabilities());
                        assert!(plan.contains(says), "{shape:?}: {plan}");
                        expect_within(&backward, 2e-6);
                    }
                }
            }

            /// The rows' sums are of a million numbers of one sign.
            #[test]
            fn gradients_of_long_rows() {
                for shape in [&[1_000_000][..], &[1_000_001]] {
                    let call = of(shape, 0, 1.0, 1);
                    let outputs = call.run_reference().unwrap();
                    let grad_output = FloatOrInteger::Float(random(shape, 2).mapv(|x| x.abs() + 0.1));
                    let others = [("grad_output".into(), grad_output)];
                    let wanted = [("grad_input".into(), Gradient::Write)];
                    expect_within(&call.backward(&wanted, &outputs, &others).unwrap(), 3e-7);
                }
            }

            #[test]
            fn it_is_cut_to_a_devices_bindings() {
                for shape in [&[101, 33][..], &[101, 36], &[101, 3, 8]] {
                    let call = of(shape, 1, 1.0, 2);
                    expect_cut(&call, bound(1.0));
                    expect_cut(&backward_of(&call, 3, Gradient::Write, None).unwrap(), 2e-6);
                    expect_cut(&backward_of(&call, 3, Gradient::Accumulate, None).unwrap(), 2e-6);
                }
            }

            prop_compose! {
                fn problem()(shape in prop::collection::vec(0..9_usize, 0..4), long in 1..300_usize, at in 0..4_usize)(
                    dim in -(shape.len().max(1) as isize)..shape.len().max(1) as isize,
                    (mut shape, long, at) in Just((shape, long, at)),
                ) -> (Vec<usize>, isize) {
                    // Now and then a dimension is long.
                    if let Some(length) = shape.get_mut(at) {
                        *length = long;
                    }
                    (shape, dim)
                }
            }

            proptest! {
                #![proptest_config(config())]

                #[test]
                fn it_is_its_reference((shape, dim) in problem(), scale in 0.1..90.0_f32, seed: u64) {
                    agree(Ok(of(&shape, dim, scale, seed)), bound(scale))?;
                }
            }
        }

        #[test]
        fn sizes_that_overflow_are_refused() {
            let error = $operator::new(&[1 << 29], &SoftmaxParams::new(0)).unwrap_err();
            assert!(matches!(error, Error::LimitExceeded { operator: $op, argument: "input", .. }), "{error}");
        }

        #[test]
        fn bad_input_is_refused() {
            let of = |shape: &[usize], dim| call($op, json!({ "dim": dim }), &[("input", floats(shape))]);
            let integers = wgdnn::cases::CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
            expect_refused(
                $op,
                &[
                    ("dim", of(&[2, 3], json!(2))),
                    ("dim", of(&[2, 3], json!(-3))),
                    ("dim", of(&[], json!(1))),
                    ("dim", of(&[2], json!(0.5))),
                    ("dim", of(&[2], json!("0"))),
                    ("dim", of(&[2], json!([0]))),
                    ("dim", call($op, json!({}), &[("input", floats(&[2]))])),
                    ("input", call($op, json!({"dim": 0}), &[])),
                    ("input", call($op, json!({"dim": 0}), &[("input", integers)])),
                ],
            );
        }

        #[cfg(feature = "gpu-core")]
        #[test]
        fn planted_faults_are_seen() {
            const IN_BLOCKS: &str = concat!($op, "_in_blocks");
            const BACKWARD: &str = concat!($op, "_backward");
            let faults = [
                ($op, "if (4u * number >= params.rows)", "if (4u * number + 4u >= params.rows)"),
                ($op, "about_largest(visited, 2u)", "about_largest(visited, 1u)"),
                ($op, " | (visited.nans != vec4<u32>())", ""),
                ($op, "vec4<bool>(!is_finite(exponentials.largest))", "vec4<bool>()"),
                ($op, "if (classes.w < params.classes)", "if (classes.w + 1u < params.classes)"),
                (IN_BLOCKS, "if (block * 4u < params.classes) {\n        output", "if (block * 4u + 4u < params.classes) {\n        output"),
                (BACKWARD, "if (row.lane < width)", "if (row.lane + 1u < width)"),
                (BACKWARD, "if (classes.w < params.classes)", "if (classes.w + 1u < params.classes)"),
                $($more),*
            ];
            $crate::harness::expect_seen($op, &faults);
        }
    };
}
pub(crate) use softmax_tests;
