//! adaptive_avg_pool2d: the means of as many areas as are asked for.

use crate::error::Result;
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable};
use crate::ops::areas::Areas;
use crate::ops::{UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
use crate::shape::{self, ImageShape};

/// Parameters of [`adaptive_avg_pool2d`](crate::adaptive_avg_pool2d), as in `torch.nn.functional.adaptive_avg_pool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveAvgPool2dParams {
    /// The output's rows and columns; `None` for as many as the input has. PyTorch has no default for it.
    pub output_size: [Option<usize>; 2],
}

impl AdaptiveAvgPool2dParams {
    /// This many rows and columns.
    pub fn new(output_size: [Option<usize>; 2]) -> Self {
        AdaptiveAvgPool2dParams { output_size }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(AdaptiveAvgPool2dParams: new(output_size));

/// A validated [`adaptive_avg_pool2d`](crate::adaptive_avg_pool2d) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    pub(crate) areas: Areas,
    output: Vec<usize>,
}

impl AdaptiveAvgPool2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an `input` of another rank or without rows or
    /// columns; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for sizes that cannot be counted.
    pub fn new(input: &[usize], params: &AdaptiveAvgPool2dParams) -> Result<Self> {
        let input = ImageShape::of_planes(Self::NAME, input)?;
        let [rows, cols] = params.output_size;
        let out = [rows.unwrap_or(input.rows), cols.unwrap_or(input.cols)];
        let output = input.with_plane(input.channels, out[0], out[1]);
        shape::element_count(Self::NAME, "output_size", &output)?;
        Ok(AdaptiveAvgPool2d { areas: Areas { input, out }, output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for AdaptiveAvgPool2d {
    const NAME: &'static str = "adaptive_avg_pool2d";
    type Params = AdaptiveAvgPool2dParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &AdaptiveAvgPool2dParams) -> Result<Self> {
        AdaptiveAvgPool2d::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for AdaptiveAvgPool2d {
    const BACKWARD: &'static str = "adaptive_avg_pool2d_backward";
    type BackwardInputs = UnaryBackwardInputs<()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.areas.input.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> UnaryBackwardInputs<Vec<usize>> {
        let grad_input = backward.added("grad_input", &self.areas.input.shape);
        UnaryBackwardInputs { grad_output: self.output.clone(), input: None, output: None, grad_input }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::slice::from_ref;

    use super::{AdaptiveAvgPool2d, AdaptiveAvgPool2dParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::{magnitudes, rounding};
    use crate::operator::{
        ArraysOf, Backward, Bound, Computed, Differentiable, OnCpu, Operator, Slot, Slots, Tolerance,
    };
    use crate::ops::areas::{AreaGradientPlan, AreasPlan, area_gradient_kernel, area_kernels};
    use crate::ops::{UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

    static KERNELS: [Kernel; 2] = area_kernels!("adaptive_avg_pool2d");

    impl Operator for AdaptiveAvgPool2d {
        type Plan = AreasPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

        fn plan(&self, on: &Capabilities) -> AreasPlan {
            self.areas.plan(on)
        }

        fn declare(&self, _: &AreasPlan) -> Slots<Self> {
            let Self { areas, output } = self;
            let inputs = UnaryInputs { input: Slot::read(&areas.input.shape).cut(areas.input.rows * areas.input.cols) };
            let output = Slot::write(output).cut(areas.out[0] * areas.out[1]);
            Slots::new(inputs, UnaryOutputs { output }).cut(areas.planes())
        }

        fn dispatches(&self, plan: &AreasPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let arguments = [bound.inputs.input, bound.outputs.output];
            self.areas.dispatches(&KERNELS, plan, part.items, arguments, add);
        }

        fn rounding<'a>(
            &'a self,
            _: &AreasPlan,
            inputs: &'a ArraysOf<Self>,
            _: &Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let means = self.compute(&UnaryInputs { input: magnitudes(&inputs.input) })?.outputs.output.into_flat();
            Ok(Box::new(move |_, index| rounding(8, means[index].into())))
        }
    }

    /// The means of `output_size` areas of an input (N,C,H,W) or (C,H,W), as
    /// [`torch.nn.functional.adaptive_avg_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.adaptive_avg_pool2d.html).
    /// Row y of the output has the rows from y H / rows, rounded down, to (y + 1) H / rows, rounded up.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AdaptiveAvgPool2dParams, Gpu, Tensor, adaptive_avg_pool2d};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let features = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::ones((1, 512, 7, 7)))?;
    /// let means = adaptive_avg_pool2d(&features, &AdaptiveAvgPool2dParams::new([Some(1); 2]))?;
    /// assert_eq!(means.shape(), [1, 512, 1, 1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AdaptiveAvgPool2d::new`] and [`Operator::call`].
    pub fn adaptive_avg_pool2d(input: &Tensor, params: &AdaptiveAvgPool2dParams) -> Result<Tensor> {
        Ok(AdaptiveAvgPool2d::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
    }

    static BACKWARD: Kernel = area_gradient_kernel!("adaptive_avg_pool2d_backward");

    impl Operator for Backward<AdaptiveAvgPool2d> {
        type Plan = AreaGradientPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&BACKWARD)];

        fn plan(&self, on: &Capabilities) -> AreaGradientPlan {
            self.forward.areas.plan_gradient(on)
        }

        fn declare(&self, _: &AreaGradientPlan) -> Slots<Self> {
            let areas = &self.forward.areas;
            let share = |name: &str| match name {
                "grad_input" => areas.input.rows * areas.input.cols,
                _ => areas.out[0] * areas.out[1],
            };
            self.slots(|name| Some(share(name))).cut(areas.planes())
        }

        fn dispatches(&self, plan: &AreaGradientPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let UnaryBackwardInputs { grad_output, grad_input, .. } = bound.inputs;
            let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
            let (adds, arguments) = (self.adds("grad_input"), [grad_output, grad_input]);
            self.forward.areas.gradient_dispatches(&BACKWARD, plan, part.items, adds, arguments, add);
        }

        fn rounding<'a>(
            &'a self,
            _: &AreaGradientPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            // Besides, sizes are multiplied, and shares divided.
            let terms = self.forward.areas.terms() + 4;
            let magnitudes = self.of_magnitudes(inputs, computed)?;
            Ok(Box::new(move |_, index| rounding(terms, f64::from(magnitudes[0][index]))))
        }
    }

    /// The gradient of [`adaptive_avg_pool2d`] with respect to its input, of this shape: each element of `grad_output`, divided
    /// by its area's number of elements, goes to all of them, and where areas overlap, their shares add up. As PyTorch's
    /// autograd of
    /// [`torch.nn.functional.adaptive_avg_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.adaptive_avg_pool2d.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AdaptiveAvgPool2dParams, Gpu, Tensor, adaptive_avg_pool2d_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let grad_output = Tensor::zeros(&gpu, &[1, 512, 1, 1])?;
    /// let params = AdaptiveAvgPool2dParams::new([Some(1); 2]);
    /// let grad_input = adaptive_avg_pool2d_backward(&grad_output, &[1, 512, 7, 7], &params)?;
    /// assert_eq!(grad_input.shape(), [1, 512, 7, 7]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AdaptiveAvgPool2d::new`] and [`Operator::call`].
    pub fn adaptive_avg_pool2d_backward(
        grad_output: &Tensor,
        input: &[usize],
        params: &AdaptiveAvgPool2dParams,
    ) -> Result<Tensor> {
        let backward = AdaptiveAvgPool2d::new(input, params)?.backward_of_all()?;
        let gradients = backward.call(&UnaryBackwardInputs::new(grad_output))?;
        Ok(gradients.grad_input.expect("it is wanted"))
    }
}
