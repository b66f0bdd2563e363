//! The gradients of conv2d.

use super::Conv2d;
use crate::error::Result;
use crate::operator::{Backward, Differentiable, arguments};

arguments! {
    /// The inputs of the backward pass of a [`Conv2d`](crate::Conv2d) or a
    /// [`ConvTranspose2d`](crate::ConvTranspose2d).
    #[derive(Copy)]
    pub struct Conv2dBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input. Present exactly if `grad_weight` is wanted.
        input: optional float,
        /// f32: the operator's weight. Present exactly if `grad_input` is wanted.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the weight's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_weight: optional float,
        /// f32, of the bias's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_bias: optional float,
    }
}

arguments! {
    /// The gradients of a [`Conv2d`](crate::Conv2d) or a [`ConvTranspose2d`](crate::ConvTranspose2d).
    #[derive(Copy, Eq)]
    pub struct Conv2dGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the weight's shape.
        grad_weight: optional float,
        /// f32, of the bias's shape. Only of an operator with a bias.
        grad_bias: optional float,
    }
}

/// The shapes of a convolution's arguments.
pub(crate) struct Shapes<'a> {
    pub input: &'a [usize],
    pub weight: &'a [usize],
    pub bias: Option<usize>,
    pub output: &'a [usize],
}

impl Shapes<'_> {
    pub fn of_gradients(&self) -> Conv2dGradients<Vec<usize>> {
        Conv2dGradients {
            grad_input: Some(self.input.to_vec()),
            grad_weight: Some(self.weight.to_vec()),
            grad_bias: self.bias.map(|channels| vec![channels]),
        }
    }

    pub fn of_inputs<O: Differentiable>(&self, backward: &Backward<O>) -> Conv2dBackwardInputs<Vec<usize>> {
        Conv2dBackwardInputs {
            grad_output: self.output.to_vec(),
            input: backward.needed(&["grad_weight"], self.input),
            weight: backward.needed(&["grad_input"], self.weight),
            grad_input: backward.added("grad_input", self.input),
            grad_weight: backward.added("grad_weight", self.weight),
            grad_bias: self.bias.and_then(|channels| backward.added("grad_bias", &[channels])),
        }
    }
}

impl Differentiable for Conv2d {
    const BACKWARD: &'static str = "conv2d_backward";
    type BackwardInputs = Conv2dBackwardInputs<()>;
    type Gradients = Conv2dGradients<()>;

