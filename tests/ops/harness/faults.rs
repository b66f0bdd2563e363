//! Wrong shaders, which tests must catch. An operator's faults stand in its own file.

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

/// A wrong shader must not pass: each of these faults is planted, and some golden case of the operator has to fail. A
/// fault is a shader's name, a part of its text, and what stands there instead.
macro_rules! planted_faults {
    ($op:literal, $faults:expr) => {
        #[cfg(feature = "gpu-core")]
        #[test]
        fn planted_faults_are_seen() {
            $crate::harness::expect_seen($op, &$faults);
        }
    };
}
pub(crate) use planted_faults;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use wgdnn::{AdapterClass, Gpu};

    use crate::harness::{failures_of_all_algorithms, golden_of, portable_gpu};
    use wgdnn::cases::{Call, Case, Outputs, Refusal};

    /// A shader's name, a part of its text, and what stands there instead.
    pub type Fault = (&'static str, &'static str, &'static str);

    /// The text of a shader with a fault.
    pub fn faulty(&(file, from, to): &Fault) -> String {
        let (_, source) = crate::shaders::shaders().into_iter().find(|(name, _)| name == file).unwrap();
        assert!(source.contains(from), "{file}.wgsl has no {from:?} to plant a fault in");
        source.replacen(from, to, 1)
    }

    /// Whether a golden case of the operator fails with this fault.
    fn is_seen(op: &str, fault: &Fault) -> bool {
        let file = fault.0;
        let has_features = file.ends_with("float32_atomic") || file.ends_with("subgroup");
        let gpu = if has_features { Gpu::new_blocking().unwrap() } else { portable_gpu() };
        if file.ends_with("_fused") {
            gpu.take_for(AdapterClass::Hardware);
        }
        gpu.substitute_shader(file, faulty(fault));
        let run = |call: &Call| crate::recorded::run(call, &gpu);
        golden_of(op)
            .into_iter()
            .filter(|case| runs(case, file, &gpu))
            .any(|case| !failures_of_all_algorithms(&[case], run).is_empty())
    }

    /// Whether a call of the case, by some algorithm, runs a kernel of this file. What is not planned on such a device does not.
    fn runs(case: &Case, file: &str, gpu: &Gpu) -> bool {
        let Ok(forward) = Call::of_case(case) else { return false };
        let backward = forward.planned_backward().unwrap_or_default();
        let calls = std::iter::once(&forward).chain(&backward).flat_map(Call::by_every_algorithm);
        calls.map(|(_, call)| call.operator().dispatches_on(gpu.capabilities())).any(|dispatches| {
            dispatches.is_ok_and(|dispatches| dispatches.iter().any(|dispatch| dispatch.kernel.module == file))
        })
    }

    /// Plants each fault and holds that a golden case of the operator fails.
    #[track_caller]
    pub fn expect_seen(op: &str, faults: &[Fault]) {
        assert!(faults.len() >= 3, "{op} has {} planted faults", faults.len());
        let unseen: Vec<_> = faults.iter().filter(|fault| !is_seen(op, fault)).collect();
        assert!(unseen.is_empty(), "not seen: {unseen:#?}");
    }

    /// Plants each fault and holds that this call sees it: for faults that the golden cases do not reach.
    #[track_caller]
    pub fn expect_seen_in(call: &Call, faults: &[Fault]) {
        // Of a pool with indices only these, for no NaN equals another.
        let outputs = |result: Result<Outputs, Refusal>| {
            let mut outputs = result.unwrap();
            if outputs.contains_key("indices") {
                outputs.remove("output");
            }
            outputs
        };
        for fault in faults {
            let (file, from, to) = fault;
            let gpu = Gpu::new_blocking().unwrap();
            let expected = outputs(call.run_reference());
            assert_eq!(outputs(call.run_eager(&gpu)), expected, "{file}");
            gpu.substitute_shader(file, faulty(fault));
            assert_ne!(outputs(call.run_eager(&gpu)), expected, "{file}: {from:?} as {to:?} was not seen");
        }
    }
}
