// parts: class_counts
// What the gradient of nll_loss's mean is multiplied by: see parts/class_counts.wgsl.
