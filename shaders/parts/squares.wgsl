// What an invocation computes of a product of matrices: a square of 4 by 4 of its tile, in registers.

// 4 channels by 4 pixels, or columns.
struct Square {
    channel_0: vec4<f32>,
    channel_1: vec4<f32>,
    channel_2: vec4<f32>,
    channel_3: vec4<f32>,
}

fn add_square(square: ptr<function, Square>, w: vec4<f32>, x: vec4<f32>) {
    (*square).channel_0 += w.x * x;
    (*square).channel_1 += w.y * x;
    (*square).channel_2 += w.z * x;
    (*square).channel_3 += w.w * x;
}
