// parts: activations
// An activation of what batch_norm stores: as in epilogue.wgsl, without a residual.

@group(0) @binding(12) var<storage, read> activation_weight: array<f32>;       // [slopes]

fn finished_block(x: vec4<f32>, channel: u32) -> vec4<f32> {
    var slope = bitcast<f32>(params.epilogue.x);
    if (params.epilogue.y > 0u) {
        slope = activation_weight[channel % params.epilogue.y];
    }
    return bitcast<vec4<f32>>(activated(bitcast<vec4<u32>>(x), vec4<f32>(slope)));
}
