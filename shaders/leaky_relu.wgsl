// parts: elementwise, slope, input|input_in_place
// leaky_relu: output[i] = input[i] if input[i] > 0, otherwise negative_slope * input[i].
