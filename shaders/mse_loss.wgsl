// parts: difference_losses
// mse_loss: the squares (input - target)^2, with each operand broadcast to the common shape. The reductions give their
// sum, or for the mean the sum divided by their number. The slope is half of the derivative. See parts/losses.wgsl.

fn losses(these: Operands) -> Pairs {
    let difference = subtract_each(these.input, these.target_values);
    // The square of the upper 12 bits is exact, and so are the remaining products.
    let upper = bitcast<vec4<f32>>(bitcast<vec4<u32>>(difference.values) & vec4<u32>(0xfffff000u));
    let lower = difference.values - upper;
    let rest = (2.0 * upper + lower) * lower + 2.0 * difference.values * difference.lost;
    return Pairs(upper * upper, rest);
}

fn slope_of(difference: vec4<f32>, signs: vec4<f32>) -> vec4<f32> {
    return difference;
}
