//! What operators declare of their arguments is what their kernels do with them, on every class of devices.

use wgdnn::operator::misdeclared;
use wgdnn::{AdapterClass, Capabilities, wgpu};

use crate::harness::{calls_of, golden, golden_gradients};

/// Devices of every class, with all that there may be and with next to nothing.
fn devices() -> Vec<Capabilities> {
    let mut devices = Vec::new();
    for class in [AdapterClass::Hardware, AdapterClass::Llvmpipe, AdapterClass::Cpu] {
        for features in [wgpu::Features::all(), wgpu::Features::empty()] {
            for limits in [wgpu::Limits::defaults(), wgpu::Limits::downlevel_defaults()] {
                devices.push(Capabilities::new(class, features, limits));
            }
        }
    }
    devices
}

#[test]
fn slots_are_what_dispatches_do_with_arguments() {
    let (devices, mut wrong, mut looked_at) = (devices(), Vec::new(), 0);
    let golden = golden().iter().filter(|case| !case.is_error);
    let both = golden.flat_map(|case| calls_of(case).into_iter().map(|call| (&case.id, call)));
    let adding = golden_gradients().iter().map(|gradient| (&gradient.case.id, gradient.adding(1)));
    for (id, call) in both.chain(adding) {
        let mut arguments = call.arrays().to_vec();
        arguments.extend(call.operator().compute_by_name(arguments.clone()).unwrap());
        for (algorithm, call) in call.by_every_algorithm() {
            for on in &devices {
                looked_at += 1;
                let of_case = misdeclared(call.operator(), &arguments, on);
                wrong.extend(of_case.into_iter().map(|text| format!("{id}, {algorithm}, {:?}: {text}", on.class)));
            }
        }
    }
    assert!(looked_at > 30_000, "{looked_at}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}
