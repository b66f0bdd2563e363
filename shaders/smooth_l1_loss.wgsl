// parts: difference_losses
// smooth_l1_loss: with d = |input - target|, d - beta / 2 where d >= beta, otherwise d^2 / (2 beta). The operands are broadcast
// to the common shape. The reductions give the sum, or for the mean the sum divided by the number of elements. See
// parts/losses.wgsl.

fn losses(these: Operands) -> Pairs {
    let difference = subtract_each(these.input, these.target_values);
    let size = abs(difference.values);
    let lost = select(difference.lost, -difference.lost, difference.values < vec4<f32>());
    let far = subtract_each(size, vec4<f32>(0.5 * params.beta));
    let share = size / params.beta;
    let is_far = size >= vec4<f32>(params.beta);
    return Pairs(select(0.5 * size * share, far.values, is_far), select(share * lost, far.lost + lost, is_far));
}

fn slope_of(difference: vec4<f32>, signs: vec4<f32>) -> vec4<f32> {
    let is_far = abs(difference) >= vec4<f32>(params.beta);
    let slope = select(difference / params.beta, signs, is_far);
    // Without beta PyTorch takes the sign of NaN, which is 0.
    return select(slope, select(difference, vec4<f32>(), params.beta == 0.0), is_each_nan(difference));
}
