// parts: areas
// adaptive_avg_pool2d: output[n,c,y,x] = the mean of input[n,c] over an area of its own: see parts/areas.wgsl.
