// parts: elementwise, slope, input|input_in_place
// hardswish: output[i] = input[i] * min(max(input[i] + 3, 0), 6) / 6.
