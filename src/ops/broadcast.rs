//! Two operands that broadcast together, as in PyTorch.

use ndarray::{ArrayD, Axis, IxDyn};

use crate::error::{Error, Result};

/// The most dimensions that may remain after neighbours are merged that both operands step through alike.
pub(crate) const MAX_RANK: usize = 4;

/// A dimension of the common shape, and the distance of one step along it in each operand, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkDimension {
    pub length: usize,
    pub strides: [usize; 2],
}

/// The shape that two operands broadcast to. `second` is the name of the second; the first is `input`.
pub(crate) fn broadcast(operator: &'static str, second: &'static str, [a, b]: [&[usize]; 2]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length = |shape: &[usize], dim: usize| (dim + shape.len()).checked_sub(rank).map_or(1, |dim| shape[dim]);
    (0..rank)
        .map(|dim| match (length(a, dim), length(b, dim)) {
            (a, b) if a == b => Ok(a),
            (1, other) | (other, 1) => Ok(other),
            _ => Err(Error::invalid(
                operator,
                second,
                format!("a shape that broadcasts with that of input, {a:?}"),
                format!("shape {b:?}"),
            )),
        })
        .collect()
}

/// The steps of a contiguous operand along the common shape's dimensions; 0 where it is broadcast.
fn strides(operand: &[usize], common: &[usize]) -> Vec<usize> {
    let mut step = 1;
    let mut strides = vec![0; common.len()];
    for (stride, &length) in strides.iter_mut().rev().zip(operand.iter().rev()) {
        if length != 1 {
            *stride = step;
            step *= length;
        }
    }
    strides
}

/// The common shape without dimensions of one element. Neighbours are merged where both operands allow it. Fails if more
/// than [`MAX_RANK`] are left. Nothing is left of an empty shape.
pub(crate) fn walk(
    operator: &'static str,
    second: &'static str,
    [a, b]: [&[usize]; 2],
    common: &[usize],
) -> Result<Vec<WalkDimension>> {
    let mut walk: Vec<WalkDimension> = Vec::new();
    if common.contains(&0) {
        return Ok(walk);
    }
    let steps = strides(a, common).into_iter().zip(strides(b, common));
    for (&length, (a, b)) in common.iter().zip(steps) {
        if length == 1 {
            continue;
        }
        let strides = [a, b];
        if let Some(outer) = walk.last_mut()
            && outer.strides == strides.map(|stride| stride * length)
        {
            *outer = WalkDimension { length: outer.length * length, strides };
        } else {
            walk.push(WalkDimension { length, strides });
        }
    }
    if walk.len() > MAX_RANK {
        return Err(Error::LimitExceeded {
            operator,
            argument: second,
            item: None,
            limit: "the dimensions of a broadcast",
            maximum: MAX_RANK as u64,
            actual: walk.len() as u64,
        });
    }
    Ok(walk)
}

/// A walk with exactly [`MAX_RANK`] dimensions: outer dimensions of one element stand for missing ones.
#[cfg(feature = "gpu-core")]
pub(crate) fn filled(walk: &[WalkDimension]) -> [WalkDimension; MAX_RANK] {
    let mut filled = [WalkDimension { length: 1, strides: [0, 0] }; MAX_RANK];
    filled[MAX_RANK - walk.len()..].copy_from_slice(walk);
    filled
}

/// Terms of a gradient summed to the shape that was broadcast to theirs.
pub(crate) fn summed_to(mut terms: ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    while terms.ndim() > shape.len() {
        terms = terms.sum_axis(Axis(0));
    }
    for (axis, &length) in shape.iter().enumerate() {
        if length != terms.shape()[axis] {
            terms = terms.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
    }
    terms
}

/// An array broadcast to a shape that it broadcasts to.
pub(crate) fn broadcast_to(array: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f64> {
    array.broadcast(IxDyn(shape)).expect("the shapes broadcast").mapv(f64::from)
}
