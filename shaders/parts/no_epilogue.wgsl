// Sums are what is stored.

fn finished(sum: f32, at: i32, channel: i32) -> f32 {
    return sum;
}

fn finished_pixels(sums: vec4<f32>, at: vec4<i32>, channel: i32) -> vec4<f32> {
    return sums;
}

fn finished_block(sums: vec4<f32>, block: i32, channel: i32) -> vec4<f32> {
    return sums;
}
