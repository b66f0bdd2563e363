// parts: softmax_rows, classes|classes_in_blocks, results|results_in_blocks
// softmax: output[o,c,i] = exp(input[o,c,i]) / sum over d of exp(input[o,d,i]).

fn result_of(below: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    return exponential(below) / (1.0 + others);
}
