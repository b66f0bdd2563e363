// parts: softmax_rows, log, classes|classes_in_blocks, results|results_in_blocks
// log_softmax: output[o,c,i] = input[o,c,i] - log(sum over d of exp(input[o,d,i])).

fn result_of(below: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    let logarithms = vec4<f32>(
        log_one_plus(others.x),
        log_one_plus(others.y),
        log_one_plus(others.z),
        log_one_plus(others.w),
    );
    return below - logarithms;
}
