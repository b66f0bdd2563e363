// parts: elementwise, channel_slopes, input|input_in_place
// prelu: output[n,c,s] = input[n,c,s] if input[n,c,s] > 0, otherwise weight[c] * input[n,c,s].
