// parts: elementwise, slope, input|input_in_place
// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
