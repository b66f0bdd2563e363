//! The same operators on the CPU: plain definitions, written to be read. The GPU's results are compared with them.
//!
//! Arrays are f32, as on the GPU. Sums are f64, so that a result is the nearest f32 to the exact one, or next to it.
//! Where a sum in float32 overflows, on the GPU and in PyTorch, the reference's may not. Each reference takes and
//! refuses the same arguments as its operator. Arguments are arrays or views of any dimension: see [`AsArray`].
//!
//! ```
//! # fn main() -> Result<(), wgdnn::Error> {
//! use ndarray::Array;
//! use wgdnn::{Conv2dParams, reference};
//!
//! let input = Array::from_iter((0..9).map(|i| i as f32)).into_shape_with_order((1, 3, 3)).unwrap();
//! let weight = Array::from_iter((0..4).map(|i| i as f32)).into_shape_with_order((1, 1, 2, 2)).unwrap();
//! let output = reference::conv2d(&input, &weight, None, &Conv2dParams::default())?;
//! assert_eq!(output, ndarray::array![[[19.0, 25.0], [37.0, 43.0]]].into_dyn());
//! # Ok(())
//! # }
//! ```

use std::ops::Range;

use ndarray::{
    Array2, Array4, ArrayBase, ArrayD, ArrayView, ArrayView4, ArrayViewD, ArrayViewMut2, Axis, Data, Dimension, Ix4,
    IxDyn, s,
};

use crate::operator::{Arguments, ArraysOf, Backward, Computed, Differentiable, InputsOf, OnCpu, ShapesOf};
use crate::ops::Reduction;
use crate::ops::areas::Areas;
use crate::ops::broadcast::{broadcast_to, summed_to};
use crate::ops::epilogue::Epilogue;
use crate::ops::losses::{DifferenceLoss, ElementwiseLoss, difference_terms};
use crate::ops::rows::Rows;
use crate::shape::ImageShape;
use crate::{
    Activation, DifferenceBackwardInputs, IsActivation, LossGradients, UnaryBackwardInputs, UnaryGradients,
    UnaryInputs, UnaryOutputs,
};

macro_rules! modules {
    ($($module:ident: $operator:ident),* $(,)?) => {
        $(
            mod $module;
            pub use $module::*;
        )*
    };
}
crate::operators!(modules);
crate::optimizers!(modules);

/// An array of `T`: an [`ndarray::Array`] or a view of one, of any dimension.
pub trait AsArray<T> {
    /// A view of it.
    fn as_view(&self) -> ArrayViewD<'_, T>;
}

impl<T, S: Data<Elem = T>, D: Dimension> AsArray<T> for ArrayBase<S, D> {
    fn as_view(&self) -> ArrayViewD<'_, T> {
        self.view().into_dyn()
    }
}

/// The weight and the bias of a convolution, a transposed convolution or a linear that an inference batch norm follows,
/// such that it can be left out: as `torch.nn.utils.fusion.fuse_conv_bn_weights` and `fuse_linear_bn_weights`. Computed in
/// float64 and rounded once.
///
/// ```
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::array;
/// use wgdnn::{FoldedBatchNorm, reference};
///
/// // Two channels with means 1 and 2 and variances 4 and 9.
/// let (mean, var) = (array![1.0_f32, 2.0], array![4.0_f32, 9.0]);
/// let norm = FoldedBatchNorm { eps: 0.0, ..FoldedBatchNorm::new(&mean as _, &var as _) };
/// let (weight, bias) = reference::fold_batch_norm(&array![[2.0], [3.0]], None, &norm)?;
/// assert_eq!(weight, array![[1.0], [1.0]].into_dyn());
/// assert_eq!(bias, array![-0.5, -2.0_f32 / 3.0].into_dyn());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `weight` of fewer than 2 dimensions, `transposed` groups that do not divide its first,
/// an argument that is not one number for each output channel, and an `eps` below 0 or not finite.
pub fn fold_batch_norm(
    weight: &dyn AsArray<f32>,
    bias: Option<&dyn AsArray<f32>>,
    norm: &crate::FoldedBatchNorm<&dyn AsArray<f32>>,
) -> crate::Result<(ArrayD<f32>, ArrayD<f32>)> {
    crate::fold::fold(&owned(weight), bias.map(owned), &norm.map(|array| owned(*array)))
}

/// Computes an operator on these inputs.
fn compute<O: OnCpu>(inputs: &ArraysOf<O>, params: &O::Params) -> crate::Result<Computed<O>> {
    let shapes: InputsOf<O, _, _> = O::Inputs::try_map(inputs, &mut ShapesOf)?;
    O::of_shapes(&shapes, params)?.compute(inputs)
}

