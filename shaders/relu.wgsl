// parts: elementwise, slope, input|input_in_place
// relu: output[i] = max(input[i], 0).
