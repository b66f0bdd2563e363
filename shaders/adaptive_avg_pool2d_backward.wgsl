// parts: area_gradient
// The gradient of adaptive_avg_pool2d: that of the means of areas, see parts/area_gradient.wgsl.
