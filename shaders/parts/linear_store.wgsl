// What the kernels of linear share: output[r, n] = sum over k of weight[n, k] * input[r, k] + bias. A part of a call that is
// cut has the features from feature_begin on. A file that names this says how operands are loaded, linear_blocks or
// linear_elements, and names no_epilogue or epilogue.

struct Params {
    epilogue: vec4<u32>,    // see epilogue.wgsl
    rows: u32,
    features: u32,          // of this part
    all_features: u32,
    k: u32,                 // elements of a row
    // The range of k of this dispatch, in blocks of 4.
    block_begin: u32,
    block_end: u32,
    feature_begin: u32,
    has_bias: u32,
    // The distance in the bias of one step along rows and along features.
    bias_row: u32,
    bias_feature: u32,
    continues: u32,         // whether sums are added to what the output holds
    // Where they begin in their bindings, in elements.
    input_base: u32,
    weight_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // as it broadcasts; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [rows, all_features]

// Stores the sum of a row and a feature of this part.
fn store(row: u32, part_feature: u32, sum: f32) {
    let feature = params.feature_begin + part_feature;
    let at = params.output_base + row * params.all_features + feature;
    var value = sum;
    if (params.has_bias != 0u) {
        value += bias[row * params.bias_row + feature * params.bias_feature];
    }
    if (params.continues != 0u) {
        value += output[at];
    }
    output[at] = finished(value, i32(at), i32(feature));
}
