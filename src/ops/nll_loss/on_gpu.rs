//! nll_loss on the GPU: its plan, its dispatches, its gradient, and the eager calls.

use std::fmt;
use std::slice::from_ref;

use super::{NllLoss, NllLossBackwardInputs, NllLossInputs, NllLossOutputs, NllLossParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{rounding, unless_overflown};
use crate::operator::{
    ArraysOf, Backward, Bound, Computed, Definition, Differentiable, InputsOf, Operator, Slot, Slots, Tolerance,
};
use crate::ops::class_targets::{CountParams, Factors};
use crate::ops::reduction::{Reduction, reduction_parts};

/// The number of f32s in a partial sum.
const PARTIAL_WORDS: usize = 4;

uniform! {
    struct Params {
        rows: u32,
        classes: u32,
        inner: u32,
        partial_count: u32,
        ignore_index: i32,
        has_ignore_index: u32,
        has_weight: u32,
        is_mean: u32,
        hidden_zero: u32,
        input_base: u32,
        target_base: u32,
        output_base: u32,
    }
}

static ROWS: Kernel = kernel!("nll_loss", "rows", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static PARTIAL_SUMS: Kernel =
    kernel!("nll_loss", "partial_sums", Params, [(1, Read), (2, Read), (3, Read), (5, ReadWrite)]);
static FINISH: Kernel = kernel!("nll_loss", "finish", Params, [(4, ReadWrite), (5, ReadWrite)]);

/// How it is computed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NllLossPlan {
    /// A row each.
    Rows,
    /// Partial sums in the workspace.
    Reduced,
}

impl fmt::Display for NllLossPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NllLossPlan::Rows => "a row an invocation",
            NllLossPlan::Reduced => "sums in parts",
        })
    }
}

impl NllLoss {
    /// An `ignore_index` that is no i32 equals no target's class.
    fn ignored_class(&self) -> Option<i32> {
        i32::try_from(self.params.ignore_index).ok()
    }
}

impl Operator for NllLoss {
    type Plan = NllLossPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&ROWS), from_ref(&PARTIAL_SUMS), from_ref(&FINISH)];

    fn plan(&self, _: &Capabilities) -> NllLossPlan {
        if self.params.reduction == Reduction::None { NllLossPlan::Rows } else { NllLossPlan::Reduced }
    }

    fn declare(&self, plan: &NllLossPlan) -> Slots<Self> {
        let rows = &self.rows;
        let inputs = NllLossInputs {
            input: Slot::read(&rows.shape).cut(rows.share()),
            target: Slot::read(&self.target).of_integers().cut(rows.inner),
            weight: self.has_weight.then(|| Slot::read(&[rows.classes])),
        };
        let slots = Slots::new(inputs, NllLossOutputs { output: Slot::write(self.output_shape()).cut(rows.inner) });
        match plan {
            NllLossPlan::Rows => slots.cut(rows.items()),
            // A reduced loss is a sum over all rows, which cannot be cut.
            NllLossPlan::Reduced => slots.whole().with_workspace(PARTIAL_WORDS * reduction_parts(rows.rows).max(1)),
        }
    }

    fn dispatches(&self, plan: &NllLossPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Bound { inputs: NllLossInputs { input, target, weight }, outputs, workspace } = bound;
        let rows = if *plan == NllLossPlan::Rows { part.items * self.rows.inner } else { self.rows.rows };
        let partial_count = reduction_parts(rows);
        let params = Params {
            rows: rows as u32,
            classes: self.rows.classes as u32,
            inner: self.rows.inner as u32,
            partial_count: partial_count as u32,
            ignore_index: self.ignored_class().unwrap_or(0),
            has_ignore_index: u32::from(self.ignored_class().is_some()),
            has_weight: u32::from(self.has_weight),
            is_mean: u32::from(self.params.reduction == Reduction::Mean),
            hidden_zero: 0,
            input_base: input.base,
            target_base: target.base,
            output_base: outputs.output.base,
        }
        .to_bytes();
        let read = [*input, *target, weight.unwrap_or(*input)];
        match plan {
            NllLossPlan::Rows if rows == 0 => {}
            NllLossPlan::Rows => {
                let [input, target, weight] = read;
                add(Dispatch::per_element(&ROWS, params, &[input, target, weight, outputs.output], rows));
            }
            NllLossPlan::Reduced => {
                if rows > 0 {
                    let [input, target, weight] = read;
                    let arguments = [input, target, weight, *workspace];
                    add(Dispatch::reduction(&PARTIAL_SUMS, params.clone(), &arguments, partial_count));
                }
                add(Dispatch::reduction(&FINISH, params, &[outputs.output, *workspace], 1));
            }
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &NllLossPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        if self.params.reduction == Reduction::None {
            let sizes = computed.outputs.output.clone().into_flat();
            return Ok(Box::new(move |_, index| rounding(2, f64::from(sizes[index].abs()))));
        }
        let (mut size, mut count, mut peak) = (0.0, 0.0, 0.0);
        let scores: Vec<_> = inputs.input.iter().map(|&x| f64::from(x)).collect();
        for (row, &class) in inputs.target.iter().enumerate() {
            if i64::from(class) != self.params.ignore_index {
                let w = inputs.weight.as_ref().map_or(1.0, |weight| f64::from(weight[class as usize]));
                let loss = (w * scores[self.rows.position(row, class as usize)]).abs();
                peak += loss;
                size += if loss.is_finite() { loss } else { 0.0 };
                count += w;
            }
        }
        let divisor = if self.params.reduction == Reduction::Mean { f64::abs(count) } else { 1.0 };
        let peak = if f64::is_finite(peak) { peak } else { 0.0 };
        let tolerance = unless_overflown(peak, rounding(8, size / divisor));
        Ok(Box::new(move |_, _| tolerance))
    }

    fn check(&self, inputs: &InputsOf<Self, &Tensor, &Tensor<i32>>) -> Result<()> {
        self.rows.check_known_classes(Self::NAME, inputs.target, self.params.ignore_index)
    }
}

