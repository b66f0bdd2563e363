//! dropout on the GPU, and its gradient.

use std::fmt;

use super::{Dropout, DropoutBackwardInputs, DropoutInputs, DropoutOutputs, DropoutParams, WORDS};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};

uniform! {
    struct Params {
        first: u32,
        count: u32,
        input_base: u32,
        output_base: u32,
        threshold: u32,
        scale: f32,
        adds: u32,
        blocks: u32,
    }
}

static ELEMENTS: [Kernel; 1] = [kernel!("dropout", "elements", Params, [(1, Read), (2, Read), (3, ReadWrite)])];
static ADVANCE: [Kernel; 1] = [kernel!("dropout", "advance", Params, [(4, ReadWrite), (5, ReadWrite)])];

/// The plan of such an operator, the same on all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutPlan;

impl fmt::Display for DropoutPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Philox4x32-10, 4 elements an invocation")
    }
}

impl Dropout {
    fn params(&self, part: &Part, input: Binding, output: Binding) -> Params {
        let p = self.p();
        // Where all are dropped, all are multiplied by 0.
        let (threshold, scale) = if p == 1.0 { (0, 0.0) } else { ((p * 2_f64.powi(32)) as u32, 1.0 / (1.0 - p)) };
        Params {
            first: part.begin() as u32,
            count: part.items as u32,
            input_base: input.base,
            output_base: output.base,
            threshold,
            scale: scale as f32,
            adds: 0,
            blocks: self.blocks() as u32,
        }
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// How far rounding may bring a result of an element of this size, to which a number is added.
    fn tolerance(&self, size: f32, added: f32) -> f64 {
        let scale = if self.p() == 1.0 { 0.0 } else { 1.0 / (1.0 - self.p()) };
        rounding(4, f64::from(size.abs()) * scale + f64::from(added.abs()))
    }
}

/// One invocation for each block of which the part has elements.
fn elements(params: Params, arguments: &[Binding]) -> Option<Dispatch> {
    let blocks = (params.first + params.count).div_ceil(4) - params.first / 4;
    let is_empty = params.count == 0;
    (!is_empty).then(|| Dispatch::per_element(&ELEMENTS[0], params.to_bytes(), arguments, blocks as usize))
}

impl Operator for Dropout {
    type Plan = DropoutPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&ELEMENTS, &ADVANCE];

    fn plan(&self, _: &Capabilities) -> DropoutPlan {
        DropoutPlan
    }

    fn declare(&self, _: &DropoutPlan) -> Slots<Self> {
        let generator = Slot::update(&WORDS).of_integers();
        let inputs = DropoutInputs { input: Slot::read(&self.shape).cut(1), generator };
        let saved_generator = Slot::write(&WORDS).of_integers();
        let outputs = DropoutOutputs { output: Slot::write(&self.shape).cut(1), saved_generator };
        Slots::new(inputs, outputs).cut(self.len())
    }

    fn dispatches(&self, _: &DropoutPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let DropoutInputs { input, generator } = bound.inputs;
        let DropoutOutputs { output, saved_generator } = bound.outputs;
        let params = self.params(part, input, output);
        elements(params, &[input, generator, output]).map(&mut *add);
        // All parts draw from the same offset.
        if part.begin() + part.items == self.len() {
            add(Dispatch::per_workgroup(&ADVANCE[0], params.to_bytes(), &[generator, saved_generator], 1));
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &DropoutPlan,
        inputs: &'a ArraysOf<Self>,
        _: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes: Vec<_> = inputs.input.iter().copied().collect();
        Ok(Box::new(move |_, index| self.tolerance(sizes[index], 0.0)))
    }
}

impl Operator for Backward<Dropout> {
    type Plan = DropoutPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&ELEMENTS];

    fn plan(&self, _: &Capabilities) -> DropoutPlan {
        DropoutPlan
    }

    fn declare(&self, _: &DropoutPlan) -> Slots<Self> {
        self.slots(|name| (name != "saved_generator").then_some(1)).cut(self.forward.len())
    }

    fn dispatches(&self, _: &DropoutPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let DropoutBackwardInputs { grad_output, saved_generator, grad_input } = bound.inputs;
        let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
        let adds = u32::from(self.adds("grad_input"));
        let params = Params { adds, ..self.forward.params(part, grad_output, grad_input) };
        elements(params, &[grad_output, saved_generator, grad_input]).map(add);
    }

    fn rounding<'a>(
        &'a self,
        _: &DropoutPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes: Vec<_> = inputs.grad_output.iter().copied().collect();
        let results = self.results(computed).pop().unwrap_or_default();
        Ok(Box::new(move |_, index| self.forward.tolerance(sizes[index], results[index])))
    }
}

/// Each element set to 0 with probability `p`, and all others divided by `1 - p`, as
/// [`torch.nn.functional.dropout`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.dropout.html). Outside of
/// training, and with a `p` of 0, the output is the input.
///
/// PyTorch's own bits depend on its device; here they are fixed. `generator` holds a seed and an offset: 4 words of 32 bits,
/// as [`generator_state`](crate::generator_state) makes them. Element i of the input, counted row-major, takes word i % 4 of block i / 4, and is dropped if
/// that word is below `floor(p * 2^32)`. Block b is Philox4x32-10 (Salmon and others, 2011, as in Random123, cuRAND and
/// NumPy's relatives) of the counter (offset + b, 0, 0), whose first two words are the 64 bits of that sum, with the seed as the
/// key. Each call adds the blocks that it used to the offset, so the next one draws other bits.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{DropoutParams, Gpu, Tensor, dropout, generator_state};
///
/// let gpu = Gpu::new_blocking()?;
/// let generator = Tensor::from_slice(&gpu, &generator_state(1234, 0), &[4])?;
/// let x = Tensor::from_array(&gpu, &ndarray::Array1::<f32>::ones(1000))?;
/// let dropped = dropout(&x, &generator, &DropoutParams { p: 0.1, ..Default::default() })?;
/// assert_eq!(dropped.saved_generator.read_vec_blocking()?, generator_state(1234, 0));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Dropout::new`] and [`Operator::call`].
pub fn dropout(
    input: &Tensor,
    generator: &Tensor<i32>,
    params: &DropoutParams,
) -> Result<DropoutOutputs<Tensor, Tensor<i32>>> {
    Dropout::new(input.shape(), params)?.call(&DropoutInputs { input, generator })
}

/// The gradient of [`dropout`]: `grad_output`, with the elements dropped and scaled that the forward call dropped and scaled.
/// `saved_generator` is what that call returned.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{DropoutParams, Gpu, Tensor, dropout, dropout_backward, generator_state};
///
/// let gpu = Gpu::new_blocking()?;
/// let generator = Tensor::from_slice(&gpu, &generator_state(1234, 0), &[4])?;
/// let x = Tensor::from_array(&gpu, &ndarray::Array1::<f32>::ones(1000))?;
/// let forward = dropout(&x, &generator, &DropoutParams::default())?;
/// let gradient = dropout_backward(&x, &forward.saved_generator, &DropoutParams::default())?;
/// assert_eq!(gradient.read_vec_blocking()?, forward.output.read_vec_blocking()?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Dropout::new`] and [`Operator::call`].
pub fn dropout_backward(grad_output: &Tensor, saved_generator: &Tensor<i32>, params: &DropoutParams) -> Result<Tensor> {
    let backward = Dropout::new(grad_output.shape(), params)?.backward_of_all()?;
    let inputs = DropoutBackwardInputs::new(grad_output, saved_generator);
    Ok(backward.call(&inputs)?.grad_input.expect("it is wanted"))
}
