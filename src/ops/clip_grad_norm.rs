//! clip_grad_norm: a gradient scaled down to a norm.

use crate::error::{Error, Result};
use crate::operator::{Definition, arguments};
use crate::shape;

/// Parameters of [`clip_grad_norm_`](crate::clip_grad_norm_), as in `torch.nn.utils.clip_grad_norm_`. The norm is that of
/// order 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipGradNormParams {
    /// The largest norm that stays. PyTorch has no default for it.
    pub max_norm: f64,
}

impl ClipGradNormParams {
    /// Gradients of at most this norm stay as they are.
    pub fn new(max_norm: f64) -> Self {
        ClipGradNormParams { max_norm }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(ClipGradNormParams: new(max_norm));

arguments! {
    /// The input of [`clip_grad_norm_`](crate::clip_grad_norm_), which is updated in place.
    #[derive(Copy, Eq)]
    pub struct ClipGradNormInputs<F> {
        /// f32, any shape: the gradient, or all of them in one array.
        grad: float,
    }
}

arguments! {
    /// The output of [`clip_grad_norm_`](crate::clip_grad_norm_).
    #[derive(Copy)]
    pub struct ClipGradNormOutputs<F> {
        /// f32, (): the norm before.
        total_norm: float,
    }
}

/// A validated [`clip_grad_norm_`](crate::clip_grad_norm_) of a gradient of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipGradNorm {
    pub(crate) shape: Vec<usize>,
    pub(crate) params: ClipGradNormParams,
}

impl ClipGradNorm {
    /// Checks the norm, for a gradient of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `max_norm` that is below 0 or NaN; [`Error::LimitExceeded`] for more elements than
    /// can be counted.
    pub fn new(grad: &[usize], params: &ClipGradNormParams) -> Result<Self> {
        shape::element_count(Self::NAME, "grad", grad)?;
        if params.max_norm.is_nan() || params.max_norm < 0.0 {
            return Err(Error::invalid(Self::NAME, "max_norm", "a number of 0 or more", params.max_norm.to_string()));
        }
        Ok(ClipGradNorm { shape: grad.to_vec(), params: *params })
    }
}

impl Definition for ClipGradNorm {
    const NAME: &'static str = "clip_grad_norm";
    type Params = ClipGradNormParams;
    type Inputs = ClipGradNormInputs<()>;
    type Outputs = ClipGradNormOutputs<()>;

    fn of_shapes(inputs: &ClipGradNormInputs<Vec<usize>>, params: &ClipGradNormParams) -> Result<Self> {
        ClipGradNorm::new(&inputs.grad, params)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::{ClipGradNorm, ClipGradNormInputs, ClipGradNormOutputs, ClipGradNormParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::{rounding, unless_overflown};
    use crate::operator::{ArraysOf, Bound, Computed, Operator, Slot, Slots, Tolerance};
    use crate::ops::sums::{ChannelSums, SumStore, sum_kernels};

    uniform! {
        struct Params {
            count: u32,
            base: u32,
            max_norm: f32,
        }
    }

    static SQUARES: [Kernel; 3] = sum_kernels!(
        "square_terms" as "sums_of_squares",
        ["elements", "blocks", "columns"],
        [(1, Read), (3, ReadWrite)]
    );
    static KERNELS: [Kernel; 3] = [
        kernel!("clip_grad_norm", "elements", Params, [(2, Read), (3, ReadWrite)]),
        kernel!("clip_grad_norm", "blocks", Params, [(2, Read), (3, ReadWrite)]),
        kernel!("clip_grad_norm", "norm", Params, [(1, ReadWrite)]),
    ];

    /// The plan of such an operator, the same on all devices.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ClipGradNormPlan;

    impl fmt::Display for ClipGradNormPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("squares added as pairs in a fixed order, then blocks of 4 elements, and the rest")
        }
    }

    impl Operator for ClipGradNorm {
        type Plan = ClipGradNormPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[&SQUARES, ChannelSums::FINISH, &KERNELS];

        fn plan(&self, _: &Capabilities) -> ClipGradNormPlan {
            ClipGradNormPlan
        }

        fn declare(&self, _: &ClipGradNormPlan) -> Slots<Self> {
            let inputs = ClipGradNormInputs { grad: Slot::update(&self.shape) };
            let outputs = ClipGradNormOutputs { total_norm: Slot::write(&[]) };
            Slots::new(inputs, outputs).with_workspace(self.squares().workspace())
        }

        fn dispatches(&self, _: &ClipGradNormPlan, _: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let (grad, norm) = (bound.inputs.grad, bound.outputs.total_norm);
            let workspace = (bound.workspace, 0);
            self.squares().dispatches_of(&SQUARES, &[grad], norm, workspace, SumStore::new(false), add);
            let [elements, blocks, root] = &KERNELS;
            let mut params = Params { count: 0, base: 0, max_norm: self.params.max_norm as f32 };
            add(Dispatch::per_workgroup(root, params.to_bytes(), &[norm], 1));
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, 0, self.len()) {
                (params.count, params.base) = (count, first);
                add(Dispatch::per_element(kernel, params.to_bytes(), &[norm, grad], count as usize));
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &ClipGradNormPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let norm = f64::from(computed.outputs.total_norm[[]]);
            // Squares may be read as 0 where they are denormal.
            let unseen = (self.len() as f64 * f64::from(f32::MIN_POSITIVE)).sqrt();
            let factor = (self.params.max_norm / (norm + 1e-6)).min(1.0);
            let off = 8.0 / f64::from(1 << 24) + unseen / (norm + 1e-6);
            Ok(Box::new(move |name, index| {
                let tolerance = match name {
                    "total_norm" => rounding(8, norm) + unseen,
                    _ => {
                        let grad = inputs.grad.as_slice().map_or(f64::INFINITY, |grad| f64::from(grad[index].abs()));
                        off * factor * grad + f64::from(f32::MIN_POSITIVE)
                    }
                };
                unless_overflown(norm * norm, tolerance)
            }))
        }
    }

    impl ClipGradNorm {
        fn len(&self) -> usize {
            self.shape.iter().product()
        }

        fn squares(&self) -> ChannelSums {
            ChannelSums { outer: 1, channels: 1, inner: self.len() }
        }
    }

    /// Scales a gradient down so that its norm is at most `max_norm`, and returns the norm that it had, as
    /// [`torch.nn.utils.clip_grad_norm_`](https://pytorch.org/docs/2.11/generated/torch.nn.utils.clip_grad_norm_.html).
    ///
    /// All gradients of a network take one call, in [`FlatTensors`](crate::FlatTensors). Nothing is read back. Where the norm
    /// is not finite, elements become NaN or 0, as in PyTorch with `error_if_nonfinite=False`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{ClipGradNormParams, Gpu, Tensor, clip_grad_norm_};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let grad = Tensor::from_slice(&gpu, &[3.0, 4.0], &[2])?;
    /// let total_norm = clip_grad_norm_(&grad, &ClipGradNormParams::new(1.0))?;
    /// assert_eq!(total_norm.read_vec_blocking()?, [5.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ClipGradNorm::new`] and [`Operator::call`]. A gradient that is larger than a binding is refused.
    pub fn clip_grad_norm_(grad: &Tensor, params: &ClipGradNormParams) -> Result<Tensor> {
        Ok(ClipGradNorm::new(grad.shape(), params)?.call(&ClipGradNormInputs { grad })?.total_norm)
    }
}
