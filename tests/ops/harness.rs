//! What all operators' tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::{ArrayD, IxDyn};

use crate::cases::{Call, Case, CaseArray, Refusal, Verdict, judge, read_arrays, read_cases};

pub type Outputs = BTreeMap<&'static str, CaseArray>;

/// The folder of a source's golden cases. Without it tests must fail and say why, not pass on nothing.
pub fn golden_folder(source: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(source);
    assert!(
        folder.is_dir(),
        "tests/golden/{source} is absent: the published package leaves PyTorch's results out, so these tests run in a \
         checkout of the repository alone"
    );
    folder
}

/// The golden cases of all sources but the report's.
pub fn golden() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let mut cases = Vec::new();
        for source in ["random", "opinfo", "onnx", "roi_pool", "channels", "special", "corners", "bad_input"] {
            let read = |name: &str| std::fs::read(golden_folder(source).join(name)).unwrap();
            let arrays = read_arrays(&read("tensors.safetensors")).unwrap();
            let jsonl = String::from_utf8(read("cases.jsonl")).unwrap();
            cases.extend(read_cases(&jsonl, &arrays).unwrap());
        }
        cases
    })
}

/// The golden cases of one operator.
pub fn golden_of(op: &str) -> Vec<&'static Case> {
    golden().iter().filter(|case| case.op == op).collect()
}

/// Refuses an expectation that an operator which does nothing would meet.
fn check_expectation(case: &Case) -> Result<(), String> {
    if case.outputs.is_empty() {
        return Err("nothing is expected".into());
    }
    for (name, expected) in &case.outputs {
        if let CaseArray::F32(array) = &*expected.array {
            let nonzero = array.iter().filter(|&&x| x != 0.0).count();
            if array.len() >= 8 && nonzero * 20 < array.len() {
                return Err(format!("{name}: the expectation is nearly all zeros"));
            }
        }
    }
    Ok(())
}

/// Runs cases and returns what is wrong with each that fails.
pub fn failures(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Vec<String> {
    let check = |case: &Case| {
        if !case.is_error {
            check_expectation(case)?;
        }
        match judge(case, &run) {
            Verdict::Passed => Ok(()),
            Verdict::Failed(reason) | Verdict::Unsupported(reason) => Err(reason),
        }
    };
    cases.iter().filter_map(|case| check(case).err().map(|reason| format!("{}: {reason}", case.id))).collect()
}

/// Fails the test with all that is wrong.
#[track_caller]
pub fn expect_none(failures: &[String], of: usize) {
    assert!(failures.is_empty(), "{} of {of} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// Every golden case of an operator on the CPU reference, and with the feature `gpu` by every algorithm on the GPU:
/// eagerly, and recorded on the test's own buffers.
macro_rules! golden_tests {
    ($op:literal, at_least $count:literal) => {
        mod golden {
            use crate::harness;

            #[test]
            fn reference_matches_pytorch() {
                let cases = harness::golden_of($op);
                assert!(cases.len() >= $count, "{} cases", cases.len());
                let failures = harness::failures(&cases, |call| call.run_reference());
                harness::expect_none(&failures, cases.len());
            }

            #[cfg(feature = "gpu")]
            #[test]
            fn eager_calls_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures = harness::failures_of_all_algorithms(&cases, |call| call.run_eager(harness::gpu()));
                harness::expect_none(&failures, cases.len());
            }

            /// What is chosen for hardware, wherever these tests run, and what algorithms are there.
            #[cfg(feature = "gpu")]
            #[test]
            fn kernels_of_hardware_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures = harness::failures_of_all_algorithms(&cases, |call| {
                    call.run_eager(harness::gpu_taken_for_hardware())
                });
                harness::expect_none(&failures, cases.len());
            }

            #[cfg(feature = "gpu")]
            #[test]
            fn recorded_calls_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures =
                    harness::failures_of_all_algorithms(&cases, |call| crate::recorded::run(call, harness::gpu()));
                harness::expect_none(&failures, cases.len());
            }
        }
    };
}
pub(crate) use golden_tests;