/// The negative log-likelihood of target classes by log-probabilities (C), (N,C) or (N,C,d1,..), as
/// [`torch.nn.functional.nll_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.nll_loss.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, NllLossParams, SoftmaxParams, Tensor, log_softmax, nll_loss};
///
/// let gpu = Gpu::new_blocking()?;
/// let scores = Tensor::from_array(&gpu, &ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
/// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
/// let logarithms = log_softmax(&scores, &SoftmaxParams::new(1))?;
/// let loss = nll_loss(&logarithms, &classes, None, &NllLossParams::default())?;
/// assert!(loss.read_blocking()?.first() < Some(&1.0));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`NllLoss::new`] and [`Operator::call`], and as [`NllLoss::check_classes`] for class indices that were uploaded.
pub fn nll_loss(
    input: &Tensor,
    target: &Tensor<i32>,
    weight: Option<&Tensor>,
    params: &NllLossParams,
) -> Result<Tensor> {
    let operator = NllLoss::new(input.shape(), target.shape(), weight.map(Tensor::shape), params)?;
    Ok(operator.call(&NllLossInputs { input, target, weight })?.output)
}

uniform! {
    struct BackwardParams {
        rows: u32,
        classes: u32,
        inner: u32,
        ignore_index: i32,
        has_ignore_index: u32,
        has_weight: u32,
        adds: u32,
        factor_stride: u32,
        target_base: u32,
        gradient_base: u32,
        factor_base: u32,
    }
}

static COUNT_SUMS: Kernel =
    kernel!("nll_loss_factor", "count_sums", CountParams, [(1, Read), (2, Read), (4, ReadWrite)]);
static FACTOR: Kernel = kernel!("nll_loss_factor", "factor", CountParams, [(3, Read), (4, ReadWrite)]);
static ZEROS: Kernel = kernel!("nll_loss_backward", "zeros", BackwardParams, [(4, ReadWrite)]);
static ZERO_BLOCKS: Kernel = kernel!("nll_loss_backward", "zero_blocks", BackwardParams, [(4, ReadWrite)]);
static GRADIENTS: Kernel =
    kernel!("nll_loss_backward", "rows", BackwardParams, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);

impl Backward<NllLoss> {
    fn factors(&self) -> Factors {
        let NllLoss { params, has_weight, .. } = self.forward;
        let NllLossParams { ignore_index, reduction } = params;
        Factors { reduction, ignore_index, has_weight, is_counted: true, begin: 0 }
    }
}

