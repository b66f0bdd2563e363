// parts: softmax_gradient, classes|classes_in_blocks, gradients|gradients_in_blocks
// The gradient of softmax, from its output y: grad_input[o,c,i] = (grad_output[o,c,i] - s) y[o,c,i] with
// s = sum over d of grad_output[o,d,i] y[o,d,i].

fn term_of(grad: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return grad * y;
}

fn gradient_of(grad: vec4<f32>, y: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return (grad - sum) * y;
}
