//! flatten: merges several dimensions into one. It has no shader: the data stays where it is and only the shape
//! changes.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable};
use crate::ops::elementwise::{UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
use crate::shape;

/// Parameters of [`flatten`](crate::flatten), as in `torch.flatten`. Negative dimensions count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlattenParams {
    /// The first dimension to merge. Default: 0.
    pub start_dim: isize,
    /// The last dimension to merge; not before `start_dim`. Default: -1, the last of the input.
    pub end_dim: isize,
}

impl Default for FlattenParams {
    fn default() -> Self {
        FlattenParams { start_dim: 0, end_dim: -1 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(FlattenParams: default(), start_dim, end_dim);

/// A validated [`flatten`](crate::flatten) of an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flatten {
    pub(crate) input: Vec<usize>,
    output: Vec<usize>,
}

impl Flatten {
    /// Checks the dimensions against an input of any shape; a scalar becomes one element.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a dimension that the input does not have, and a `start_dim` after `end_dim`;
    /// [`Error::LimitExceeded`] for more elements than can be counted.
    pub fn new(input: &[usize], params: &FlattenParams) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        let start = shape::dimension(Self::NAME, "start_dim", params.start_dim, input)?;
        let end = shape::dimension(Self::NAME, "end_dim", params.end_dim, input)?;
        if start > end {
            return Err(Error::invalid(
                Self::NAME,
                "start_dim",
                format!("no later than end_dim, {}", params.end_dim),
                format!("{}", params.start_dim),
            ));
        }
        let mut output = input.to_vec();
        if input.is_empty() {
            output.push(1);
        } else {
            let merged = &input[start..=end];
            output.splice(start..=end, [merged.iter().product::<usize>()]);
        }
        Ok(Flatten { input: input.to_vec(), output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Flatten {
    const NAME: &'static str = "flatten";
    type Params = FlattenParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &FlattenParams) -> Result<Self> {
        Flatten::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for Flatten {
    const BACKWARD: &'static str = "flatten_backward";
    type BackwardInputs = UnaryBackwardInputs<()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.input.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> UnaryBackwardInputs<Vec<usize>> {
        UnaryBackwardInputs {
            grad_input: backward.added("grad_input", &self.input),
            ..UnaryBackwardInputs::new(self.output.clone())
        }
    }
}

/// Merges the dimensions from `start_dim` to `end_dim` of an input of any shape and element type, as
/// [`torch.flatten`](https://pytorch.org/docs/2.11/generated/torch.flatten.html). The output shares the input's buffer.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{FlattenParams, Gpu, Tensor, flatten};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((2, 3, 4, 5)))?;
/// let flat = flatten(&input, &FlattenParams { start_dim: 1, ..Default::default() })?;
/// assert_eq!(flat.shape(), [2, 60]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Flatten::new`].
#[cfg(feature = "gpu-core")]
pub fn flatten<T: crate::Element>(input: &crate::Tensor<T>, params: &FlattenParams) -> Result<crate::Tensor<T>> {
    Ok(input.with_shape(Flatten::new(input.shape(), params)?.output))
}

/// The gradient of [`flatten`] with respect to its input, of this shape: `grad_output` under that shape, as PyTorch's
/// autograd of [`torch.flatten`](https://pytorch.org/docs/2.11/generated/torch.flatten.html). It shares the buffer of
/// `grad_output`.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{FlattenParams, Gpu, Tensor, flatten_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let params = FlattenParams { start_dim: 1, ..Default::default() };
/// let grad_input = flatten_backward(&Tensor::zeros(&gpu, &[2, 60])?, &[2, 3, 4, 5], &params)?;
/// assert_eq!(grad_input.shape(), [2, 3, 4, 5]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Flatten::new`] and [`Operator::call`](crate::Operator::call).
#[cfg(feature = "gpu-core")]
pub fn flatten_backward(grad_output: &crate::Tensor, input: &[usize], params: &FlattenParams) -> Result<crate::Tensor> {
    use crate::operator::Operator;

    let backward = Flatten::new(input, params)?.backward_of_all()?;
    Ok(backward.call(&UnaryBackwardInputs::new(grad_output))?.grad_input.expect("it is wanted"))
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::{Flatten, UnaryGradients, UnaryInputs, UnaryOutputs};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::work::Part;
    use crate::operator::replay::rounding;
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Operator, Slot, Slots, Tolerance};
    use crate::ops::add::Scaled;

    /// Nothing runs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Nothing;

    impl fmt::Display for Nothing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("nothing runs")
        }
    }

    impl Operator for Flatten {
        type Plan = Nothing;
        const KERNELS: &'static [&'static [Kernel]] = &[];

        fn plan(&self, _: &Capabilities) -> Nothing {
            Nothing
        }

        fn declare(&self, _: &Nothing) -> Slots<Self> {
            let inputs = UnaryInputs { input: Slot::read(&self.input) };
            Slots::new(inputs, UnaryOutputs { output: Slot::view(&self.output) })
        }

        fn dispatches(&self, _: &Nothing, _: &Part, _: &Bound<Self>, _: &mut dyn FnMut(Dispatch)) {}
    }

    /// A view of `grad_output`, or its sum with what is there.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum FlattenBackwardPlan {
        /// Nothing runs.
        View,
        /// Elements are added.
        Add,
    }

    impl fmt::Display for FlattenBackwardPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                FlattenBackwardPlan::View => "nothing runs",
                FlattenBackwardPlan::Add => "blocks of 4 elements, and the rest",
            })
        }
    }

    impl Operator for Backward<Flatten> {
        type Plan = FlattenBackwardPlan;
        const KERNELS: &'static [&'static [Kernel]] = Scaled::KERNELS;

        fn plan(&self, _: &Capabilities) -> FlattenBackwardPlan {
            if self.adds("grad_input") { FlattenBackwardPlan::Add } else { FlattenBackwardPlan::View }
        }

        fn declare(&self, plan: &FlattenBackwardPlan) -> Slots<Self> {
            match plan {
                FlattenBackwardPlan::View => {
                    let inputs = self.slots(|_| None).inputs;
                    Slots::new(inputs, UnaryGradients { grad_input: Some(Slot::view(&self.forward.input)) })
                }
                FlattenBackwardPlan::Add => self.slots(|_| Some(1)).cut(self.forward.input.iter().product()),
            }
        }

        fn dispatches(&self, _: &FlattenBackwardPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            if let Some(grad_input) = bound.inputs.grad_input {
                let scaled = Scaled { count: part.items, factor: 1.0, adds: true };
                scaled.dispatches(bound.inputs.grad_output, grad_input, add);
            }
        }

        fn rounding<'a>(
            &'a self,
            plan: &FlattenBackwardPlan,
            _: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let (results, adds) = (self.results(computed), *plan == FlattenBackwardPlan::Add);
            Ok(Box::new(move |_, index| if adds { rounding(1, results[0][index].abs().into()) } else { 0.0 }))
        }
    }
}
