//! The tests that activations share.

/// Tests an activation on random inputs, in parts, on bad input, and by planted faults. `$params` is a strategy for its
/// parameters, `$roundings` how many roundings of float32 its result may be from the reference's, and a fault is a part
/// of its shader's text and what stands there instead.
macro_rules! activation_tests {
    ($operator:ident, $op:literal, $params:expr, $roundings:literal, [$($fault:expr),* $(,)?],
     gradient [$($gradient_fault:expr),* $(,)?]) => {
        use wgdnn::$operator;

        $crate::harness::golden_tests!($op, at_least 60);

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use proptest::prelude::*;
            use wgdnn::cases::Call;
            use wgdnn::operator::Definition;
            use wgdnn::{$operator, UnaryInputs};

            use $crate::harness::{expect_within, random};
            use $crate::properties::{agree, config, shape};

            fn call(input: ndarray::ArrayD<f32>, params: &<$operator as Definition>::Params) -> Call {
                Call::new::<$operator>(UnaryInputs { input }, params).unwrap()
            }

            fn bound(size: f32) -> f64 {
                f64::from($roundings * size) * f64::from(f32::EPSILON) / 2.0
            }

            #[test]
            fn every_rest_of_a_block() {
                for count in (0..10).chain([4095, 4096, 4097, 70_001]) {
                    let input = random(&[count], 1).mapv(|x| x * 30.0);
                    expect_within(&call(input, &Default::default()), bound(30.0));
                }
            }

            #[test]
            fn it_is_cut_to_a_devices_bindings() {
                $crate::splitting::expect_cut(&call(random(&[1009], 4), &Default::default()), bound(1.0));
            }

            #[test]
            fn more_workgroups_than_one_dimension_holds() {
                expect_within(&call(random(&[5_000_000], 5), &Default::default()), bound(1.0));
            }

            proptest! {
                #![proptest_config(config())]

                #[test]
                fn it_is_its_reference(shape in shape(), scale in 0.1..120.0_f32, params in $params, seed: u64) {
                    let input = random(&shape, seed).mapv(|x| x * scale);
                    agree(Ok(call(input, &params)), bound(scale.max(1.0)))?;
                }
            }
        }

        #[test]
        fn sizes_that_overflow_are_refused() {
            let new = |shape: &[usize]| {
                use wgdnn::operator::Definition;
                $operator::of_shapes(&wgdnn::UnaryInputs { input: shape.to_vec() }, &Default::default())
            };
            $crate::harness::expect_overflow_refused($op, new);
        }

        #[test]
        fn bad_input_is_refused() {
            $crate::harness::expect_bad_elementwise_refused($op);
        }

        #[cfg(feature = "gpu-core")]
        #[test]
        fn planted_faults_are_seen() {
            const FAULTS: &[(&str, &str)] = &[
                ("if (index < params.count)", "if (index + 1u < params.count)"),
                ("if (block < params.count)", "if (block + 1u < params.count)"),
                ("input_block(at)", "input_block(params.base)"),
                $($fault),*
            ];
            const OF_GRADIENT: &[(&str, &str)] = &[
                ("if (index < params.count)", "if (index + 1u < params.count)"),
                ("if (block < params.count)", "if (block + 1u < params.count)"),
                ("gradient(grad_output_blocks[at]", "gradient(grad_output_blocks[params.base / 4u]"),
                $($gradient_fault),*
            ];
            let faults = FAULTS.iter().map(|&(from, to)| ($op, from, to));
            let of_gradient = OF_GRADIENT.iter().map(|&(from, to)| ("activation_backward", from, to));
            $crate::harness::expect_seen($op, &faults.chain(of_gradient).collect::<Vec<_>>());
        }
    };
}
pub(crate) use activation_tests;
