// parts: area_gradient
// The gradient of interpolate in the mode area: that of the means of areas, see parts/area_gradient.wgsl.
