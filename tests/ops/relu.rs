//! relu: the maximum of every element and 0.

use wgdnn::Relu;

use crate::harness::{expect_bad_elementwise_refused, expect_overflow_refused, golden_tests, planted_faults};

golden_tests!("relu", at_least 60);

#[cfg(feature = "gpu-core")]
#[test]
fn every_rest_of_a_block() {
    use crate::harness::{expect_exact, random};
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    for count in (0..10).chain([4095, 4096, 4097, 70_001]) {
        expect_exact(&Call::new::<Relu>(UnaryInputs { input: random(&[count], 2) }, &Default::default()).unwrap());
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
        fn it_is_its_reference(shape in shape(), seed: u64) {
            let input = random(&shape, seed);
            agree(Call::new::<Relu>(UnaryInputs { input }, &Default::default()), 0.0)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    expect_cut(&Call::new::<Relu>(UnaryInputs { input: random(&[1009], 6) }, &Default::default()).unwrap(), 0.0);
}

#[test]
fn sizes_that_overflow_are_refused() {
    expect_overflow_refused("relu", Relu::new);
}

#[test]
fn bad_input_is_refused() {
    expect_bad_elementwise_refused("relu");
}

/// To the last bit: every NaN and -0 pass through, the smallest numbers do not become 0, and what is below 0 becomes +0.
#[test]
fn bits_are_right() {
    const BITS: [(u32, u32); 14] = [
        (0x0000_0000, 0x0000_0000),
        (0x8000_0000, 0x8000_0000),
        (0x0000_0001, 0x0000_0001),
        (0x8000_0001, 0x0000_0000),
        (0x807f_ffff, 0x0000_0000),
        (0x0080_0000, 0x0080_0000),
        (0x3f80_0000, 0x3f80_0000),
        (0xbf80_0000, 0x0000_0000),
        (0x7f7f_ffff, 0x7f7f_ffff),
        (0xff7f_ffff, 0x0000_0000),
        (0x7f80_0000, 0x7f80_0000),
        (0xff80_0000, 0x0000_0000),
        (0x7fc0_0000, 0x7fc0_0000),
        (0xffc0_0001, 0xffc0_0001),
    ];
    let bits = |array: &ndarray::ArrayD<f32>| array.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    // Blocks, and elements after them.
    for count in 1..=BITS.len() {
        let input = BITS.iter().take(count).map(|(input, _)| f32::from_bits(*input)).collect::<ndarray::Array1<_>>();
        let input = input.into_dyn();
        let expected: Vec<_> = BITS.iter().take(count).map(|(_, output)| *output).collect();
        assert_eq!(bits(&wgdnn::reference::relu(&input).unwrap()), expected);
        #[cfg(feature = "gpu-core")]
        {
            use crate::harness::gpu;
            use wgdnn::{Tensor, relu};
            let output = relu(&Tensor::from_array(gpu(), &input).unwrap()).unwrap();
            assert_eq!(bits(&output.read_blocking().unwrap()), expected);
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn more_workgroups_than_one_dimension_holds() {
    use crate::harness::{expect_exact, random};
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    expect_exact(&Call::new::<Relu>(UnaryInputs { input: random(&[5_000_000], 5) }, &Default::default()).unwrap());
}

planted_faults!(
    "relu",
    [
        ("relu", "(x > vec4<u32>(NEGATIVE_ZERO)) & ", ""),
        ("relu", " & (x <= vec4<u32>(NEGATIVE_INFINITY))", ""),
        ("relu", "x <= vec4<u32>(NEGATIVE_INFINITY)", "x < vec4<u32>(NEGATIVE_INFINITY)"),
        ("relu", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("relu", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("relu", "input_blocks[params.base / 4u + block]", "input_blocks[params.base / 4u]"),
        ("relu", "output[params.base + index]", "output[index]"),
    ]
);