    fn gradient_shapes(&self) -> Conv2dGradients<Vec<usize>> {
        self.with_shapes(|shapes| shapes.of_gradients())
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> Conv2dBackwardInputs<Vec<usize>> {
        self.with_shapes(|shapes| shapes.of_inputs(backward))
    }

    fn check_differentiable(&self) -> Result<()> {
        self.epilogue.expect_none(Self::BACKWARD)
    }
}

impl Conv2d {
    fn with_shapes<T>(&self, take: impl FnOnce(Shapes<'_>) -> T) -> T {
        take(Shapes {
            input: &self.input.shape,
            weight: &self.weight_shape(),
            bias: self.has_bias.then_some(self.out_channels),
            output: self.output_shape(),
        })
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::super::{Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dOutputs, Conv2dParams, Conv2dPlan};
    use super::{Conv2dBackwardInputs, Conv2dGradients};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slots, Tolerance};
    use crate::ops::convolution::backward::{
        ConvolutionBackwardPlan, InputGradient, WeightAndBias, WeightAndBiasArguments, accumulating, beside_products,
        slots, tolerance,
    };
    use crate::ops::convolution::weight_gradient::{WEIGHT_GRADIENT_KERNELS, WeightAlgorithm, WeightGradient};
    use crate::ops::sums::ChannelSums;
    use crate::shape::ImageShape;
    use crate::{
        ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dInputs, ConvTranspose2dOutputs, ConvTranspose2dPlan,
    };

    /// How conv2d's gradient with respect to its input is computed on a device.
    #[derive(Debug, Clone, PartialEq)]
    #[non_exhaustive]
    pub enum Conv2dInputGradientPlan {
        /// As a transposed convolution.
        #[doc(hidden)]
        Transposed(InputGradient<ConvTranspose2d, ConvTranspose2dPlan>),
        /// As a convolution of the gradient, with the kernels mirrored.
        #[doc(hidden)]
        Mirrored(InputGradient<Conv2d, Conv2dPlan>),
    }

    impl fmt::Display for Conv2dInputGradientPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Conv2dInputGradientPlan::Transposed(plan) => write!(f, "transposed convolution, {plan}"),
                Conv2dInputGradientPlan::Mirrored(plan) => write!(f, "convolution by mirrored kernels, {plan}"),
            }
        }
    }

    impl Conv2d {
        fn output_image(&self) -> ImageShape {
            self.input.of_output(self.out_channels, self.out_rows, self.out_cols)
        }

        /// The transposed convolution that is the gradient with respect to the input.
        fn transposed(&self) -> ConvTranspose2d {
            let algorithm = match self.algorithm {
                Conv2dAlgorithm::Direct => ConvTranspose2dAlgorithm::Gather,
                Conv2dAlgorithm::Patches | Conv2dAlgorithm::Tiles => ConvTranspose2dAlgorithm::Phases,
                Conv2dAlgorithm::ImplicitGemm => ConvTranspose2dAlgorithm::ImplicitGemm,
                _ => ConvTranspose2dAlgorithm::Auto,
            };
            ConvTranspose2d::of_windows(self.output_image(), self.windows, self.groups, &self.input)
                .with_algorithm(algorithm)
        }

        /// The convolution of the output's gradient that is the gradient with respect to the input, if there is one: of
        /// stride 1, with the kernels mirrored and their channels exchanged.
        fn mirrored(&self) -> Option<Conv2d> {
            let mut windows = self.windows;
            for window in &mut windows {
                if window.stride > 1 {
                    return None;
                }
                let reach = window.dilation * (window.kernel - 1);
                window.padding_before = reach.checked_sub(window.padding_before)?;
                window.padding_after = reach.checked_sub(window.padding_after)?;
            }
            let conv = Conv2d::of_windows(self.output_image(), windows, self.groups, &self.input);
            let algorithm = match self.algorithm {
                Conv2dAlgorithm::Auto
                | Conv2dAlgorithm::Fast
                | Conv2dAlgorithm::Tiles
                | Conv2dAlgorithm::Winograd2x2
                | Conv2dAlgorithm::Winograd4x4 => self.algorithm,
                _ => return None,
            };
            Conv2d { is_mirrored: true, ..conv }.with_algorithm(algorithm).ok()
        }

        fn input_gradient(&self, on: &Capabilities, adds: bool) -> Conv2dInputGradientPlan {
            let epilogue = accumulating(adds);
            let mirrored =
                self.mirrored().map(|mirrored| InputGradient::new(Conv2d { epilogue, ..mirrored }, on, adds));
            let takes_mirrored = |plan: &Conv2dPlan| match plan {
                Conv2dPlan::Winograd { .. } | Conv2dPlan::Tiles { .. } => true,
                Conv2dPlan::Patches { is_pointwise, .. } => *is_pointwise,
                _ => false,
            };
            match mirrored.filter(|mirrored| takes_mirrored(&mirrored.plan.main)) {
                Some(mirrored) => Conv2dInputGradientPlan::Mirrored(mirrored),
                None => {
                    let mut transposed = self.transposed();
                    transposed.epilogue = epilogue;
                    Conv2dInputGradientPlan::Transposed(InputGradient::new(transposed, on, adds))
                }
            }
        }

        fn weight_algorithm(&self) -> WeightAlgorithm {
            match self.algorithm {
                Conv2dAlgorithm::Direct | Conv2dAlgorithm::Patches | Conv2dAlgorithm::Tiles => WeightAlgorithm::Columns,
                Conv2dAlgorithm::ImplicitGemm => WeightAlgorithm::ImplicitGemm,
                _ => WeightAlgorithm::Auto,
            }
        }

        fn with_weight_and_bias<T>(&self, take: impl FnOnce(&WeightAndBias<'_>) -> T) -> T {
            let weight = WeightGradient {
                image: &self.input,
                pixels: &self.output_image(),
                windows: &self.windows,
                groups: self.groups,
            };
            let inner = self.out_rows * self.out_cols;
            take(&WeightAndBias {
                weight,
                bias: ChannelSums { outer: self.input.batch, channels: self.out_channels, inner },
            })
        }
    }

    impl Operator for Backward<Conv2d> {
        type Plan = ConvolutionBackwardPlan<Conv2dInputGradientPlan>;
        const KERNELS: &'static [&'static [Kernel]] = &[
            WEIGHT_GRADIENT_KERNELS[0],
            WEIGHT_GRADIENT_KERNELS[1],
            WEIGHT_GRADIENT_KERNELS[2],
            WEIGHT_GRADIENT_KERNELS[3],
            WEIGHT_GRADIENT_KERNELS[4],
            WEIGHT_GRADIENT_KERNELS[5],
            WEIGHT_GRADIENT_KERNELS[6],
            ChannelSums::KERNELS[0],
            ChannelSums::KERNELS[1],
        ];

        fn plan(&self, on: &Capabilities) -> Self::Plan {
            let conv = &self.forward;
            let weight = |of: &WeightAndBias<'_>| of.weight.plan(on, conv.weight_algorithm());
            ConvolutionBackwardPlan {
                input: self.wants("grad_input").then(|| conv.input_gradient(on, self.adds("grad_input"))),
                weight: self.wants("grad_weight").then(|| conv.with_weight_and_bias(weight)),
                has_bias: self.wants("grad_bias"),
            }
        }

        fn declare(&self, plan: &Self::Plan) -> Slots<Self> {
            let conv = &self.forward;
            let of_input = plan.input.as_ref().map_or(0, |gradient| match gradient {
                Conv2dInputGradientPlan::Transposed(gradient) => gradient.workspace(),
                Conv2dInputGradientPlan::Mirrored(gradient) => gradient.workspace(),
            });
            let workspace = conv.with_weight_and_bias(|of| of.workspace(plan)).max(of_input);
            slots(self, [&conv.input, &conv.output_image()], workspace)
        }

        fn dispatches(&self, plan: &Self::Plan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let conv = &self.forward;
            let Conv2dBackwardInputs { grad_output, input, weight, grad_input, grad_weight, grad_bias } = bound.inputs;
            let workspace = bound.workspace;
            if let (Some(gradient), Some(weight), Some(grad_input)) =
                (&plan.input, weight, bound.outputs.grad_input.or(grad_input))
            {
                let residual = self.adds("grad_input").then_some(grad_input);
                match gradient {
                    Conv2dInputGradientPlan::Transposed(InputGradient { operator, plan }) => {
                        let inputs =
                            ConvTranspose2dInputs { residual, ..ConvTranspose2dInputs::new(grad_output, weight) };
                        let outputs = ConvTranspose2dOutputs { output: grad_input };
                        operator.dispatches(plan, part, &Bound { inputs, outputs, workspace }, add);
                    }
                    Conv2dInputGradientPlan::Mirrored(InputGradient { operator, plan }) => {
                        let inputs = Conv2dInputs { residual, ..Conv2dInputs::new(grad_output, weight) };
                        let outputs = Conv2dOutputs { output: grad_input };
                        operator.dispatches(plan, part, &Bound { inputs, outputs, workspace }, add);
                    }
                }
            }
            // Later parts of the batch are added to the first.
            let adds = |name| self.adds(name) || part.begin() > 0;
            let arguments = WeightAndBiasArguments {
                image: input,
                pixels: Some(grad_output),
                grad_output,
                grad_weight: bound.outputs.grad_weight.or(grad_weight),
                grad_bias: bound.outputs.grad_bias.or(grad_bias),
                workspace,
                adds: ["grad_weight", "grad_bias"].map(adds),
            };
            conv.with_weight_and_bias(|of| of.dispatches(plan, part.items, &arguments, add));
        }

        fn rounding<'a>(
            &'a self,
            plan: &'a Self::Plan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let conv = &self.forward;
            let products = conv.group_out_channels() * conv.windows[0].kernel * conv.windows[1].kernel;
            let terms = conv.with_weight_and_bias(|of| plan.weight.map_or(0, |plan| of.weight.terms(&plan)));
            let beside = match &plan.input {
                Some(Conv2dInputGradientPlan::Mirrored(_)) => {
                    beside_products(&inputs.grad_output, inputs.weight.as_ref())
                }
                _ => 0.0,
            };
            tolerance(self, inputs, computed, [products, terms], beside)
        }
    }

    /// The gradients of [`conv2d`](crate::conv2d) with respect to its input and its weight, as PyTorch's autograd of
    /// [`torch.nn.functional.conv2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv2d.html):
    ///
    /// - grad_input is the transposed convolution of grad_output with the weight;
    /// - `grad_weight[o,i,u,v]` is the sum over n, y and x of `grad_output[n,o,y,x]` times `input[n, first + i, y stride -
    ///   padding + u dilation, x stride - padding + v dilation]`, where first is the first input channel of o's group;
    /// - `grad_bias[o]`, of a bias of this many channels, is the sum over n, y and x of `grad_output[n,o,y,x]`.
    ///
    /// [`Differentiable::backward`](crate::operator::Differentiable::backward) plans them one by one.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Conv2dParams, Gpu, Tensor, conv2d_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let [input, weight] = [Tensor::zeros(&gpu, &[1, 3, 32, 32])?, Tensor::zeros(&gpu, &[6, 3, 5, 5])?];
    /// let grad_output = Tensor::zeros(&gpu, &[1, 6, 28, 28])?;
    /// let gradients = conv2d_backward(&grad_output, &input, &weight, true, &Conv2dParams::default())?;
    /// assert_eq!(gradients.grad_weight.unwrap().shape(), [6, 3, 5, 5]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Conv2d::new`] and [`Operator::call`].
    pub fn conv2d_backward(
        grad_output: &Tensor,
        input: &Tensor,
        weight: &Tensor,
        has_bias: bool,
        params: &Conv2dParams,
    ) -> Result<Conv2dGradients<Tensor>> {
        let channels = [weight.shape().first().copied().unwrap_or(0)];
        let bias = has_bias.then_some(&channels[..]);
        let backward = Conv2d::new(input.shape(), weight.shape(), bias, params)?.backward_of_all()?;
        let inputs =
            Conv2dBackwardInputs { input: Some(input), weight: Some(weight), ..Conv2dBackwardInputs::new(grad_output) };
        backward.call(&inputs)
    }
}
