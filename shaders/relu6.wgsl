// parts: elementwise, slope, input|input_in_place
// relu6: output[i] = min(max(input[i], 0), 6).
