// parts: bits, elementwise
// relu: output[i] = max(input[i], 0).
//
// It compares bits, since drivers may treat a NaN as any number. Whatever is below 0 becomes 0; all else, NaN and -0
// too, stays as it is.

// As bits, numbers below 0 lie above -0, up to -infinity; further above are only NaN.
const NEGATIVE_ZERO: u32 = 0x80000000u;

fn result_of(x: vec4<u32>) -> vec4<u32> {
    let is_below_0 = (x > vec4<u32>(NEGATIVE_ZERO)) & (x <= vec4<u32>(NEGATIVE_INFINITY));
    return select(x, vec4<u32>(), is_below_0);
}
