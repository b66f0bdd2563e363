//! The gradients of conv_transpose2d.

use super::ConvTranspose2d;
use crate::error::Result;
use crate::operator::{Backward, Differentiable};
use crate::ops::conv2d::Shapes;
use crate::{Conv2dBackwardInputs, Conv2dGradients};

impl Differentiable for ConvTranspose2d {
    const BACKWARD: &'static str = "conv_transpose2d_backward";
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

impl ConvTranspose2d {
    fn with_shapes<T>(&self, take: impl FnOnce(Shapes<'_>) -> T) -> T {
        let [rows, cols] = &self.windows;
        take(Shapes {
            input: &self.input.shape,
            weight: &[self.input.channels, self.out_channels / self.groups, rows.kernel, cols.kernel],
            bias: self.has_bias.then_some(self.out_channels),
            output: self.output_shape(),
        })
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::super::{ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dParams};
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
        Conv2d, Conv2dAlgorithm, Conv2dBackwardInputs, Conv2dGradients, Conv2dInputs, Conv2dOutputs, Conv2dPlan,
    };

    impl ConvTranspose2d {
        fn output_image(&self) -> ImageShape {
            self.input.of_output(self.out_channels, self.out_rows, self.out_cols)
        }

        /// The convolution that is the gradient with respect to the input.
        fn convolution(&self) -> Conv2d {
            let algorithm = match self.algorithm {
                ConvTranspose2dAlgorithm::Gather => Conv2dAlgorithm::Direct,
                ConvTranspose2dAlgorithm::Phases => Conv2dAlgorithm::Patches,
                ConvTranspose2dAlgorithm::ImplicitGemm => Conv2dAlgorithm::ImplicitGemm,
                _ => Conv2dAlgorithm::Auto,
            };
            let conv = Conv2d::of_windows(self.output_image(), self.windows, self.groups, &self.input);
            // All of these take any kernel.
            conv.clone().with_algorithm(algorithm).unwrap_or(conv)
        }

        fn weight_algorithm(&self) -> WeightAlgorithm {
            match self.algorithm {
                ConvTranspose2dAlgorithm::Gather | ConvTranspose2dAlgorithm::Phases => WeightAlgorithm::Columns,
                ConvTranspose2dAlgorithm::ImplicitGemm => WeightAlgorithm::ImplicitGemm,
                _ => WeightAlgorithm::Auto,
            }
        }

        fn with_weight_and_bias<T>(&self, take: impl FnOnce(&WeightAndBias<'_>) -> T) -> T {
            let weight = WeightGradient {
                image: &self.output_image(),
                pixels: &self.input,
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

    impl Operator for Backward<ConvTranspose2d> {
        type Plan = ConvolutionBackwardPlan<InputGradient<Conv2d, Conv2dPlan>>;
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
                input: self.wants("grad_input").then(|| {
                    let adds = self.adds("grad_input");
                    let mut convolution = conv.convolution();
                    convolution.epilogue = accumulating(adds);
                    InputGradient::new(convolution, on, adds)
                }),
                weight: self.wants("grad_weight").then(|| conv.with_weight_and_bias(weight)),
                has_bias: self.wants("grad_bias"),
            }
        }

        fn declare(&self, plan: &Self::Plan) -> Slots<Self> {
            let conv = &self.forward;
            let of_input = plan.input.as_ref().map_or(0, InputGradient::workspace);
            let workspace = conv.with_weight_and_bias(|of| of.workspace(plan)).max(of_input);
            slots(self, [&conv.input, &conv.output_image()], workspace)
        }

        fn dispatches(&self, plan: &Self::Plan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let conv = &self.forward;
            let Conv2dBackwardInputs { grad_output, input, weight, grad_input, grad_weight, grad_bias } = bound.inputs;
            let workspace = bound.workspace;
            if let (Some(InputGradient { operator, plan }), Some(weight), Some(grad_input)) =
                (&plan.input, weight, bound.outputs.grad_input.or(grad_input))
            {
                let residual = self.adds("grad_input").then_some(grad_input);
                let inputs = Conv2dInputs { residual, ..Conv2dInputs::new(grad_output, weight) };
                let outputs = Conv2dOutputs { output: grad_input };
                operator.dispatches(plan, part, &Bound { inputs, outputs, workspace }, add);
            }
            // Later parts of the batch are added to the first.
            let adds = |name| self.adds(name) || part.begin() > 0;
            let arguments = WeightAndBiasArguments {
                image: Some(grad_output),
                pixels: input,
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
            let beside = match plan.input.as_ref().map(|gradient| &gradient.plan.main) {
                Some(Conv2dPlan::WinogradFused { .. } | Conv2dPlan::Winograd { .. }) => {
                    beside_products(&inputs.grad_output, inputs.weight.as_ref())
                }
                _ => 0.0,
            };
            tolerance(self, inputs, computed, [products, terms], beside)
        }
    }

    /// The gradients of [`conv_transpose2d`](crate::conv_transpose2d) with respect to its input and its weight, as
    /// PyTorch's autograd of
    /// [`torch.nn.functional.conv_transpose2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv_transpose2d.html):
    ///
    /// - grad_input is the convolution of grad_output with the weight;
    /// - `grad_weight[i,o,u,v]` is the sum over n, y and x of `input[n,i,y,x]` times `grad_output[n, first + o, y stride -
    ///   padding + u dilation, x stride - padding + v dilation]`, where first is the first output channel of i's group;
    /// - `grad_bias[o]`, of a bias of this many channels, is the sum over n, y and x of `grad_output[n,o,y,x]`.
    ///
    /// Gradients that are not needed cost nothing if they are planned one by one: see
    /// [`Differentiable::backward`](crate::operator::Differentiable::backward).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{ConvTranspose2dParams, Gpu, Tensor, conv_transpose2d_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let [input, weight] = [Tensor::zeros(&gpu, &[1, 8, 16, 16])?, Tensor::zeros(&gpu, &[8, 4, 2, 2])?];
    /// let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
    /// let grad_output = Tensor::zeros(&gpu, &[1, 4, 32, 32])?;
    /// let gradients = conv_transpose2d_backward(&grad_output, &input, &weight, false, &params)?;
    /// assert_eq!(gradients.grad_weight.unwrap().shape(), [8, 4, 2, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ConvTranspose2d::new`] and [`Operator::call`].
    pub fn conv_transpose2d_backward(
        grad_output: &Tensor,
        input: &Tensor,
        weight: &Tensor,
        has_bias: bool,
        params: &ConvTranspose2dParams,
    ) -> Result<Conv2dGradients<Tensor>> {
        let channels = [weight.shape().get(1).map_or(0, |channels| channels.saturating_mul(params.groups))];
        let bias = has_bias.then_some(&channels[..]);
        let backward = ConvTranspose2d::new(input.shape(), weight.shape(), bias, params)?.backward_of_all()?;
        let inputs =
            Conv2dBackwardInputs { input: Some(input), weight: Some(weight), ..Conv2dBackwardInputs::new(grad_output) };
        backward.call(&inputs)
    }
}
