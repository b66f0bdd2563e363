// parts: bias
// The bindings of convolutions whose input and output are single elements.

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [batch, groups * in_channels, in_rows, in_cols]
// [groups * out_channels, in_channels, rows.kernel, cols.kernel], or of transposed ones [groups * in_channels, out_channels,
// rows.kernel, cols.kernel]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [batch, groups * out_channels, out_rows, out_cols]
