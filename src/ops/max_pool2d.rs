//! max_pool2d: the maximum over sliding windows.

use crate::UnaryGradients;
use crate::error::Result;
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::shape::{self, ImageShape};
use crate::window::{Padding, Window, expect_positive};

/// Parameters of [`max_pool2d`](crate::max_pool2d), as in `torch.nn.functional.max_pool2d`. Pairs are (rows, columns),
/// in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool2dParams {
    /// The window's size, at least 1. PyTorch has no default for it.
    pub kernel_size: [usize; 2],
    /// The distance between windows, at least 1. Default: `None`, which is `kernel_size`.
    pub stride: Option<[usize; 2]>,
    /// Positions added around the input, never chosen; at most half of `kernel_size` on each side. Default: 0.
    pub padding: Padding,
    /// The distance between elements of a window, at least 1. Default: 1.
    pub dilation: [usize; 2],
    /// Whether a partial window at the end counts, so that the output's size is rounded up. Default: false.
    pub ceil_mode: bool,
    /// Whether the call also returns the position of each maximum. Default: false.
    pub return_indices: bool,
}

impl MaxPool2dParams {
    /// Windows of this size, without overlap or gap; all other parameters have PyTorch's defaults.
    pub fn new(kernel_size: [usize; 2]) -> Self {
        MaxPool2dParams {
            kernel_size,
            stride: None,
            padding: Padding::default(),
            dilation: [1, 1],
            ceil_mode: false,
            return_indices: false,
        }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(
    MaxPool2dParams: new(kernel_size), stride, padding by amounts, dilation, ceil_mode, return_indices
);

/// A validated [`max_pool2d`](crate::max_pool2d) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) return_indices: bool,
    output: Vec<usize>,
}

arguments! {
    /// The inputs of [`max_pool2d`](crate::max_pool2d).
    #[derive(Copy)]
    pub struct MaxPool2dInputs<F> {
        /// f32, (N,C,H,W) or (C,H,W).
        input: float,
    }
}

arguments! {
    /// The outputs of [`max_pool2d`](crate::max_pool2d).
    #[derive(Copy)]
    pub struct MaxPool2dOutputs<F, I> {
        /// f32: the maxima, (N,C,out_rows,out_cols) or (C,out_rows,out_cols).
        output: float,
        /// i32, the output's shape: the position of each maximum, as row * width + column in its plane of the input.
        /// Present with `return_indices`.
        indices: optional integer,
    }
}

impl MaxPool2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an `input` of another rank or with an empty
    /// dimension other than N, a `kernel_size`, `stride` or `dilation` of 0, a `padding` above half of `kernel_size`,
    /// and windows that do not fit; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for sizes that cannot be
    /// counted.
    pub fn new(input: &[usize], params: &MaxPool2dParams) -> Result<Self> {
        let input = ImageShape::new(Self::NAME, input)?;
        // Report a size of 0 before the padding is compared with it.
        expect_positive(Self::NAME, "kernel_size", params.kernel_size)?;
        let padding = params.padding.of_pool(Self::NAME, params.kernel_size)?;
        let windows = Window::pair(
            Self::NAME,
            "kernel_size",
            params.kernel_size,
            params.stride.unwrap_or(params.kernel_size),
            padding,
            params.dilation,
        )?;
        let out_rows = windows[0].output_length(Self::NAME, input.rows, params.ceil_mode)?;
        let out_cols = windows[1].output_length(Self::NAME, input.cols, params.ceil_mode)?;
        let output = input.with_plane(input.channels, out_rows, out_cols);
        shape::element_count(Self::NAME, "output", &output)?;
        Ok(MaxPool2d { input, windows, out_rows, out_cols, return_indices: params.return_indices, output })
    }

    /// The shape of the output, and of the indices.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for MaxPool2d {
    const NAME: &'static str = "max_pool2d";
    type Params = MaxPool2dParams;
    type Inputs = MaxPool2dInputs<()>;
    type Outputs = MaxPool2dOutputs<(), ()>;

    fn of_shapes(inputs: &MaxPool2dInputs<Vec<usize>>, params: &MaxPool2dParams) -> Result<Self> {
        MaxPool2d::new(&inputs.input, params)
    }

