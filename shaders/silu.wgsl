// parts: elementwise, slope, input|input_in_place
// silu: output[i] = input[i] / (1 + exp(-input[i])).
