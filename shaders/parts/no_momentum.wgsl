// The direction of a step of sgd without momentum: the gradient.

fn direction(_at: u32, gradient: f32) -> f32 {
    return gradient;
}

fn direction_of_block(_block: u32, gradient: vec4<f32>) -> vec4<f32> {
    return gradient;
}
