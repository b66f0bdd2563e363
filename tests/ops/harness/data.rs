//! Made-up inputs.

use ndarray::{ArrayD, IxDyn};

use wgdnn::cases::CaseArray;

/// Floats of no particular value.
pub fn floats(shape: &[usize]) -> CaseArray {
    CaseArray::F32(random(shape, 7))
}

/// Random floats from -1 to 1; the same for the same seed.
pub fn random(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Random whole numbers from -4 to 4, whose sums of products are exact.
#[cfg(feature = "gpu-core")]
pub fn random_integers(shape: &[usize], seed: u64) -> ArrayD<f32> {
    random(shape, seed).mapv(|x| (x * 4.49).round())
}

/// An array (N,C,H,W) with these values before and after rows and columns.
pub fn padded(array: &ArrayD<f32>, [rows, cols]: [[usize; 2]; 2], value: f32) -> ArrayD<f32> {
    let &[n, c, h, w] = array.shape() else { panic!("an image has 4 dimensions") };
    ArrayD::from_shape_fn(vec![n, c, h + rows[0] + rows[1], w + cols[0] + cols[1]], |at| {
        let place = at[2].checked_sub(rows[0]).zip(at[3].checked_sub(cols[0]));
        place.filter(|&(y, x)| y < h && x < w).map_or(value, |(y, x)| array[[at[0], at[1], y, x]])
    })
}
