// parts: bits
// Which tiles of Winograd's algorithms are computed again by the definition.

// The exponent of 2^40. Products as large as this, infinities and NaN spoil all outputs of a tile: their rounding loses
// the other products of outputs that they do not belong to.
const SPOILING: u32 = 0x53800000u;
