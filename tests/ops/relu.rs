//! relu: the maximum of every element and 0.

use crate::harness::activation_tests;

activation_tests!(
    Relu,
    "relu",
    Just(Default::default()),
    0.0,
    [
        (" & (ordered != bitcast<vec4<i32>>(vec4<u32>(0x80000000u)))", " & (ordered < vec4<i32>(-0x40000000))"),
        ("ordered <= vec4<i32>(-0x800000)", "ordered < vec4<i32>(-0x800000)"),
        ("ordered <= vec4<i32>(-0x800000)", "ordered < vec4<i32>()"),
    ],
    gradient [
        ("return (bits == vec4<u32>()) | ", "return "),
        ("bitcast<vec4<i32>>(bits) <= vec4<i32>(-0x800000)", "bitcast<vec4<i32>>(bits) < vec4<i32>()"),
    ]
);

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
