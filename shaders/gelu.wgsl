// parts: elementwise, slope, input|input_in_place
// gelu: output[i] = input[i] * (1 + erf(input[i] / sqrt(2))) / 2, or with tanh in place of erf.
