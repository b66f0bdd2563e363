//! The golden gradients, each as the two calls that it is made of.

use std::sync::OnceLock;

use wgdnn::cases::{Call, Case, CaseArray, GRAD_OUTPUT, Refusal, any_array};
use wgdnn::operator::{AnyArray, FloatOrInteger, Gradient, Name};

use super::{Outputs, golden};

/// A golden case with a gradient, of an operator that has one.
pub struct GoldenGradient {
    pub case: &'static Case,
    /// It also returns what backward needs.
    pub forward: Call,
    /// What forward gives on the CPU.
    pub outputs: Outputs,
    /// For the gradients that the case wants, as outputs.
    pub backward: Call,
}

/// Every golden case with a gradient.
pub fn golden_gradients() -> &'static [GoldenGradient] {
    static GRADIENTS: OnceLock<Vec<GoldenGradient>> = OnceLock::new();
    GRADIENTS.get_or_init(|| golden().iter().filter_map(GoldenGradient::of).collect())
}

/// The first golden gradients of each operator, at most this many.
pub fn some_golden_gradients(most: usize) -> Vec<&'static GoldenGradient> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let all = golden_gradients().iter();
    all.filter(|gradient| {
        let count = counts.entry(gradient.forward.op()).or_default();
        *count += 1;
        *count <= most
    })
    .collect()
}

/// The calls of a case: forward, and backward if it has a gradient.
pub fn calls_of(case: &Case) -> Vec<Call> {
    let forward = Call::of_case(case).unwrap();
    let outputs = if case.inputs.contains_key(GRAD_OUTPUT) { forward.run_reference().unwrap() } else { Outputs::new() };
    let backward = forward.backward_of_case(case, &outputs).unwrap();
    std::iter::once(forward).chain(backward).collect()
}

impl GoldenGradient {
    fn of(case: &'static Case) -> Option<Self> {
        if case.is_error || !case.inputs.contains_key(GRAD_OUTPUT) {
            return None;
        }
        let made = Call::of_case(case).and_then(|forward| {
            let outputs = forward.run_reference()?;
            let backward = forward.backward_of_case(case, &outputs)?;
            Ok((forward, outputs, backward))
        });
        match made {
            Ok((forward, outputs, backward)) => Some(GoldenGradient { case, forward, outputs, backward: backward? }),
            Err(Refusal::Unsupported(_)) => None,
            Err(refusal) => panic!("{}: {refusal}", case.id),
        }
    }

    /// Whether there is neither an infinity nor a NaN in what goes in and in what forward gives.
    pub fn is_finite(&self) -> bool {
        let is_finite = |array: &AnyArray| match array {
            FloatOrInteger::Float(array) => array.iter().all(|x| x.is_finite()),
            FloatOrInteger::Integer(_) => true,
        };
        let mut arrays = self.forward.arrays().iter();
        let output = floats_of(&self.outputs["output"]).iter().all(|x| x.is_finite());
        output && arrays.all(|(_, array)| is_finite(array)) && is_finite(&self.grad_output())
    }

    /// The gradient of the output.
    pub fn grad_output(&self) -> AnyArray {
        any_array(&self.case.inputs[GRAD_OUTPUT][0])
    }

    /// The names and shapes of the gradients that the case wants.
    pub fn wanted(&self) -> Vec<(Name, Vec<usize>)> {
        let known = self.forward.differentiable().unwrap().gradient_shapes_by_name();
        let is_wanted = |(name, _): &(Name, _)| self.case.outputs.contains_key(&wgdnn::cases::key_of(*name));
        known.into_iter().filter(is_wanted).collect()
    }