/// An activation of a number. `weight` is prelu's.
pub(crate) fn activate(activation: Activation, x: f64, weight: f64) -> f64 {
    match activation {
        Activation::Relu => relu::of(x),
        Activation::Relu6 => relu6::of(x),
        // As PyTorch's float32 has it, and the GPU.
        Activation::LeakyRelu { negative_slope } => leaky_relu::of(x, f64::from(negative_slope as f32)),
        Activation::Prelu { .. } => leaky_relu::of(x, weight),
        Activation::Hardswish => hardswish::of(x),
        Activation::Silu => silu::of(x),
        Activation::Gelu { approximate } => gelu::of(x, approximate),
        Activation::Tanh => tanh::of(x),
        Activation::Sigmoid => sigmoid::of(x),
    }
}

/// The derivative of an activation, with respect to its input, times `grad`. `x` is what it is computed from: see
/// [`Activation::differentiates_by_output`].
pub(crate) fn derivative(activation: Activation, grad: f64, x: f64, weight: f64) -> f64 {
    match activation {
        Activation::Relu => relu::derivative(grad, x),
        Activation::Relu6 => relu6::derivative(grad, x),
        Activation::LeakyRelu { negative_slope } => leaky_relu::derivative(grad, x, f64::from(negative_slope as f32)),
        Activation::Prelu { .. } => leaky_relu::derivative(grad, x, weight),
        Activation::Hardswish => hardswish::derivative(grad, x),
        Activation::Silu => silu::derivative(grad, x),
        Activation::Gelu { approximate } => gelu::derivative(grad, x, approximate),
        Activation::Tanh => tanh::derivative(grad, x),
        Activation::Sigmoid => sigmoid::derivative(grad, x),
    }
}

impl<O: IsActivation> OnCpu for Backward<O> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> crate::Result<Computed<Self>> {
        let saved = inputs.input.as_ref().or(inputs.output.as_ref()).expect("it was planned");
        let mut gradient = inputs.grad_output.mapv(f64::from);
        gradient.zip_mut_with(saved, |g, &x| *g = derivative(self.forward.activation(), *g, f64::from(x), 0.0));
        self.computed(inputs, |_| gradient.clone())
    }
}

/// Computes the backward pass of an activation, given what it is computed from.
fn activation_backward<O: IsActivation>(
    forward: &O,
    grad_output: &dyn AsArray<f32>,
    saved: &dyn AsArray<f32>,
) -> crate::Result<ArrayD<f32>> {
    let by_output = forward.activation().differentiates_by_output();
    let [input, output] = [!by_output, by_output].map(|is_needed| is_needed.then(|| owned(saved)));
    let inputs = UnaryBackwardInputs { grad_output: owned(grad_output), input, output, grad_input: None };
    gradient_of(forward, &inputs)
}

/// Computes the only gradient of an operator.
fn gradient_of<O>(forward: &O, inputs: &ArraysOf<Backward<O>>) -> crate::Result<ArrayD<f32>>
where
    O: Differentiable<Gradients = UnaryGradients<()>>,
    Backward<O>: OnCpu<Params = Backward<O>, Outputs = UnaryGradients<()>>,
{
    let computed = compute::<Backward<O>>(inputs, &forward.backward_of_all()?)?;
    Ok(computed.outputs.grad_input.expect("it is wanted"))
}

/// What an operator does with its sums: a residual is added, and an activation applied. Then they are rounded once. `inner`
/// is the number of elements of a channel next to each other.
fn finished(
    epilogue: &Epilogue,
    sums: ArrayD<f64>,
    [residual, weight]: [&Option<ArrayD<f32>>; 2],
    [channels, inner]: [usize; 2],
) -> ArrayD<f32> {
    let mut sums = sums.as_standard_layout().into_owned();
    if let Some(residual) = residual {
        sums.zip_mut_with(residual, |sum, &x| *sum += f64::from(x));
    }
    if let Some(activation) = epilogue.activation {
        let slopes = weight.as_ref().map_or_else(|| vec![0.0], elements_of);
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = activate(activation, *sum, slopes[index / inner % channels % slopes.len()]);
        }
    }
    sums.mapv(|sum| sum as f32)
}

