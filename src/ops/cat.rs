//! cat: arrays joined along a dimension.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, Name, arguments};
use crate::shape;

/// Parameters of [`cat`](crate::cat), as in `torch.cat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatParams {
    /// The dimension along which the tensors are joined. Negative ones count from the end. Default: 0.
    pub dim: isize,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(CatParams: default(), dim);

/// A validated [`cat`](crate::cat) of tensors of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cat {
    pub(crate) tensors: Vec<Vec<usize>>,
    pub(crate) dim: usize,
    output: Vec<usize>,
}

arguments! {
    /// The inputs of [`cat`](crate::cat).
    pub struct CatInputs<F> {
        /// f32, of one shape but for the dimension along which they are joined. An empty tensor (0) is left out.
        tensors: list float,
    }
}

arguments! {
    /// The outputs of [`cat`](crate::cat).
    #[derive(Copy)]
    pub struct CatOutputs<F> {
        /// f32, of the tensors' shape, with the sum of their lengths along the dimension.
        output: float,
    }
}

impl Cat {
    /// Checks tensors of one shape but for the dimension along which they are joined. Those of shape (0) are left out, as
    /// in PyTorch.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no tensor, for a scalar, for a tensor of another rank or other lengths than
    /// the first, and for a dimension that they do not have; [`Error::LimitExceeded`] for more elements than can be
    /// counted.
    pub fn new(tensors: &[&[usize]], params: &CatParams) -> Result<Self> {
        const TENSORS: &str = "tensors";
        let Some(&first) = tensors.iter().find(|shape| ***shape != [0]).or(tensors.first()) else {
            return Err(Error::invalid(Self::NAME, TENSORS, "at least one tensor", "none"));
        };
        for (index, shape) in tensors.iter().enumerate() {
            shape::element_count(Self::NAME, TENSORS, shape).map_err(|error| error.of_item(index))?;
            if shape.is_empty() {
                let error = Error::invalid(Self::NAME, TENSORS, "1 dimension or more", format!("shape {shape:?}"));
                return Err(error.of_item(index));
            }
        }
        // Nothing is joined where all are left out, and PyTorch looks at no dimension.
        let dim = if *first == [0] { 0 } else { shape::dimension(Self::NAME, "dim", params.dim, first)? };
        let mut output = first.to_vec();
        output[dim] = 0;
        for (index, shape) in tensors.iter().enumerate().filter(|(_, shape)| ***shape != [0]) {
            let fits = |(at, (length, expected)): (usize, (&usize, &usize))| at == dim || length == expected;
            if shape.len() != first.len() || !shape.iter().zip(first).enumerate().all(fits) {
                let expected = format!("shape {first:?} but for dimension {dim}");
                return Err(Error::invalid(Self::NAME, TENSORS, expected, format!("shape {shape:?}")).of_item(index));
            }
            output[dim] = output[dim].saturating_add(shape[dim]);
        }
        shape::element_count(Self::NAME, "output", &output)?;
        Ok(Cat { tensors: tensors.iter().map(|shape| shape.to_vec()).collect(), dim, output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Cat {
    const NAME: &'static str = "cat";
    type Params = CatParams;
    type Inputs = CatInputs<()>;
    type Outputs = CatOutputs<()>;

    fn of_shapes(inputs: &CatInputs<Vec<usize>>, params: &CatParams) -> Result<Self> {
        Cat::new(&inputs.tensors.iter().map(Vec::as_slice).collect::<Vec<_>>(), params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of [`cat_backward`](crate::cat_backward).
    pub struct CatBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32, of the tensors' shapes: the gradients are added to them. Each is present exactly if it is planned so.
        grad_tensors: sparse float,
    }
}

arguments! {
    /// The gradients of [`cat`](crate::cat).
    #[derive(Eq)]
    pub struct CatGradients<F> {
        /// f32, of the tensors' shapes.
        grad_tensors: sparse float,
    }
}

impl Differentiable for Cat {
    const BACKWARD: &'static str = "cat_backward";
    type BackwardInputs = CatBackwardInputs<()>;
    type Gradients = CatGradients<()>;

    fn gradient_shapes(&self) -> CatGradients<Vec<usize>> {
        CatGradients { grad_tensors: self.tensors.iter().cloned().map(Some).collect() }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> CatBackwardInputs<Vec<usize>> {
        let name = |index| Name { field: "grad_tensors", index: Some(index) };
        let each = self.tensors.iter().enumerate();
        CatBackwardInputs {
            grad_output: self.output.clone(),
            grad_tensors: each.map(|(index, shape)| backward.added(name(index), shape)).collect(),
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use backward::cat_backward;
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;
    use std::slice::from_ref;

    use super::{Cat, CatInputs, CatOutputs, CatParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::{Bound, Operator, Slot, Slots};

    uniform! {
        struct Params {
            count: u32,
            row: u32,
            output_row: u32,
            begin: u32,
            input_base: u32,
            output_base: u32,
        }
    }

    static ELEMENTS: Kernel = kernel!("cat", "elements", Params, [(1, Read), (2, ReadWrite)]);
    static BLOCKS: Kernel = kernel!("cat", "blocks", Params, [(1, Read), (2, ReadWrite)]);

    /// The plan of such an operator, the same on all devices.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CatPlan {
        pub(super) tensors: usize,
    }

    impl fmt::Display for CatPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} tensors, a dispatch each, in blocks of 4 where rows are", self.tensors)
        }
    }

    impl Operator for Cat {
        type Plan = CatPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&ELEMENTS), from_ref(&BLOCKS)];

        fn plan(&self, _: &Capabilities) -> CatPlan {
            CatPlan { tensors: self.tensors.iter().filter(|shape| !shape.contains(&0)).count() }
        }

        fn declare(&self, _: &CatPlan) -> Slots<Self> {
            let tensors = self.tensors.iter().map(|shape| Slot::read(shape).cut(self.row_of(shape))).collect();
            let output = Slot::write(&self.output).cut(self.row_of(&self.output));
            Slots::new(CatInputs { tensors }, CatOutputs { output }).cut(self.items())
        }

        fn dispatches(&self, _: &CatPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let (output, output_row) = (bound.outputs.output, self.row_of(&self.output));
            let mut begin = 0;
            for (shape, &tensor) in self.tensors.iter().zip(&bound.inputs.tensors) {
                let row = self.row_of(shape);
                let count = part.items * row;
                if count == 0 {
                    continue;
                }
                let mut params = Params {
                    count: count as u32,
                    row: row as u32,
                    output_row: output_row as u32,
                    begin: begin as u32,
                    input_base: tensor.base,
                    output_base: output.base,
                };
                let members = [
                    &mut params.count,
                    &mut params.row,
                    &mut params.output_row,
                    &mut params.begin,
                    &mut params.input_base,
                    &mut params.output_base,
                ];
                let mut kernel = &ELEMENTS;
                if members.iter().all(|member| member.is_multiple_of(BLOCK)) {
                    members.into_iter().for_each(|member| *member /= BLOCK);
                    kernel = &BLOCKS;
                }
                let invocations = params.count as usize;
                add(Dispatch::per_element(kernel, params.to_bytes(), &[tensor, output], invocations));
                begin += row;
            }
        }
    }

    impl Cat {
        /// The elements of an array in one item of the dimensions before the one along which arrays are joined.
        pub(super) fn row_of(&self, shape: &[usize]) -> usize {
            // A tensor that is left out has other dimensions.
            if *shape == [0] { 0 } else { shape[self.dim..].iter().product() }
        }

        /// How many such items there are.
        pub(super) fn items(&self) -> usize {
            self.output[..self.dim].iter().product()
        }
    }

    /// Tensors joined along a dimension, as
    /// [`torch.cat`](https://pytorch.org/docs/2.11/generated/torch.cat.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{CatParams, Gpu, Tensor, cat};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let skipped = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 64, 32, 32)))?;
    /// let upsampled = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::ones((1, 128, 32, 32)))?;
    /// let joined = cat(&[&skipped, &upsampled], &CatParams { dim: 1 })?;
    /// assert_eq!(joined.shape(), [1, 192, 32, 32]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Cat::new`] and [`Operator::call`].
    pub fn cat(tensors: &[&Tensor], params: &CatParams) -> Result<Tensor> {
        let shapes: Vec<_> = tensors.iter().map(|tensor| tensor.shape()).collect();
        Ok(Cat::new(&shapes, params)?.call(&CatInputs { tensors: tensors.to_vec() })?.output)
    }
}
