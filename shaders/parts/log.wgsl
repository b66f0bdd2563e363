// The logarithm. Drivers' own may lose all digits near 1.

// log(1 + x) for x >= 0: 1 + x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), a series in f / (2 + f), then
// k ln 2.
fn log_one_plus(x: f32) -> f32 {
    var k = 0;
    var f = x;
    var lost = 0.0;
    if (x >= 0.41421356) {
        let sum = 1.0 + x;
        let bits = bitcast<u32>(sum);
        k = i32(bits >> 23u) - 127;
        var fraction = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
        if (fraction > 1.41421356) {
            fraction *= 0.5;
            k += 1;
        }
        f = fraction - 1.0;
        // What rounding 1 + x lost, as a term of the logarithm.
        lost = select(x - (sum - 1.0), 1.0 - (sum - x), x >= 1.0) / sum;
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (0.66666662693 + z * (0.40000972152 + z * (0.28498786688 + z * 0.24279078841)));
    let half_square = 0.5 * f * f;
    let low = s * (half_square + series) + (f32(k) * -2.12194440e-4 + lost);
    return f32(k) * 0.693359375 + (f - (half_square - low));
}