/// Holds refusals against what they must say, and the GPU's against the CPU's. An entry is a call and the argument
/// that is wrong with it.
#[track_caller]
pub fn expect_refused(op: &str, calls: &[(&str, Result<Call, Refusal>)]) {
    assert!(calls.len() >= 8, "{} bad inputs", calls.len());
    for (argument, call) in calls {
        let refusal = |result: Result<Outputs, Refusal>| match result {
            Err(Refusal::BadInput(reason)) => reason,
            Err(other) => panic!("{op}, {argument}: {other}"),
            Ok(outputs) => panic!("{op}, {argument}: not refused, gave {outputs:?}"),
        };
        let reason = refusal(call.clone().and_then(|call| call.run_reference()));
        let start = format!("{op}: {argument}: ");
        assert!(reason.starts_with(&start), "expected {start:?}..., got {reason:?}");
        let is_typed = reason.contains("expected") && reason.contains("got") || reason.contains("exceeds");
        assert!(is_typed, "{reason:?} tells not what was expected and what came");
        #[cfg(feature = "gpu")]
        assert_eq!(refusal(call.clone().and_then(|call| call.run_eager(gpu()))), reason);
    }
    // The device must still work.
    #[cfg(feature = "gpu")]
    {
        let cases = golden_of(op);
        expect_none(&failures(&cases[..3], |call| call.run_eager(gpu())), 3);
    }
}

/// A call out of JSON parameters and inputs, as a case has them.
pub fn call(op: &str, params: serde_json::Value, inputs: &[(&str, CaseArray)]) -> Result<Call, Refusal> {
    Call::new(&Case {
        id: "bad".into(),
        op: op.into(),
        params: params.as_object().unwrap().clone(),
        inputs: inputs.iter().map(|(name, array)| (name.to_string(), vec![Arc::new(array.clone())])).collect(),
        lists: Default::default(),
        outputs: BTreeMap::new(),
        is_error: true,
    })
}

/// Floats of no particular value.
pub fn floats(shape: &[usize]) -> CaseArray {
    CaseArray::F32(random(shape, 7))
}