    /// The same of inputs that are moved by up to an eighth of their size, and so away from ties and zeros.
    pub fn beside(&self, seed: u64) -> GoldenGradient {
        let moved: Vec<_> = self.wanted().into_iter().map(|(name, _)| input_of(name)).collect();
        let arrays = with_floats(self.forward.arrays(), |name, array| {
            let mut array = array.clone();
            if moved.contains(&name) {
                let ways = super::random(array.shape(), seed);
                array.zip_mut_with(&ways, |x, way| *x += way / 8.0 * x.abs().max(1.0));
            }
            array
        });
        let forward = self.forward.with_arrays(arrays);
        let outputs = forward.run_reference().unwrap();
        let moved = GoldenGradient { case: self.case, backward: self.backward.clone(), forward, outputs };
        let how: Vec<_> = moved.wanted().into_iter().map(|(name, _)| (name, Gradient::Write)).collect();
        GoldenGradient { backward: moved.backward_by(&how, &[]), ..moved }
    }

    /// The backward pass that adds all these gradients to random numbers.
    pub fn adding(&self, seed: u64) -> Call {
        let wanted = self.wanted();
        let how: Vec<_> = wanted.iter().map(|(name, _)| (*name, Gradient::Accumulate)).collect();
        let array = |shape: &[usize]| FloatOrInteger::Float(super::random(shape, seed).mapv(|x| x * 3.0));
        let added_to: Vec<_> = wanted.iter().map(|(name, shape)| (*name, array(shape))).collect();
        self.backward_by(&how, &added_to)
    }

    /// The backward pass for these gradients, with arrays to add to.
    pub fn backward_by(&self, gradients: &[(Name, Gradient)], added_to: &[(Name, AnyArray)]) -> Call {
        let mut others = vec![(GRAD_OUTPUT.into(), self.grad_output())];
        others.extend_from_slice(added_to);
        self.forward.backward(gradients, &self.outputs, &others).unwrap()
    }
}

/// The floats of an array.
pub fn floats_of(array: &CaseArray) -> &ndarray::ArrayD<f32> {
    match array {
        CaseArray::F32(array) => array,
        CaseArray::I64(_) => panic!("integers"),
    }
}

/// The call on each of these devices by every algorithm that runs something else there than all before.
pub fn distinct_runs<'a>(call: &Call, gpus: [&'a wgdnn::Gpu; 2]) -> Vec<(&'a wgdnn::Gpu, String, Call)> {
    let mut seen = std::collections::BTreeSet::new();
    let mut each = Vec::new();
    for gpu in gpus {
        for (algorithm, call) in call.by_every_algorithm() {
            let dispatches = call.operator().dispatches_on(gpu.capabilities()).unwrap();
            let what = dispatches.iter().map(|dispatch| {
                let kernel = (dispatch.kernel.module, dispatch.kernel.entry_point);
                format!("{kernel:?} {:?} {:?} {}", dispatch.constants, dispatch.uniform, dispatch.workgroups)
            });
            if seen.insert(what.collect::<Vec<_>>()) {
                each.push((gpu, algorithm, call));
            }
        }
    }
    each
}

/// The bits of all outputs.
pub fn bits(outputs: &Outputs) -> Vec<(String, Vec<u32>)> {
    let words = |array: &CaseArray| match array {
        CaseArray::F32(array) => array.iter().map(|x| x.to_bits()).collect(),
        CaseArray::I64(array) => array.iter().map(|&x| x as u32).collect(),
    };
    outputs.iter().map(|(name, array)| (name.clone(), words(array))).collect()
}

/// Arrays in which those of floats are changed.
pub fn with_floats(
    arrays: &[(Name, AnyArray)],
    mut change: impl FnMut(Name, &ndarray::ArrayD<f32>) -> ndarray::ArrayD<f32>,
) -> Vec<(Name, AnyArray)> {
    let each = arrays.iter().map(|(name, array)| match array {
        FloatOrInteger::Float(array) => (*name, FloatOrInteger::Float(change(*name, array))),
        FloatOrInteger::Integer(array) => (*name, FloatOrInteger::Integer(array.clone())),
    });
    each.collect()
}

/// The input whose gradient this is.
pub fn input_of(gradient: Name) -> Name {
    Name { field: gradient.field.strip_prefix("grad_").expect("a gradient's name"), ..gradient }
}
