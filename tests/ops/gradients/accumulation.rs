//! Gradients that are added to what is there, and gradients that are wanted alone.

use wgdnn::cases::key_of;
use wgdnn::operator::{FloatOrInteger, Gradient, Name};

use crate::harness::{
    Outputs, bits, distinct_runs, floats_of, golden_gradients, gpu, gpu_taken_for_hardware, validating_gpus,
};

/// Whether `sum` is `gradient + before`, each rounded to float32 once.
fn is_sum(sum: f32, gradient: f32, before: f32) -> bool {
    let expected = f64::from(gradient) + f64::from(before);
    let rounding = (f64::from(gradient).abs() + f64::from(sum).abs()) / f64::from(1 << 24) + 1e-45;
    let is_near = (f64::from(sum) - expected).abs() <= rounding;
    // What float32 cannot hold is infinite.
    is_near || sum.to_bits() == (expected as f32).to_bits() || (sum.is_nan() && expected.is_nan())
}

/// On the CPU what comes out is the gradient and what was there. On the GPU it is what the CPU gives, within the operator's
/// rounding.
#[test]
fn added_gradients_are_gradients_and_what_was_there() {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (seed, gradient) in golden_gradients().iter().enumerate() {
        let add = gradient.adding(seed as u64);
        let [written, added] = [&gradient.backward, &add].map(|call| call.run_reference().unwrap());
        for (name, _) in gradient.wanted() {
            let [written, added] = [&written, &added].map(|outputs| floats_of(&outputs[&key_of(name)]));
            let Some((_, FloatOrInteger::Float(before))) = add.arrays().iter().find(|(of, _)| *of == name) else {
                panic!("{name} is not there")
            };
            let mut each = added.iter().zip(written).zip(before);
            if !each.all(|((sum, gradient), before)| is_sum(*sum, *gradient, *before)) {
                wrong.push(format!("{}: {name} on the CPU", gradient.case.id));
            }
        }
        for (gpu, algorithm, add) in distinct_runs(&add, validating_gpus().each_ref()) {
            compared += 1;
            if let Err(refusal) = add.run_eager(gpu) {
                wrong.push(format!("{}, {algorithm}: {refusal}", gradient.case.id));
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What else is wanted does not matter.
#[test]
fn a_gradient_alone_has_the_same_bits_as_among_all() {
    let (mut different, mut compared) = (Vec::new(), 0);
    for gradient in golden_gradients() {
        let wanted = gradient.wanted();
        if wanted.len() < 2 {
            continue;
        }
        let mut compare = |way: &str, name: Name, all: &Outputs, alone: &Outputs| {
            let key = key_of(name);
            let all: Outputs =
                all.iter().filter(|(name, _)| **name == key).map(|(n, a)| (n.clone(), a.clone())).collect();
            compared += 1;
            if bits(&all) != bits(alone) {
                different.push(format!("{}: {name}, {way}", gradient.case.id));
            }
        };
        let on_cpu = gradient.backward.run_reference().unwrap();
        let on_gpu = distinct_runs(&gradient.backward, [gpu(), gpu_taken_for_hardware()]).into_iter();
        let on_gpu: Vec<_> =
            on_gpu.map(|(gpu, algorithm, all)| (gpu, algorithm, all.run_eager(gpu).unwrap())).collect();
        for &(name, _) in &wanted {
            let alone = gradient.backward_by(&[(name, Gradient::Write)], &[]);
            compare("on the CPU", name, &on_cpu, &alone.run_reference().unwrap());
            for (gpu, algorithm, all) in &on_gpu {
                compare(algorithm, name, all, &alone.by(algorithm).unwrap().run_eager(gpu).unwrap());
            }
        }
    }
    println!("{compared} compared");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
