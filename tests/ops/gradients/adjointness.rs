//! Where an operator is linear in an input, its gradient is the adjoint: <f(x), g> = <x, backward(g)>.

use std::collections::BTreeMap;

use wgdnn::cases::{Call, key_of, operators, parameters_of};
use wgdnn::operator::{FloatOrInteger, Name};

use crate::harness::{
    GoldenGradient, Outputs, distinct_runs, floats_of, golden_gradients, gpu, gpu_taken_for_hardware, input_of,
    with_floats,
};

fn output(call: &Call) -> ndarray::ArrayD<f32> {
    floats_of(&call.run_reference().unwrap()["output"]).clone()
}

/// Whether the output is as many times larger as this input is, which is all that the identity needs: it holds for relu and
/// maxima too, whose output is the gradient's product with the input.
fn is_proportional(gradient: &GoldenGradient, input: Name) -> bool {
    let times = |factor: f32| {
        let arrays = with_floats(gradient.forward.arrays(), |name, array| {
            if name == input { array.mapv(|x| x * factor) } else { array.clone() }
        });
        output(&gradient.forward.with_arrays(arrays))
    };
    let [none, once, twice] = [0.0, 1.0, 2.0].map(times);
    let is_finite = |array: &ndarray::ArrayD<f32>| array.iter().all(|x| x.is_finite());
    gradient.is_finite() && is_finite(&twice) && none.iter().all(|&x| x == 0.0) && once.mapv(|x| x * 2.0) == twice
}

/// The sum of products, and of their magnitudes.
fn product<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) -> [f64; 2] {
    let each = a.into_iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    each.fold([0.0, 0.0], |[sum, size], term| [sum + term, size + term.abs()])
}

#[test]
fn gradients_of_linear_operators_are_adjoints() {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut wrong = Vec::new();
    for gradient in golden_gradients() {
        let FloatOrInteger::Float(grad_output) = gradient.grad_output() else { panic!("integers") };
        let inputs: Vec<_> = gradient.wanted().into_iter().map(|(name, _)| (name, input_of(name))).collect();
        let inputs: Vec<_> = inputs.into_iter().filter(|(_, input)| is_proportional(gradient, *input)).collect();
        if inputs.is_empty() {
            continue;
        }
        // The magnitudes of all terms that add up to the product.
        let magnitudes = with_floats(gradient.forward.arrays(), |_, array| array.mapv(f32::abs));
        let [_, magnitude] = product(&output(&gradient.forward.with_arrays(magnitudes)), &grad_output);
        let mut judge = |way: String, forward: &Outputs, backward: &Outputs, roundings: f64| {
            for (name, input) in &inputs {
                let Some((_, FloatOrInteger::Float(x))) =
                    gradient.forward.arrays().iter().find(|(name, _)| name == input)
                else {
                    panic!("{input} is no input of floats")
                };
                let [ahead, size_ahead] = product(floats_of(&forward["output"]), &grad_output);
                let [back, size_back] = product(x, floats_of(&backward[&key_of(*name)]));
                if size_ahead == 0.0 && size_back == 0.0 {
                    continue;
                }
                let size = (size_ahead + size_back).max(if roundings > 1.0 { magnitude } else { 0.0 });
                let most = roundings * size / f64::from(1 << 24) + f64::from(f32::MIN_POSITIVE);
                *counts.entry(format!("{} of {}", name, gradient.forward.op())).or_default() += 1;
                if (ahead - back).abs().partial_cmp(&most).is_none_or(std::cmp::Ordering::is_gt) {
                    let id = &gradient.case.id;
                    wrong.push(format!("{id}, {way}: {name}: {ahead:e} and {back:e}, more than {most:e} apart"));
                }
            }
        };
        // References round once.
        judge("on the CPU".into(), &gradient.outputs, &gradient.backward.run_reference().unwrap(), 1.0);
        for (gpu, algorithm, backward) in distinct_runs(&gradient.backward, [gpu(), gpu_taken_for_hardware()]) {
            let forward = gradient.forward.run_eager(gpu).unwrap();
            judge(algorithm, &forward, &backward.run_eager(gpu).unwrap(), 16.0);
        }
    }
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // Convolutions are linear in their input and, without a bias, in their weight.
    let has_groups = |op: &&str| parameters_of(op).is_some_and(|names| names.contains(&"groups"));
    for op in operators().filter(has_groups) {
        for name in ["grad_input", "grad_weight"] {
            assert!(counts.get(&format!("{name} of {op}")) >= Some(&100), "{op}: {name}: {counts:#?}");
        }
    }
}
