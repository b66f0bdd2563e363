// parts: elementwise, slope, input|input_in_place
// tanh: output[i] = tanh(input[i]).