impl Operator for Backward<NllLoss> {
    type Plan = NllLossPlan;
    const KERNELS: &'static [&'static [Kernel]] =
        &[from_ref(&COUNT_SUMS), from_ref(&FACTOR), from_ref(&ZEROS), from_ref(&ZERO_BLOCKS), from_ref(&GRADIENTS)];

    fn plan(&self, on: &Capabilities) -> NllLossPlan {
        self.forward.plan(on)
    }

    fn declare(&self, plan: &NllLossPlan) -> Slots<Self> {
        let rows = &self.forward.rows;
        let slots = self.slots(|name| match name {
            "weight" => None,
            "grad_input" => Some(rows.share()),
            _ => Some(rows.inner),
        });
        match plan {
            NllLossPlan::Rows => slots.cut(rows.items()),
            NllLossPlan::Reduced => {
                // A mean divides by a sum over all rows.
                let is_mean = self.forward.params.reduction == Reduction::Mean;
                slots.whole().with_workspace(if is_mean { self.factors().factor(rows) + 1 } else { 0 })
            }
        }
    }

    fn dispatches(&self, plan: &NllLossPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let NllLossBackwardInputs { grad_output, target, weight, grad_input } = bound.inputs;
        let Some(gradient) = bound.outputs.grad_input.or(grad_input) else { return };
        let NllLoss { rows: of, params, .. } = &self.forward;
        let rows = if *plan == NllLossPlan::Rows { part.items * of.inner } else { of.rows };
        if rows == 0 {
            return;
        }
        let (factors, weight) = (self.factors(), weight.unwrap_or(grad_output));
        let (factor, factor_base) = match params.reduction {
            Reduction::Mean => (bound.workspace, factors.factor(of) as u32),
            Reduction::None | Reduction::Sum => (grad_output, grad_output.base),
        };
        if params.reduction == Reduction::Mean {
            let params = factors.params(of, rows, target, Some(grad_output));
            let arguments = [target, weight, grad_output, bound.workspace];
            factors.dispatches([&COUNT_SUMS, &FACTOR], params, arguments, add);
        }
        let params = BackwardParams {
            rows: rows as u32,
            classes: of.classes as u32,
            inner: of.inner as u32,
            ignore_index: self.forward.ignored_class().unwrap_or(0),
            has_ignore_index: u32::from(self.forward.ignored_class().is_some()),
            has_weight: u32::from(self.forward.has_weight),
            adds: u32::from(self.adds("grad_input")),
            factor_stride: u32::from(params.reduction == Reduction::None),
            target_base: target.base,
            gradient_base: gradient.base,
            factor_base,
        };
        if !self.adds("grad_input") {
            let count = rows * of.classes;
            for (kernel, count, first) in blocks_and_rest(Some(&ZERO_BLOCKS), &ZEROS, gradient.base, count) {
                let params = BackwardParams { rows: count, gradient_base: gradient.base + first, ..params };
                add(Dispatch::per_element(kernel, params.to_bytes(), &[gradient], count as usize));
            }
        }
        add(Dispatch::per_element(&GRADIENTS, params.to_bytes(), &[target, weight, factor, gradient], rows));
    }

    fn rounding<'a>(
        &'a self,
        _: &NllLossPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let mut sizes: Vec<f64> = vec![0.0; self.forward.rows.shape.iter().product()];
        let results = self.results(computed);
        for of in results.iter().map(|result| &result[..]).chain(inputs.grad_input.as_ref().and_then(|x| x.as_slice()))
        {
            sizes.iter_mut().zip(of).for_each(|(size, x)| *size += f64::from(x.abs()));
        }
        Ok(Box::new(move |_, index| rounding(8, sizes[index])))
    }

    fn check(&self, inputs: &InputsOf<Self, &Tensor, &Tensor<i32>>) -> Result<()> {
        let NllLoss { rows, params, .. } = &self.forward;
        rows.check_known_classes(NllLoss::BACKWARD, inputs.target, params.ignore_index)
    }
}

/// The gradient of [`nll_loss`] with respect to its input, of this shape, as PyTorch's autograd of
/// [`torch.nn.functional.nll_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.nll_loss.html): the row's
/// `grad_output`, times minus the weight of its class, and for a mean divided by the sum of the weights of the classes of all
/// rows that are not ignored, for the class of each such row; 0 for all else.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, NllLossParams, Tensor, nll_loss_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
/// let grad_output = Tensor::from_slice(&gpu, &[1.0], &[])?;
/// let grad_input = nll_loss_backward(&grad_output, &classes, None, &[2, 3], &NllLossParams::default())?;
/// assert_eq!(grad_input.read_vec_blocking()?, [-0.5, 0.0, 0.0, 0.0, -0.5, 0.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`nll_loss`].
pub fn nll_loss_backward(
    grad_output: &Tensor,
    target: &Tensor<i32>,
    weight: Option<&Tensor>,
    input: &[usize],
    params: &NllLossParams,
) -> Result<Tensor> {
    let operator = NllLoss::new(input, target.shape(), weight.map(Tensor::shape), params)?;
    let inputs = NllLossBackwardInputs { weight, ..NllLossBackwardInputs::new(grad_output, target) };
    Ok(operator.backward_of_all()?.call(&inputs)?.grad_input.expect("it is wanted"))
}
