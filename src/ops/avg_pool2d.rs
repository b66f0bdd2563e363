//! avg_pool2d: the mean over sliding windows.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::{UnaryBackwardInputs, UnaryGradients};
use crate::shape::{self, ImageShape};
use crate::window::{Padding, Window, expect_positive};

/// Parameters of [`avg_pool2d`](crate::avg_pool2d), as in `torch.nn.functional.avg_pool2d`. Pairs are (rows, columns),
/// in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool2dParams {
    /// The window's size, at least 1. PyTorch has no default for it.
    pub kernel_size: [usize; 2],
    /// The distance between windows, at least 1. Default: `None`, which is `kernel_size`.
    pub stride: Option<[usize; 2]>,
    /// Zeros added around the input; at most half of `kernel_size` on each side. Default: 0.
    pub padding: Padding,
    /// Whether a partial window at the end counts, so that the output's size is rounded up. Default: false.
    pub ceil_mode: bool,
    /// Whether elements of the padding count in the divisor. Default: true.
    pub count_include_pad: bool,
    /// The divisor of every sum, not 0. Default: `None`, which divides by the number of elements in the window.
    pub divisor_override: Option<i64>,
}

impl AvgPool2dParams {
    /// Windows of this size, without overlap or gap; all other parameters have PyTorch's defaults.
    pub fn new(kernel_size: [usize; 2]) -> Self {
        AvgPool2dParams {
            kernel_size,
            stride: None,
            padding: Padding::default(),
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(
    AvgPool2dParams: new(kernel_size), stride, padding by amounts, ceil_mode, count_include_pad, divisor_override
);

/// A validated [`avg_pool2d`](crate::avg_pool2d) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) count_include_pad: bool,
    pub(crate) divisor_override: Option<i64>,
    output: Vec<usize>,
}

arguments! {
    /// The inputs of [`avg_pool2d`](crate::avg_pool2d).
    #[derive(Copy)]
    pub struct AvgPool2dInputs<F> {
        /// f32, (N,C,H,W) or (C,H,W).
        input: float,
    }
}

arguments! {
    /// The outputs of [`avg_pool2d`](crate::avg_pool2d).
    #[derive(Copy)]
    pub struct AvgPool2dOutputs<F> {
        /// f32: the means, (N,C,out_rows,out_cols) or (C,out_rows,out_cols).
        output: float,
    }
}

impl AvgPool2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of another rank or with an empty dimension other than N, a
    /// `kernel_size` or `stride` of 0, a `padding` above half of `kernel_size`, a `divisor_override` of 0, and windows
    /// that do not fit; [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], params: &AvgPool2dParams) -> Result<Self> {
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
            [1, 1],
        )?;
        if params.divisor_override == Some(0) {
            return Err(Error::invalid(Self::NAME, "divisor_override", "not 0", "0"));
        }
        let out_rows = windows[0].output_length(Self::NAME, input.rows, params.ceil_mode)?;
        let out_cols = windows[1].output_length(Self::NAME, input.cols, params.ceil_mode)?;
        let output = input.with_plane(input.channels, out_rows, out_cols);
        shape::element_count(Self::NAME, "output", &output)?;
        Ok(AvgPool2d {
            input,
            windows,
            out_rows,
            out_cols,
            count_include_pad: params.count_include_pad,
            divisor_override: params.divisor_override,
            output,
        })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for AvgPool2d {
    const NAME: &'static str = "avg_pool2d";
    type Params = AvgPool2dParams;
    type Inputs = AvgPool2dInputs<()>;
    type Outputs = AvgPool2dOutputs<()>;

    fn of_shapes(inputs: &AvgPool2dInputs<Vec<usize>>, params: &AvgPool2dParams) -> Result<Self> {
        AvgPool2d::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for AvgPool2d {
    const BACKWARD: &'static str = "avg_pool2d_backward";
    type BackwardInputs = UnaryBackwardInputs<()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.input.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> UnaryBackwardInputs<Vec<usize>> {
        let grad_input = backward.added("grad_input", &self.input.shape);
        UnaryBackwardInputs { grad_output: self.output.clone(), input: None, output: None, grad_input }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::slice::from_ref;

    use super::{AvgPool2d, AvgPool2dInputs, AvgPool2dOutputs, AvgPool2dParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::{magnitudes, rounding, unless_overflown};
    use crate::operator::{
        ArraysOf, Backward, Bound, Computed, Differentiable, OnCpu, Operator, Slot, Slots, Tolerance,
    };
    use crate::ops::UnaryBackwardInputs;
    use crate::ops::pooling::{PoolGradientKernels, PoolGradientParams, PoolGradientPlan, PoolParams, PoolPlan, terms};

    static AVG_POOL2D: Kernel = kernel!("avg_pool2d", "avg_pool2d", PoolParams, [(1, Read), (2, ReadWrite)]);
    static QUADS: Kernel = kernel!("avg_pool2d_quads", "avg_pool2d_quads", PoolParams, [(1, Read), (2, ReadWrite)]);

    impl Operator for AvgPool2d {
        type Plan = PoolPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&AVG_POOL2D), from_ref(&QUADS)];

        fn plan(&self, on: &Capabilities) -> PoolPlan {
            let [rows, cols] = &self.windows;
            // No window has more elements inside the input.
            let inside = [rows.kernel.min(self.input.rows), cols.kernel.min(self.input.cols)];
            PoolPlan::new(on, &self.input, self.out_cols, &self.windows, inside)
        }

        fn declare(&self, _: &PoolPlan) -> Slots<Self> {
            // Planes are independent of each other.
            let [input, output] = [self.input.rows * self.input.cols, self.out_rows * self.out_cols];
            let inputs = AvgPool2dInputs { input: Slot::read(&self.input.shape).cut(input) };
            let outputs = AvgPool2dOutputs { output: Slot::write(&self.output).cut(output) };
            Slots::new(inputs, outputs).cut(self.input.batch * self.input.channels)
        }

        fn dispatches(&self, plan: &PoolPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let output_count = part.items * self.out_rows * self.out_cols;
            if output_count == 0 {
                return;
            }
            let [input, output] = [bound.inputs.input, bound.outputs.output];
            let params = PoolParams {
                count_include_pad: u32::from(self.count_include_pad),
                has_divisor_override: u32::from(self.divisor_override.is_some()),
                divisor_override: self.divisor_override.unwrap_or(1) as f32,
                ..PoolParams::new(&self.input, [self.out_rows, self.out_cols], &self.windows, [input, output])
            };
            let dispatch = |in_quads, params, invocations| {
                let kernel = if in_quads { &QUADS } else { &AVG_POOL2D };
                Dispatch::per_element(kernel, params, &[input, output], invocations)
            };
            plan.dispatches(output_count, params, dispatch, add);
        }

        fn rounding<'a>(
            &'a self,
            _: &PoolPlan,
            inputs: &'a ArraysOf<Self>,
            _: &Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let sums = self.compute(&AvgPool2dInputs { input: magnitudes(&inputs.input) })?.outputs.output.into_flat();
            // A sum is at most its mean times this.
            let elements = (self.windows[0].kernel * self.windows[1].kernel) as f64;
            let elements = self.divisor_override.map_or(elements, |divisor| divisor.unsigned_abs() as f64);
            Ok(Box::new(move |_, index| {
                let mean = f64::from(sums[index].abs());
                unless_overflown(mean * elements, rounding(8, mean))
            }))
        }
    }

    /// The mean over sliding windows of an input (N,C,H,W) or (C,H,W), as
    /// [`torch.nn.functional.avg_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.avg_pool2d.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AvgPool2dParams, Gpu, Tensor, avg_pool2d};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::ones((1, 3, 32, 32)))?;
    /// let means = avg_pool2d(&input, &AvgPool2dParams::new([2, 2]))?;
    /// assert_eq!(means.shape(), [1, 3, 16, 16]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AvgPool2d::new`] and [`Operator::call`].
    pub fn avg_pool2d(input: &Tensor, params: &AvgPool2dParams) -> Result<Tensor> {
        Ok(AvgPool2d::new(input.shape(), params)?.call(&AvgPool2dInputs { input })?.output)
    }

    static BACKWARD: Kernel =
        kernel!("avg_pool2d_backward", "avg_pool2d_backward", PoolGradientParams, [(1, Read), (2, ReadWrite)]);
    static BACKWARD_QUADS: Kernel = kernel!(
        "avg_pool2d_backward_quads",
        "avg_pool2d_backward_quads",
        PoolGradientParams,
        [(1, Read), (2, ReadWrite)]
    );

    impl Operator for Backward<AvgPool2d> {
        type Plan = PoolGradientPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&BACKWARD), from_ref(&BACKWARD_QUADS)];

        fn plan(&self, on: &Capabilities) -> PoolGradientPlan {
            let AvgPool2d { input, windows, out_rows, out_cols, .. } = &self.forward;
            PoolGradientPlan::new(on, input, windows, [*out_rows, *out_cols])
        }

        fn declare(&self, _: &PoolGradientPlan) -> Slots<Self> {
            let AvgPool2d { input, out_rows, out_cols, .. } = &self.forward;
            let share = |name: &str| match name {
                "grad_input" => input.rows * input.cols,
                _ => out_rows * out_cols,
            };
            self.slots(|name| Some(share(name))).cut(input.batch * input.channels)
        }

        fn dispatches(&self, plan: &PoolGradientPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let UnaryBackwardInputs { grad_output, grad_input, .. } = bound.inputs;
            let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
            let AvgPool2d { input, windows, out_rows, out_cols, .. } = &self.forward;
            let (out, adds) = ([*out_rows, *out_cols], self.adds("grad_input"));
            let params = PoolGradientParams {
                count_include_pad: u32::from(self.forward.count_include_pad),
                has_divisor_override: u32::from(self.forward.divisor_override.is_some()),
                divisor_override: self.forward.divisor_override.unwrap_or(1) as f32,
                ..PoolGradientParams::new(input, out, windows, adds, [grad_output, grad_input])
            };
            let kernels = PoolGradientKernels { quads: &BACKWARD_QUADS, windows: &BACKWARD };
            plan.dispatches(&kernels, part.items, params, &[grad_output, grad_input], add);
        }

        fn rounding<'a>(
            &'a self,
            _: &PoolGradientPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let AvgPool2d { windows, out_rows, out_cols, .. } = &self.forward;
            // Besides, shares are divided, and divisors may be multiplied.
            let terms = terms(windows, [*out_rows, *out_cols]) + 4;
            // Those of all terms have one sign.
            let mut positive = self.clone();
            positive.forward.divisor_override = self.forward.divisor_override.map(i64::saturating_abs);
            let magnitudes = positive.of_magnitudes(inputs, computed)?;
            Ok(Box::new(move |_, index| rounding(terms, f64::from(magnitudes[0][index]))))
        }
    }

    /// The gradient of [`avg_pool2d`] with respect to its input, of this shape: each element of `grad_output`, divided as its
    /// mean was, goes to all elements of its window, and where windows overlap, their shares add up. As PyTorch's autograd of
    /// [`torch.nn.functional.avg_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.avg_pool2d.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AvgPool2dParams, Gpu, Tensor, avg_pool2d_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let grad_output = Tensor::zeros(&gpu, &[1, 3, 16, 16])?;
    /// let grad_input = avg_pool2d_backward(&grad_output, &[1, 3, 32, 32], &AvgPool2dParams::new([2, 2]))?;
    /// assert_eq!(grad_input.shape(), [1, 3, 32, 32]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AvgPool2d::new`] and [`Operator::call`].
    pub fn avg_pool2d_backward(grad_output: &Tensor, input: &[usize], params: &AvgPool2dParams) -> Result<Tensor> {
        let backward = AvgPool2d::new(input, params)?.backward_of_all()?;
        let gradients = backward.call(&UnaryBackwardInputs::new(grad_output))?;
        Ok(gradients.grad_input.expect("it is wanted"))
    }
}