/// Random floats from -1 to 1; the same for the same seed.
pub fn random(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Random whole numbers from -4 to 4, whose sums of products are exact.
#[cfg(feature = "gpu")]
pub fn random_integers(shape: &[usize], seed: u64) -> ArrayD<f32> {
    random(shape, seed).mapv(|x| (x * 4.49).round())
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::*;
    use crate::cases::compare;
    use wgdnn::{Conv2d, Conv2dAlgorithm, Gpu, GpuOptions};

    /// What the environment asks the tests' device to be: `WGDNN_TEST_ADAPTER` names an adapter, and
    /// `WGDNN_TEST_LIMITS` is `default` or `downlevel`.
    fn options() -> GpuOptions {
        let limits = match std::env::var("WGDNN_TEST_LIMITS").as_deref() {
            Ok("default") => Some(wgdnn::wgpu::Limits::defaults()),
            Ok("downlevel") => Some(wgdnn::wgpu::Limits::downlevel_defaults()),
            Ok(other) => panic!("WGDNN_TEST_LIMITS is {other:?}"),
            Err(_) => None,
        };
        GpuOptions { adapter: std::env::var("WGDNN_TEST_ADAPTER").ok(), limits, ..Default::default() }
    }

    /// The device that tests share. There must be one: without it nothing of the GPU would be tested.
    pub fn gpu() -> &'static Gpu {
        static GPU: OnceLock<Gpu> = OnceLock::new();
        GPU.get_or_init(|| Gpu::with_options_blocking(&options()).unwrap_or_else(|error| panic!("{error}")))
    }

    /// A device like it that runs the kernels for hardware.
    pub fn gpu_taken_for_hardware() -> &'static Gpu {
        static GPU: OnceLock<Gpu> = OnceLock::new();
        GPU.get_or_init(|| {
            let gpu = Gpu::with_options_blocking(&options()).unwrap_or_else(|error| panic!("{error}"));
            gpu.take_for(wgdnn::AdapterClass::Hardware);
            gpu
        })
    }

    /// A device without optional features.
    pub fn portable_gpu() -> Gpu {
        let options = GpuOptions { portable: true, ..Default::default() };
        Gpu::with_options_blocking(&options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`failures`] by every algorithm that the operator has.
    pub fn failures_of_all_algorithms(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Vec<String> {
        let mut by_name = BTreeMap::<String, Vec<&Case>>::new();
        for case in cases {
            let names = match Call::new(case) {
                Ok(call) => call.by_every_algorithm().into_iter().map(|(name, _)| name).collect(),
                Err(_) => vec!["Auto".to_owned()],
            };
            names.into_iter().for_each(|name| by_name.entry(name).or_default().push(case));
        }
        assert!(by_name.contains_key("Auto"));
        let by = |call: &Call, wanted: &str| {
            let (_, call) = call.by_every_algorithm().into_iter().find(|(name, _)| name == wanted).unwrap();
            run(&call)
        };
        by_name
            .iter()
            .flat_map(|(name, cases)| {
                // The one exception, by name alone, as its documentation says: 8 times PyTorch's error, not 4.
                let factor = if name == "Winograd4x4" { 2.0 } else { 1.0 };
                let cases: Vec<_> = cases.iter().map(|case| with_bound(case, factor)).collect();
                failures(&cases.iter().collect::<Vec<_>>(), |call| by(call, name))
                    .into_iter()
                    .map(move |failure| format!("{name}: {failure}"))
            })
            .collect()
    }

    fn with_bound(case: &Case, factor: f64) -> Case {
        let mut case = case.clone();
        case.outputs.values_mut().for_each(|expected| expected.atol *= factor);
        case
    }

    /// Holds an eager call against the CPU reference: every output equal to the last bit.
    #[track_caller]
    pub fn expect_exact(call: &Call) {
        expect_within(call, 0.0);
    }

    /// Holds an eager call by every algorithm against the CPU reference.
    #[track_caller]
    pub fn expect_within(call: &Call, atol: f64) {
        expect_within_on(gpu(), call, atol);
    }

    /// [`expect_within`] on another device than the tests'.
    #[track_caller]
    pub fn expect_within_on(gpu: &Gpu, call: &Call, atol: f64) {
        let outputs = call.run_reference().unwrap();
        let case = Case {
            id: format!("{call:.0?}").chars().take(40).collect(),
            op: String::new(),
            params: Default::default(),
            inputs: BTreeMap::new(),
            lists: Default::default(),
            outputs: outputs
                .into_iter()
                .map(|(name, array)| {
                    (name.to_owned(), crate::cases::Expected { array: Arc::new(array), atol, rmse_float32: None })
                })
                .collect(),
            is_error: false,
        };
        check_expectation(&case).unwrap();
        for (algorithm, call) in call.by_every_algorithm() {
            for (way, outputs) in [("eager", call.run_eager(gpu)), ("recorded", crate::recorded::run(&call, gpu))] {
                let mut outputs = outputs.unwrap();
                // Its transforms round even whole numbers, which must come out when rounded again.
                if atol == 0.0 && is_transformed(&call, gpu) {
                    round(&mut outputs);
                }
                if let Err(reason) = compare(&case, &outputs) {
                    panic!("{algorithm}, {way}: {reason}");
                }
            }
        }
    }

    fn is_transformed(call: &Call, gpu: &Gpu) -> bool {
        let Call::Conv2d { input, weight, params, .. } = call else { return false };
        let operator = Conv2d::new(input.shape(), weight.shape(), None, params).unwrap();
        operator.algorithm_on(gpu) == Conv2dAlgorithm::Winograd4x4
    }

    fn round(outputs: &mut Outputs) {
        for output in outputs.values_mut() {
            if let CaseArray::F32(array) = output {
                assert!(array.iter().all(|x| (x - x.round()).abs() < 0.05));
                array.mapv_inplace(f32::round);
            }
        }
    }

    /// The root mean square error over all cases' float outputs, relative to the size of each output: ours, and that
    /// of PyTorch's own float32.
    pub fn rmse_beside_pytorch(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> (f64, f64) {
        let (mut ours, mut theirs, mut count) = (0.0, 0.0, 0.0);
        for case in cases.iter().filter(|case| !case.is_error) {
            let outputs = run(&Call::new(case).unwrap()).unwrap();
            for (name, expected) in &case.outputs {
                let (CaseArray::F32(got), CaseArray::F32(array)) = (&outputs[name.as_str()], &*expected.array) else {
                    panic!("{}: {name} is no float", case.id);
                };
                let size = array.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / array.len() as f64;
                if size > 0.0 && size.is_finite() {
                    ours += crate::cases::difference(got, array).rmse.powi(2) / size;
                    theirs += expected.rmse_float32.unwrap().powi(2) / size;
                    count += 1.0;
                }
            }
        }
        assert!(count >= 20.0, "{count} outputs");
        ((ours / count).sqrt(), (theirs / count).sqrt())
    }

    /// Whether a case fails once `from` is `to` in a shader's text.
    pub fn is_seen(op: &str, file: &'static str, from: &str, to: &str) -> bool {
        let has_features = file.ends_with("float32_atomic") || file.ends_with("subgroup");
        let gpu = if has_features { Gpu::new_blocking().unwrap() } else { portable_gpu() };
        if file.ends_with("_fused") {
            gpu.take_for(wgdnn::AdapterClass::Hardware);
        }
        let (_, source) = crate::shaders::shaders().into_iter().find(|(name, _)| name == file).unwrap();
        assert!(source.contains(from), "{file}.wgsl has no {from:?} to plant a fault in");
        gpu.substitute_shader(file, source.replacen(from, to, 1));
        let run = |call: &Call| crate::recorded::run(call, &gpu);
        golden_of(op).into_iter().any(|case| !failures_of_all_algorithms(&[case], run).is_empty())
    }

    /// A wrong shader must not pass: each of these faults is planted and has to be seen.
    #[test]
    fn planted_faults_are_seen() {
        let faults = [
            (
                "max_pool2d",
                "max_pool2d",
                "ordered(value) > ordered(best.value)",
                "ordered(value) >= ordered(best.value)",
            ),
            ("max_pool2d", "max_pool2d", "is_nan(value) || ", ""),
            (
                "max_pool2d",
                "max_pool2d",
                "min(params.col_end, cols); col_tap++",
                "min(params.col_end, cols) - 1; col_tap++",
            ),
            ("avg_pool2d", "avg_pool2d", "params.in_rows + params.padding_rows)", "params.in_rows)"),
            (
                "avg_pool2d",
                "avg_pool2d",
                "else if (params.count_include_pad != 0u)",
                "else if (params.count_include_pad == 0u)",
            ),
            ("conv2d", "conv2d", "sum += bias[out_channel]", "sum += bias[0]"),
            ("conv2d", "conv2d", "in_col < params.in_cols", "in_col + 1 < params.in_cols"),
            ("conv2d", "conv2d", "select(0.0, input[", "select(input[0], input["),
            ("conv_transpose2d", "conv_transpose2d", "position % divisor != 0 || ", ""),
            ("conv_transpose2d", "conv_transpose2d", "place - skipped * in_step", "place"),
            ("conv_transpose2d", "conv_transpose2d", "u32(inverse)", "1u"),
            ("conv_transpose2d", "conv_transpose2d", "(params.groups * params.out_channels)];", "params.groups];"),
            ("conv_transpose2d", "conv_transpose2d_scatter_add", "exchange.exchanged", "true"),
            (
                "conv_transpose2d",
                "conv_transpose2d_scatter_add",
                "atomicStore(&output[params.output_base + index], bitcast<u32>(value));",
                "",
            ),
            (
                "max_pool2d",
                "max_pool2d",
                "row_index + first_col + col_tap * params.dilation_cols",
                "row_index + first_col + col_tap",
            ),
            ("max_pool2d", "max_pool2d", "!is_nan(best.value) && ordered", "ordered"),
            ("avg_pool2d", "avg_pool2d", "select(total / divisor, 0.0, is_outside)", "total * divisor"),
            ("avg_pool2d", "avg_pool2d", "let first_col = max(start_col, 0);", "let first_col = max(start_col, 1);"),
            (
                "conv2d",
                "conv2d",
                "let group = out_channel / params.out_channels;",
                "let group = out_channel % params.groups;",
            ),
            ("conv2d", "conv2d", "channel_sum += x *", "channel_sum = x *"),
            (
                "conv_transpose2d",
                "conv_transpose2d",
                "out_channel % params.out_channels) * params.kernel_rows",
                "out_channel) * params.kernel_rows",
            ),
            ("sigmoid", "sigmoid", "(1.0 + e), x, is_nan)", "(1.0 + e), x, vec4<bool>())"),
            ("sigmoid", "sigmoid", "if (index < params.count)", "if (index + 1u < params.count)"),
            ("sigmoid", "sigmoid", "input_blocks[params.base / 4u + block]", "input_blocks[params.base / 4u]"),
            ("roi_pool", "roi_pool", "(value & MAGNITUDE) <= INFINITY && ", ""),
            ("roi_pool", "roi_pool", "vec4<u32>(), is_empty(bin))", "vec4<u32>(), false)"),
            ("roi_pool", "roi_pool", "best_2 = better(best_2, input[at.z]);", ""),
            (
                "batch_norm",
                "batch_norm",
                "            statistics[lane] = merge(statistics[lane], statistics[lane + width]);",
                "",
            ),
            ("batch_norm", "batch_norm", "workspace[words + 5u] = terms.bias;", ""),
            ("cross_entropy", "cross_entropy", "= merge(mine, other);", "= mine;"),
            ("cross_entropy", "cross_entropy_in_blocks", "step * LANES + row.lane", "step * LANES"),
            ("cross_entropy", "cross_entropy", "losses[params.rows + row.index] = count;", ""),
            (
                "mse_loss",
                "mse_loss",
                "at_0 * params.target_stride_0 + at_1 * params.target_stride_1",
                "at_0 * params.target_stride_0",
            ),
            (
                "conv_transpose2d",
                "conv_transpose2d_scatter_add_float32_atomic",
                "atomicAdd(&output[index], value)",
                "atomicStore(&output[index], value)",
            ),
            ("sigmoid", "sigmoid", "x < vec4<f32>()", "x > vec4<f32>()"),
            ("roi_pool", "roi_pool", "best_3 = better(best_3, input[at.w]);", ""),
            ("conv2d", "conv2d_patches", "weights.low.z = weight[low.z];", ""),
            ("conv2d", "conv2d_patches_subgroup", "min(own, last) * step", "min(own, last - 1) * step"),
            ("conv2d", "conv2d_patches_subgroup", "(*sums)[6] += weights.low.w * low;", ""),
            ("conv2d", "conv2d_tiles_subgroup", "weights.low.x * row_3", "weights.low.x * row_2"),
            ("conv2d", "conv2d_tiles", "let begin_5 = select(0, (row + 5)", "let begin_5 = select(0, (row + 4)"),
            ("conv2d", "conv2d_gemm", "row * params.dilation_rows", "row"),
            ("conv2d", "conv2d_winograd2x2_fused", "0.5 * (sum - row.y)", "0.5 * (sum + row.y)"),
            ("conv2d", "conv2d_winograd2x2_fused", "has_right && has_bottom", "has_right"),
            ("conv2d", "conv2d_winograd2x2_fused", "sums = direct_sums(", "sums += direct_sums("),
            ("conv2d", "conv2d_winograd4x4", "(near - 0.625 * y)", "(near + 0.625 * y)"),
            ("conv2d", "conv2d_winograd4x4", "2.640625 * x.d + x.f", "2.640625 * x.d"),
            ("conv2d", "conv2d_winograd4x4", "3.375 * far_odd", "3.376 * far_odd"),
            ("conv2d", "conv2d_winograd2x2", "place.col + right >= params.out_cols", "false"),
            ("conv2d", "conv2d_winograd2x2", "x.c - x.b", "x.b - x.c"),
            ("conv2d", "conv2d_winograd2x2", "if (TILE > 2) {", "if (true) {"),
            ("conv2d", "conv2d_winograd4x4", "if (any(max(left, right) >= vec4<u32>(SPOILING))) {", "if (false) {"),
            ("conv2d", "conv2d_winograd4x4", "middle * x_4 + right", "middle * x_3 + right"),
            ("conv2d", "conv2d_winograd4x4", "add_row(&sums, weights + 6, begin, row + 2, col);", ""),
            ("conv2d", "conv2d_winograd4x4", "block / blocks * params.out_channels", "0"),
            ("conv2d", "conv2d_winograd_multiply", "a.tile_3 + b.tile_3)", "a.tile_3)"),
            ("conv2d", "conv2d_winograd_multiply", "position * params.kernels_step + (group", "(group"),
            ("conv2d", "conv2d_winograd_multiply_packed", "packed_weight[block]", "packed_weight[block & 4095]"),
            ("conv2d", "conv2d_winograd_subgroup", "subgroupBroadcast(own.c, 7u)", "subgroupBroadcast(own.c, 6u)"),
            ("conv2d", "conv2d_winograd_subgroup", "min(block + 1, blocks - 1)", "min(block, blocks - 1)"),
            ("conv2d", "conv2d_winograd_subgroup", "add_sums(&high_totals_16, high_16);", ""),
            ("conv2d", "conv2d_winograd_packed_subgroup", "workspace[at + 3 * step])", "workspace[at + 2 * step])"),
            ("conv_transpose2d", "conv_transpose2d_gemm", "-row * (params", "row * (params"),
            ("avg_pool2d", "avg_pool2d_quads", "visit(&sum_3, &span, 3)", "visit(&sum_3, &span, 2)"),
            ("mse_loss", "mse_loss", "let blocks = params.count / 4u;", "let blocks = params.count / 8u;"),
            ("batch_norm", "batch_norm", "normalized(x.z, terms)", "normalized(x.y, terms)"),
            ("conv_transpose2d", "conv_transpose2d_phases", "* stride) % stride;", "* stride) % (stride + 1);"),
            ("conv_transpose2d", "conv_transpose2d_phases", "low_cols - col)", "low_cols + col)"),
            ("batch_norm", "batch_norm", "plane % params.channels", "plane % (params.channels + 1u)"),
            ("batch_norm", "batch_norm", "min(first + part_items, plane_items)", "min(first + 1u, plane_items)"),
            (
                "batch_norm",
                "batch_norm",
                "add_pair(add_pair(a.deviations, b.deviations), steps)",
                "add_pair(a.deviations, b.deviations)",
            ),
            ("batch_norm", "batch_norm", "/ (count - 1.0)", "/ count"),
            ("batch_norm", "batch_norm", "-product(all.deviations, rest)", "product(all.deviations, rest) + 1.0"),
            ("cross_entropy", "cross_entropy", "others *= factor;", ""),
            ("cross_entropy", "cross_entropy", "class_index == params.ignore_index", "class_index == -1000"),
            ("mse_loss", "mse_loss", "= difference * difference;", "= difference;"),
            // What makes infinities, NaN and huge numbers come out right.
            ("conv_transpose2d", "conv_transpose2d_phases", "if (!any(is_any_spoilt)) {", "if (true) {"),
            (
                "conv_transpose2d",
                "conv_transpose2d_phases",
                "w.x * high, is_high_inside)",
                "w.x * high, vec4<bool>(true))",
            ),
            ("conv_transpose2d", "conv_transpose2d_gemm", "if (!is_spoilt(sums.channel_0) &&", "if (true ||"),
            ("conv_transpose2d", "conv_transpose2d_gemm", "w.z * x, is_inside)", "w.z * x, vec4<bool>(true))"),
            ("batch_norm", "batch_norm_inference", "        y = mended(x, terms);", ""),
            ("batch_norm", "batch_norm_inference", "y[index] = mended(x[index], terms);", ""),
            ("batch_norm", "batch_norm_inference", "if (exponents == EXPONENT) {", "if (false) {"),
            ("batch_norm", "batch_norm", "is_large && a.scale == 1.0", "false"),
            ("batch_norm", "batch_norm", "terms.scale = 1.0 / HUGE;", ""),
            ("batch_norm", "batch_norm_inference", "let is_huge = abs(w) > HUGE;", "let is_huge = false;"),
            ("batch_norm", "batch_norm_inference", "beside_infinity(x) * factor", "x"),
            ("batch_norm", "batch_norm", "let center = infinite_part(a.center) +", "let center ="),
            (
                "cross_entropy",
                "cross_entropy",
                "product(weighted, negative_log(maximum, x, log_sum))",
                "add_pair(product(weighted, subtract(maximum, x)), product(weighted, vec2<f32>(log_sum, 0.0)))",
            ),
        ];
        assert!(faults.len() >= 25);
        let unseen: Vec<_> = faults.into_iter().filter(|(op, file, from, to)| !is_seen(op, file, from, to)).collect();
        assert!(unseen.is_empty(), "not seen: {unseen:#?}");
    }

    /// Faults that the golden cases do not reach.
    #[test]
    fn planted_faults_are_seen_in_other_problems() {
        use wgdnn::{Conv2dAlgorithm, Conv2dParams, ConvTranspose2dAlgorithm, ConvTranspose2dParams, MaxPool2dParams};

        let conv2d = |input: &[usize], weight: &[usize], algorithm| Call::Conv2d {
            input: random_integers(input, 1),
            weight: random_integers(weight, 2),
            bias: None,
            params: Conv2dParams { algorithm, ..Default::default() },
        };
        let points = conv2d(&[1, 6, 4, 20], &[17, 6, 1, 1], Conv2dAlgorithm::Patches);
        let tiles = conv2d(&[1, 3, 9, 9], &[17, 3, 3, 3], Conv2dAlgorithm::Tiles);
        let gemm = conv2d(&[1, 600, 3, 3], &[33, 600, 2, 1], Conv2dAlgorithm::ImplicitGemm);
        let transposed = Call::ConvTranspose2d {
            input: random_integers(&[1, 5, 4, 6], 1),
            weight: random_integers(&[5, 3, 2, 2], 2),
            bias: None,
            params: ConvTranspose2dParams {
                stride: [2, 2],
                algorithm: ConvTranspose2dAlgorithm::Phases,
                ..Default::default()
            },
        };
        let mut with_nans = random_integers(&[1, 1, 4, 8], 2);
        with_nans[[0, 0, 1, 2]] = f32::NAN;
        with_nans[[0, 0, 1, 3]] = f32::NAN;
        let pool = Call::MaxPool2d {
            input: with_nans,
            params: MaxPool2dParams {
                stride: Some([1, 1]),
                padding: [1, 1],
                return_indices: true,
                ..MaxPool2dParams::new([3, 3])
            },
        };
        // Of the pool only the indices, for no NaN equals another.
        let outputs = |result: Result<Outputs, Refusal>| {
            let mut outputs = result.unwrap();
            if outputs.contains_key("indices") {
                outputs.remove("output");
            }
            outputs
        };
        for (call, file, from, to) in [
            (&pool, "max_pool2d_quads", "|| order == NAN_ORDER", ""),
            (&pool, "max_pool2d_quads", "col >= 0 && col < params.in_cols", "col >= 0"),
            (&points, "conv2d_points_subgroup", "plane_blocks + blocks.y]", "plane_blocks + blocks.x]"),
            (&points, "conv2d_points_subgroup", "(*sums)[6] += weights.low.w * low;", ""),
            (&tiles, "conv2d_tiles_subgroup", "weights.high.w * row_3", "weights.high.w * row_2"),
            (&tiles, "conv2d_tiles_subgroup", "select(0, CHANNELS, is_upper)", "0"),
            (&gemm, "conv2d_gemm", "sum += workspace[", "sum = workspace["),
            (&gemm, "conv2d_gemm", "slot = TILE_STEPS - slot;", ""),
            (
                &transposed,
                "conv_transpose2d_points_subgroup",
                "let row = element / params.kernel_cols;",
                "let row = 0;",
            ),
        ] {
            let gpu = Gpu::new_blocking().unwrap();
            let expected = outputs(call.run_reference());
            assert_eq!(outputs(call.run_eager(&gpu)), expected, "{file}");
            let (_, source) = crate::shaders::shaders().into_iter().find(|(name, _)| name == file).unwrap();
            assert!(source.contains(from), "{file} has no {from:?} to plant a fault in");
            gpu.substitute_shader(file, source.replacen(from, to, 1));
            assert_ne!(outputs(call.run_eager(&gpu)), expected, "{file}: {from:?} as {to:?} was not seen");
        }
    }

    #[test]
    fn an_expectation_of_zeros_is_refused() {
        let mut case = golden_of("sigmoid")
            .into_iter()
            .find(|case| case.outputs["output"].array.shape().iter().product::<usize>() >= 8)
            .unwrap()
            .clone();
        let shape = case.outputs["output"].array.shape().to_vec();
        case.outputs.get_mut("output").unwrap().array = Arc::new(CaseArray::F32(ArrayD::zeros(shape)));
        assert!(check_expectation(&case).is_err());
        case.outputs.clear();
        assert!(check_expectation(&case).is_err());
    }
}
