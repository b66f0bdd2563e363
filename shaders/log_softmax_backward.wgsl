// parts: softmax_gradient, exp, classes|classes_in_blocks, gradients|gradients_in_blocks
// The gradient of log_softmax, from its output y: grad_input[o,c,i] = grad_output[o,c,i] - exp(y[o,c,i]) s with
// s = sum over d of grad_output[o,d,i].

fn term_of(grad: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return grad;
}

fn gradient_of(grad: vec4<f32>, y: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    let result = grad - exponential(y) * sum;
    return select(result, y, is_each_nan(y));
}