/// A function of each element, rounded once.
fn each<O>(input: &ArrayD<f32>, function: impl Fn(f64) -> f64) -> Computed<O>
where
    O: OnCpu<Inputs = UnaryInputs<()>, Outputs = UnaryOutputs<()>>,
{
    Computed::new(UnaryOutputs { output: input.mapv(|x| function(f64::from(x)) as f32) })
}

/// A function of each score x of rows: of x - m, with m the row's largest score, and of the sum of exp(x - m) over all
/// others. NaN if m is not finite.
fn rows_of(rows: &Rows, scores: &ArrayD<f32>, function: impl Fn(f64, f64) -> f64) -> ArrayD<f32> {
    let mut results = scores.as_standard_layout().into_owned();
    // A scalar is a row of one score.
    let mut view = results.view_mut();
    if view.ndim() == 0 {
        view = view.insert_axis(Axis(0));
    }
    for mut row in view.lanes_mut(Axis(rows.dim)) {
        let scores: Vec<_> = row.iter().map(|&x| f64::from(x)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_wrong = !largest.is_finite() || scores.iter().any(|x| x.is_nan());
        let at = scores.iter().position(|&x| x == largest);
        let each = scores.iter().enumerate().filter(|(index, _)| Some(*index) != at);
        let others: f64 = each.map(|(_, x)| (x - largest).exp()).sum();
        for (result, x) in row.iter_mut().zip(scores) {
            *result = if is_wrong { f32::NAN } else { function(x - largest, others) as f32 };
        }
    }
    results
}

/// The positions that one of as many parts of a length has.
fn area(index: usize, length: usize, parts: usize) -> Range<usize> {
    index * length / parts..((index + 1) * length).div_ceil(parts)
}

/// A function of each element of `grad_output` and of `output`, and of the sum of the `term`s of these along its row.
fn row_gradients_of(
    rows: &Rows,
    grad_output: &ArrayD<f32>,
    output: &ArrayD<f32>,
    term: impl Fn(f64, f64) -> f64,
    function: impl Fn(f64, f64, f64) -> f64,
) -> ArrayD<f64> {
    // A scalar is a row of one score.
    fn at_least_1d<T>(view: ArrayViewD<'_, T>) -> ArrayViewD<'_, T> {
        if view.ndim() == 0 { view.insert_axis(Axis(0)) } else { view }
    }
    let grads = grad_output.mapv(f64::from);
    let mut results = output.mapv(f64::from);
    let mut view = results.view_mut();
    if view.ndim() == 0 {
        view = view.insert_axis(Axis(0));
    }
    let grads = at_least_1d(grads.view());
    for (mut ys, grads) in view.lanes_mut(Axis(rows.dim)).into_iter().zip(grads.lanes(Axis(rows.dim))) {
        let sum: f64 = grads.iter().zip(&ys).map(|(&grad, &y)| term(grad, y)).sum();
        ys.zip_mut_with(&grads, |y, &grad| *y = function(grad, *y, sum));
    }
    results
}

/// The means of areas of every plane.
fn means_of(areas: &Areas, input: &ArrayD<f32>, output: &[usize]) -> ArrayD<f32> {
    let planes = batch_of(input.view(), &areas.input);
    let [out_rows, out_cols] = areas.out;
    let means = Array4::from_shape_fn((areas.input.batch, areas.input.channels, out_rows, out_cols), |(n, c, y, x)| {
        let [rows, cols] = [area(y, areas.input.rows, out_rows), area(x, areas.input.cols, out_cols)];
        let area = planes.slice(s![n, c, rows, cols]);
        (area.iter().map(|&x| f64::from(x)).sum::<f64>() / area.len() as f64) as f32
    });
    means.into_shape_with_order(IxDyn(output)).expect("only the batch dimension may go")
}

/// The gradient of the means of areas of every plane.
fn gradient_of_means(areas: &Areas, grad_output: &ArrayD<f32>) -> ArrayD<f64> {
    let Areas { input, out } = areas;
    scattered(input, grad_output, |[y, x], grad, plane| {
        let mut area = plane.slice_mut(s![area(y, input.rows, out[0]), area(x, input.cols, out[1])]);
        let share = grad / area.len() as f64;
        area.mapv_inplace(|sum| sum + share);
    })
}

/// The gradient of an image's planes, to which each element of `grad_output`, (N,C,rows,columns) or (C,rows,columns),
/// gives: `give` gets the element's row and column, the element, and its plane.
fn scattered(
    image: &ImageShape,
    grad_output: &ArrayD<f32>,
    mut give: impl FnMut([usize; 2], f64, &mut ArrayViewMut2<'_, f64>),
) -> ArrayD<f64> {
    let grad_output = batch_of(grad_output.view(), image);
    let mut gradient = Array4::zeros((image.batch, image.channels, image.rows, image.cols));
    for ((n, c, y, x), &grad) in grad_output.indexed_iter() {
        give([y, x], f64::from(grad), &mut gradient.slice_mut(s![n, c, .., ..]));
    }
    gradient.into_shape_with_order(IxDyn(&image.shape)).expect("only the batch dimension may go")
}

/// A loss of differences.
fn difference_loss<O: DifferenceLoss>(operator: &O, [input, target]: [&ArrayD<f32>; 2]) -> ArrayD<f32> {
    let ElementwiseLoss { common, reduction, .. } = operator.loss();
    let losses = (broadcast_to(input, common) - broadcast_to(target, common)).mapv(|x| operator.of(x));
    let count = losses.len() as f64;
    reduce(losses, count, *reduction)
}

/// The gradients of a loss of differences.
fn difference_gradients<O>(
    backward: &Backward<O>,
    inputs: &ArraysOf<Backward<O>>,
) -> crate::Result<Computed<Backward<O>>>
where
    O: DifferenceLoss + Differentiable<BackwardInputs = DifferenceBackwardInputs<()>, Gradients = LossGradients<()>>,
{
    let [terms, _] = difference_terms(&backward.forward, inputs);
    let [input, target] = &backward.forward.loss().operands;
    backward.computed(inputs, |name| match name.field {
        "grad_target" => summed_to(-&terms, target),
        _ => summed_to(terms.clone(), input),
    })
}

/// Computes both gradients of a loss of differences.
fn difference_backward<O>(
    forward: &O,
    [grad_output, input, target]: [&dyn AsArray<f32>; 3],
) -> crate::Result<LossGradients<ArrayD<f32>>>
where
    O: Differentiable<BackwardInputs = DifferenceBackwardInputs<()>, Gradients = LossGradients<()>>,
    Backward<O>: OnCpu<Params = Backward<O>, Inputs = DifferenceBackwardInputs<()>, Outputs = LossGradients<()>>,
{
    let inputs = DifferenceBackwardInputs::new(owned(grad_output), owned(input), owned(target));
    Ok(compute::<Backward<O>>(&inputs, &forward.backward_of_all()?)?.outputs)
}

/// A copy of the array.
fn owned(array: &dyn AsArray<f32>) -> ArrayD<f32> {
    array.as_view().to_owned()
}

/// An array's elements.
fn elements_of(array: &ArrayD<f32>) -> Vec<f64> {
    array.iter().map(|&x| f64::from(x)).collect()
}

/// Views a weight as four dimensions.
fn weight_of(weight: &ArrayD<f32>) -> ArrayView4<'_, f32> {
    weight.view().into_dimensionality::<Ix4>().expect("a weight has 4 dimensions")
}

/// Views an array's elements as a matrix with this many rows.
fn matrix_of<D: Dimension>(array: ArrayView<'_, f32, D>, rows: usize) -> Array2<f64> {
    let columns = array.len() / rows;
    let elements = array.iter().map(|&x| f64::from(x)).collect();
    Array2::from_shape_vec((rows, columns), elements).expect("rows of one length")
}

/// Ranges of pixels, such that a matrix with this many rows and a column for each pixel of a range has at most 64 MiB.
fn pixel_blocks(pixels: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    const MOST_ELEMENTS: usize = (64 << 20) / size_of::<f64>();
    let block = (MOST_ELEMENTS / rows).clamp(1, pixels.max(1));
    (0..pixels).step_by(block).map(move |begin| begin..(begin + block).min(pixels))
}

/// Views an array (C,H,W) or (N,C,H,W), which `image` describes, as (N,C,H,W).
fn batch_of<'a>(view: ArrayViewD<'a, f32>, image: &ImageShape) -> ArrayView4<'a, f32> {
    let view = if image.batched { view } else { view.insert_axis(ndarray::Axis(0)) };
    view.into_dimensionality().expect("an image has 3 dimensions, or 4 with the batch")
}

/// The losses of the rows unreduced, or their sum; for the mean the sum divided by `count`.
fn reduce(losses: ArrayD<f64>, count: f64, reduction: Reduction) -> ArrayD<f32> {
    let scalar = |value: f64| ndarray::arr0(value as f32).into_dyn();
    match reduction {
        Reduction::None => losses.mapv(|loss| loss as f32),
        Reduction::Sum => scalar(losses.sum()),
        Reduction::Mean => scalar(losses.sum() / count),
    }
}
