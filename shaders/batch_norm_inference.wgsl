// parts: normalize, no_activation|activation
// batch_norm by the running statistics, in one dispatch and without a workspace:
//     output[n,c,s] = (input[n,c,s] - running_mean[c]) / sqrt(running_var[c] + eps) * weight[c] + bias[c]
// See parts/normalize.wgsl.

fn terms_of(channel: u32) -> Terms {
    return affine_terms(running_terms_of(channel), channel);
}
