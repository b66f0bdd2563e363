// parts: areas
// interpolate in the mode area: output[n,c,y,x] = the mean of input[n,c] over an area of its own: see parts/areas.wgsl.
