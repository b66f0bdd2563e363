// One slope for all elements.

fn slopes_at(index: u32) -> vec4<f32> {
    return vec4<f32>(params.slope);
}