    fn with_outputs(self, wanted: &[&str]) -> Result<Self> {
        let return_indices = self.return_indices || wanted.contains(&"indices");
        Ok(MaxPool2d { return_indices, ..self })
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of [`max_pool2d_backward`](crate::max_pool2d_backward).
    #[derive(Copy)]
    pub struct MaxPool2dBackwardInputs<F, I> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// i32, of the output's shape: the indices that [`max_pool2d`](crate::max_pool2d) returned. One that is no element
        /// of its window gives its gradient to nothing.
        indices: integer,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
    }
}

impl Differentiable for MaxPool2d {
    const BACKWARD: &'static str = "max_pool2d_backward";
    type BackwardInputs = MaxPool2dBackwardInputs<(), ()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.input.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> MaxPool2dBackwardInputs<Vec<usize>, Vec<usize>> {
        MaxPool2dBackwardInputs {
            grad_output: self.output.clone(),
            indices: self.output.clone(),
            grad_input: backward.added("grad_input", &self.input.shape),
        }
    }

    fn saved_outputs(&self) -> &'static [&'static str] {
        &["indices"]
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::slice::from_ref;

    use super::{MaxPool2d, MaxPool2dBackwardInputs, MaxPool2dInputs, MaxPool2dOutputs, MaxPool2dParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::rounding;
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};
    use crate::ops::pooling::{PoolGradientKernels, PoolGradientParams, PoolGradientPlan, PoolParams, PoolPlan, terms};

    static VALUES: Kernel = kernel!("max_pool2d", "max_pool2d", PoolParams, [(1, Read), (2, ReadWrite)]);
    static WITH_INDICES: Kernel =
        kernel!("max_pool2d", "max_pool2d_with_indices", PoolParams, [(1, Read), (2, ReadWrite), (3, ReadWrite)]);
    static QUADS: Kernel = kernel!("max_pool2d_quads", "max_pool2d_quads", PoolParams, [(1, Read), (2, ReadWrite)]);
    static QUADS_WITH_INDICES: Kernel = kernel!(
        "max_pool2d_quads",
        "max_pool2d_quads_with_indices",
        PoolParams,
        [(1, Read), (2, ReadWrite), (3, ReadWrite)]
    );

    impl Operator for MaxPool2d {
        type Plan = PoolPlan;
        const KERNELS: &'static [&'static [Kernel]] =
            &[from_ref(&VALUES), from_ref(&WITH_INDICES), from_ref(&QUADS), from_ref(&QUADS_WITH_INDICES)];

        fn plan(&self, on: &Capabilities) -> PoolPlan {
            let [rows, cols] = &self.windows;
            // No window has more elements inside the input.
            let inside =
                |length: usize, window: &crate::window::Window| window.kernel.min(length.div_ceil(window.dilation));
            let inside = [inside(self.input.rows, rows), inside(self.input.cols, cols)];
            PoolPlan::new(on, &self.input, self.out_cols, &self.windows, inside)
        }

        fn declare(&self, _: &PoolPlan) -> Slots<Self> {
            // Planes are independent of each other.
            let [input, output] = [self.input.rows * self.input.cols, self.out_rows * self.out_cols];
            let inputs = MaxPool2dInputs { input: Slot::read(&self.input.shape).cut(input) };
            let indices = || Slot::write(&self.output).of_integers().cut(output);
            let outputs = MaxPool2dOutputs {
                output: Slot::write(&self.output).cut(output),
                indices: self.return_indices.then(indices),
            };
            Slots::new(inputs, outputs).cut(self.input.batch * self.input.channels)
        }

        fn dispatches(&self, plan: &PoolPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let output_count = part.items * self.out_rows * self.out_cols;
            if output_count == 0 {
                return;
            }
            let [input, output] = [bound.inputs.input, bound.outputs.output];
            let params = PoolParams::new(&self.input, [self.out_rows, self.out_cols], &self.windows, [input, output]);
            let dispatch = |in_quads, params, invocations| {
                let [values, with_indices] =
                    if in_quads { [&QUADS, &QUADS_WITH_INDICES] } else { [&VALUES, &WITH_INDICES] };
                match bound.outputs.indices {
                    None => Dispatch::per_element(values, params, &[input, output], invocations),
                    Some(indices) => {
                        Dispatch::per_element(with_indices, params, &[input, output, indices], invocations)
                    }
                }
            };
            plan.dispatches(output_count, params, dispatch, add);
        }
    }

    /// The maximum over sliding windows of an input (N,C,H,W) or (C,H,W), as
    /// [`torch.nn.functional.max_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.max_pool2d.html).
    ///
    /// NaN counts as greater than all numbers. Of equal values the first is taken.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MaxPool2dParams, Tensor, max_pool2d};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 3, 32, 32)))?;
    /// let pooled = max_pool2d(&input, &MaxPool2dParams::new([2, 2]))?;
    /// assert_eq!(pooled.output.shape(), [1, 3, 16, 16]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MaxPool2d::new`] and [`Operator::call`].
    pub fn max_pool2d(input: &Tensor, params: &MaxPool2dParams) -> Result<MaxPool2dOutputs<Tensor, Tensor<i32>>> {
        MaxPool2d::new(input.shape(), params)?.call(&MaxPool2dInputs { input })
    }

    static BACKWARD: Kernel = kernel!(
        "max_pool2d_backward",
        "max_pool2d_backward",
        PoolGradientParams,
        [(1, Read), (2, Read), (3, ReadWrite)]
    );
    static BACKWARD_QUADS: Kernel = kernel!(
        "max_pool2d_backward_quads",
        "max_pool2d_backward_quads",
        PoolGradientParams,
        [(1, Read), (2, Read), (3, ReadWrite)]
    );

    impl Operator for Backward<MaxPool2d> {
        type Plan = PoolGradientPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&BACKWARD), from_ref(&BACKWARD_QUADS)];

        fn plan(&self, on: &Capabilities) -> PoolGradientPlan {
            let MaxPool2d { input, windows, out_rows, out_cols, .. } = &self.forward;
            PoolGradientPlan::new(on, input, windows, [*out_rows, *out_cols])
        }

        fn declare(&self, _: &PoolGradientPlan) -> Slots<Self> {
            let MaxPool2d { input, out_rows, out_cols, .. } = &self.forward;
            let share = |name: &str| match name {
                "grad_input" => input.rows * input.cols,
                _ => out_rows * out_cols,
            };
            self.slots(|name| Some(share(name))).cut(input.batch * input.channels)
        }

        fn dispatches(&self, plan: &PoolGradientPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let MaxPool2dBackwardInputs { grad_output, indices, grad_input } = bound.inputs;
            let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
            let MaxPool2d { input, windows, out_rows, out_cols, .. } = &self.forward;
            let (out, adds) = ([*out_rows, *out_cols], self.adds("grad_input"));
            let params = PoolGradientParams::new(input, out, windows, adds, [grad_output, grad_input]);
            let kernels = PoolGradientKernels { quads: &BACKWARD_QUADS, windows: &BACKWARD };
            plan.dispatches(&kernels, part.items, params, &[grad_output, indices, grad_input], add);
        }

        fn rounding<'a>(
            &'a self,
            _: &PoolGradientPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let MaxPool2d { windows, out_rows, out_cols, .. } = &self.forward;
            let terms = terms(windows, [*out_rows, *out_cols]);
            let magnitudes = self.of_magnitudes(inputs, computed)?;
            Ok(Box::new(move |_, index| rounding(terms, f64::from(magnitudes[0][index]))))
        }
    }

    /// The gradient of [`max_pool2d`] with respect to its input, of this shape: each element of `grad_output` goes to the
    /// position that `indices` tells, which must be in its window, as PyTorch's autograd of
    /// [`torch.nn.functional.max_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.max_pool2d.html).
    /// Where windows overlap, their gradients add up in the order of the windows.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MaxPool2dParams, Tensor, max_pool2d, max_pool2d_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 3, 32, 32)))?;
    /// let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
    /// let pooled = max_pool2d(&input, &params)?;
    /// let grad_output = Tensor::zeros(&gpu, pooled.output.shape())?;
    /// let grad_input = max_pool2d_backward(&grad_output, &pooled.indices.unwrap(), input.shape(), &params)?;
    /// assert_eq!(grad_input.shape(), input.shape());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MaxPool2d::new`] and [`Operator::call`].
    pub fn max_pool2d_backward(
        grad_output: &Tensor,
        indices: &Tensor<i32>,
        input: &[usize],
        params: &MaxPool2dParams,
    ) -> Result<Tensor> {
        let backward = MaxPool2d::new(input, params)?.backward_of_all()?;
        let gradients = backward.call(&MaxPool2dBackwardInputs::new(grad_output, indices))?;
        Ok(gradients.grad_input.expect("it is wanted"))
    }
}
