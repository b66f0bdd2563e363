//! The networks of examples/networks, made small: eagerly, recorded and on the CPU, against PyTorch's outputs.

#![allow(dead_code)]

#[path = "../../examples/networks/dcgan.rs"]
mod dcgan;
#[path = "../../examples/networks/layers.rs"]
pub mod layers;
#[path = "../../examples/networks/mobilenet_v2.rs"]
mod mobilenet_v2;
#[path = "../../examples/networks/network.rs"]
pub mod network;
#[path = "../../examples/networks/pnet.rs"]
pub mod pnet;
#[path = "../../examples/networks/resnet18.rs"]
mod resnet18;
#[path = "../../examples/networks/state.rs"]
pub mod state;
#[path = "../../examples/networks/unet.rs"]
mod unet;
#[path = "../../examples/networks/vgg11_bn.rs"]
mod vgg11_bn;

use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use network::{Frames, Network, Value};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use state::State;
use wgdnn::{Gpu, Tensor};

const NAMES: [&str; 6] = ["resnet18", "mobilenet_v2", "vgg11_bn", "unet", "dcgan", "pnet"];

/// As `value` of tests/golden/small_networks.py makes it.
fn value(name: &str, shape: &[usize]) -> ArrayD<f32> {
    let seed = name.bytes().fold(2_166_136_261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    let number = |index: u32| {
        let mut x = index.wrapping_mul(0x9e37_79b9).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
        x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
        ((x ^ (x >> 16)) >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let count = shape.iter().product::<usize>() as u32;
    let numbers = ArrayD::from_shape_vec(shape, (0..count).map(number).collect()).unwrap();
    if name == "input" {
        return numbers;
    }
    if name.ends_with("running_var") {
        return 1.0 + numbers;
    }
    if name.ends_with("running_mean") || name.ends_with("bias") {
        return numbers / 4.0;
    }
    if shape.len() > 1 {
        let bits = usize::BITS - shape[1..].iter().product::<usize>().leading_zeros();
        return numbers * 2_f32.powi(2 - bits as i32 / 2);
    }
    numbers / 2.0 + if name.contains("prelu") { 0.25 } else { 1.0 }
}

/// A network's state_dict, its input, and PyTorch's output.
struct Golden {
    name: &'static str,
    state: Vec<(String, ArrayD<f32>)>,
    input: ArrayD<f32>,
    output: ArrayD<f32>,
}

impl Golden {
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small_networks");
        let path = folder.join(format!("{name}.safetensors"));
        let file = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
        let shapes = metadata.metadata().as_ref().unwrap().iter();
        let mut state: Vec<_> = shapes
            .map(|(name, shape)| (name.clone(), value(name, &serde_json::from_str::<Vec<usize>>(shape).unwrap())))
            .collect();
        state.sort_by(|(a, _), (b, _)| a.cmp(b));
        let at = state.iter().position(|(name, _)| name == "input").unwrap();
        let input = state.remove(at).1;
        Golden { name, state, input, output: State::read(&path).unwrap().take_any("output").unwrap() }
    }

    fn plan_with(&self, gpu: Option<&Gpu>, state: State) -> state::Result<Network> {
        let write = |net: &mut Network, input: Value| match self.name {
            "resnet18" => resnet18::resnet18(net, input, 10),
            "mobilenet_v2" => mobilenet_v2::mobilenet_v2(net, input, 0.35, 10),
            "vgg11_bn" => vgg11_bn::vgg11_bn(net, input, 8, 10),
            "unet" => unet::unet(net, input, 8),
            "dcgan" => dcgan::dcgan(net, input, 8),
            _ => pnet::pnet(net, input),
        };
        Network::new(gpu, state, self.input.shape(), write)
    }

    fn plan(&self, gpu: Option<&Gpu>) -> Network {
        let mut state = State::default();
        self.state.iter().for_each(|(name, array)| state.insert(name.clone(), array.clone()));
        self.plan_with(gpu, state).unwrap()
    }

    /// PyTorch's own float32 is off by up to 4.8e-7.
    #[track_caller]
    fn expect(&self, how: &str, output: &[f32]) {
        assert_eq!(output.len(), self.output.len());
        let differences = output.iter().zip(&self.output).map(|(x, y)| (x - y).abs());
        // NaN where there is one.
        let largest = differences.fold(0.0, |most: f32, x| if most.is_nan() || x <= most { most } else { x });
        println!("{}, {how}: off by {largest:.2e}", self.name);
        assert!(largest < 1e-6, "{}, {how}: off by {largest:e}", self.name);
    }
}

fn eagerly(net: &Network, gpu: &Gpu, input: &ArrayD<f32>) -> Vec<f32> {
    net.on_gpu(Tensor::from_array(gpu, input).unwrap()).unwrap().read_vec_blocking().unwrap()
}

#[test]
fn networks_compute_what_pytorch_computes() {
    let gpu = Gpu::new_blocking().unwrap();
    for golden in NAMES.map(Golden::read) {
        assert!(golden.output.iter().any(|x| x.abs() > 0.1));
        let on_cpu = golden.plan(None).on_cpu(golden.input.clone()).unwrap();
        golden.expect("on the CPU", on_cpu.as_slice().unwrap());
        let net = golden.plan(Some(&gpu));
        golden.expect("eagerly", &eagerly(&net, &gpu, &golden.input));
        assert!(net.on_cpu(golden.input.clone()).is_err());
        let frames = Frames::new(net).unwrap();
        let input = golden.input.as_slice().unwrap();
        for frame in 0..3 {
            golden.expect(&format!("recorded frame {frame}"), &frames.run(input).unwrap());
        }
        // Nothing is left of another input.
        frames.run(&vec![1.0; input.len()]).unwrap();
        golden.expect("recorded after another input", &frames.run(input).unwrap());
        assert!(frames.run(&input[1..]).is_err());
    }
}

/// Without subgroups, and with few buffers and little workgroup memory: other plans.
#[test]
fn networks_run_where_little_is_there() {
    let gpu = crate::harness::portable_gpu();
    for golden in NAMES.map(Golden::read) {
        let net = golden.plan(Some(&gpu));
        golden.expect("portable, eagerly", &eagerly(&net, &gpu, &golden.input));
        let recorded = Frames::new(net).unwrap().run(golden.input.as_slice().unwrap()).unwrap();
        golden.expect("portable, recorded", &recorded);
    }
}

#[test]
fn memory_does_not_grow() {
    for golden in NAMES.map(Golden::read) {
        let gpu = Gpu::new_blocking().unwrap();
        let net = golden.plan(Some(&gpu));
        let pass = || drop(eagerly(&net, &gpu, &golden.input));
        (0..20).for_each(|_| pass());
        let memory = gpu.memory();
        (0..180).for_each(|_| pass());
        assert_eq!(gpu.memory(), memory, "{}", golden.name);
    }
}

/// What `work` makes on the device, on this thread.
fn made(work: impl FnOnce()) -> Vec<String> {
    let ((), calls) = crate::api::calls(work);
    let is_made = |call: &String| call.starts_with("Device::create_") && call != "Device::create_command_encoder";
    calls.into_iter().filter(is_made).collect()
}

#[test]
fn the_hundredth_frame_makes_nothing() {
    for golden in NAMES.map(Golden::read) {
        let gpu = Gpu::new_blocking().unwrap();
        let net = golden.plan(Some(&gpu));
        let mut frames = None;
        assert!(!made(|| frames = Some(Frames::new(net).unwrap())).is_empty());
        let frames = frames.unwrap();
        let frame = || drop(frames.run(golden.input.as_slice().unwrap()).unwrap());
        // Bind groups.
        assert!(!made(frame).is_empty());
        (1..99).for_each(|_| frame());
        let ((), calls) = crate::api::calls(frame);
        assert!(calls.iter().any(|call| call == "Queue::submit"), "{calls:?}");
        assert_eq!(made(frame), Vec::<String>::new(), "{}", golden.name);
    }
}

/// Values take turns in few buffers.
#[test]
fn recorded_networks_hold_little() {
    let gpu = Gpu::new_blocking().unwrap();
    for (name, most) in [("resnet18", 4), ("mobilenet_v2", 4), ("vgg11_bn", 3), ("unet", 6), ("dcgan", 3), ("pnet", 4)]
    {
        let frames = Frames::new(Golden::read(name).plan(Some(&gpu))).unwrap();
        // Beside the workspace and those of the upload and the read-back.
        let buffers = frames.memory().count() - 3;
        println!("{name}: {buffers} buffers");
        assert!(buffers <= most, "{name} takes {buffers} buffers");
    }
}

/// Values that are used long after, views that outlive what they are of, the input used last, a layer whose value nobody
/// needs, and one that is not returned.
#[test]
fn values_live_as_long_as_they_are_needed() {
    use wgdnn::{Add, AddParams, Relu, Sigmoid};

    let input = value("input", &[2, 3, 4, 5]);
    let write = |net: &mut Network, x: Value| {
        let early = net.add(Relu::new(&net.shapes[x])?, &[("input", x)])?;
        let view = layers::flatten(net, early)?;
        let mut late = early;
        for _ in 0..3 {
            late = net.add(Sigmoid::new(&net.shapes[late])?, &[("input", late)])?;
        }
        let flat = layers::flatten(net, late)?;
        let add = Add::new(&net.shapes[view], &net.shapes[flat], &AddParams::default())?;
        let sum = net.add(add, &[("input", view), ("other", flat)])?;
        let of_input = layers::flatten(net, x)?;
        let add = Add::new(&net.shapes[sum], &net.shapes[of_input], &AddParams::default())?;
        let result = net.add(add, &[("input", sum), ("other", of_input)])?;
        net.keep(ArrayD::zeros(vec![7]))?;
        net.add(Sigmoid::new(&net.shapes[sum])?, &[("input", sum)])?;
        Ok(result)
    };
    let plan = |gpu: Option<&Gpu>, shape: &[usize]| Network::new(gpu, State::default(), shape, write).unwrap();
    let expected = plan(None, input.shape()).on_cpu(input.clone()).unwrap();
    let gpu = Gpu::new_blocking().unwrap();
    let net = plan(Some(&gpu), input.shape());
    let is_expected = |output: &[f32]| output.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-6);
    assert_eq!(expected.shape(), [2, 60]);
    assert!(is_expected(&eagerly(&net, &gpu, &input)));
    let frames = Frames::new(net).unwrap();
    for other in [0.0, 3.0] {
        frames.run(&vec![other; input.len()]).unwrap();
        assert!(is_expected(&frames.run(input.as_slice().unwrap()).unwrap()));
    }
    // No images at all.
    assert!(Frames::new(plan(Some(&gpu), &[0, 3, 4, 5])).unwrap().run(&[]).unwrap().is_empty());
}

/// Writes a file, and reads it.
fn read_back(name: &str, bytes: &[u8]) -> state::Result<State> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("networks");
    std::fs::create_dir_all(&folder).unwrap();
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    State::read(&path)
}

fn file_of(golden: &Golden, change: impl Fn(&str) -> Option<(Dtype, Vec<usize>)>) -> Vec<u8> {
    let bytes: Vec<_> = golden
        .state
        .iter()
        .filter_map(|(name, array)| {
            let (dtype, shape) = change(name)?;
            let size = shape.iter().product::<usize>() * if dtype == Dtype::F32 { 4 } else { 2 };
            let mut bytes: Vec<u8> = array.iter().flat_map(|x| x.to_le_bytes()).collect();
            bytes.resize(size, 0);
            Some((name.clone(), dtype, shape, bytes))
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn other_files_are_refused_by_the_name_of_a_tensor() {
    let golden = Golden::read("pnet");
    let shape_of = |name: &str| golden.state.iter().find(|(other, _)| other == name).unwrap().1.shape().to_vec();
    let refused = |file: &str, bytes: Vec<u8>| {
        let planned = read_back(file, &bytes).and_then(|state| golden.plan_with(None, state).map(drop));
        planned.err().map(|error| error.to_string())
    };
    assert_eq!(refused("whole", file_of(&golden, |name| Some((Dtype::F32, shape_of(name))))), None);

    // What the example `networks` takes: .ci/run runs it on this file.
    let mut with_both = Golden::read("pnet");
    with_both.state.extend([("input".into(), golden.input.clone()), ("output".into(), golden.output.clone())]);
    let both = with_both.state.clone();
    let shape = |name: &str| both.iter().find(|(other, _)| other == name).map(|(_, array)| array.shape().to_vec());
    read_back("pnet.safetensors", &file_of(&with_both, |name| Some((Dtype::F32, shape(name)?)))).unwrap();

    let missing = file_of(&golden, |name| (name != "conv2.bias").then(|| (Dtype::F32, shape_of(name))));
    assert_eq!(refused("missing", missing).unwrap(), "conv2.bias is missing");
    let misshapen =
        file_of(&golden, |name| Some((Dtype::F32, if name == "prelu3.weight" { vec![31] } else { shape_of(name) })));
    assert_eq!(refused("misshapen", misshapen).unwrap(), "prelu3.weight has the shape [31], expected [32]");
    let half =
        file_of(&golden, |name| Some((if name == "conv1.weight" { Dtype::F16 } else { Dtype::F32 }, shape_of(name))));
    assert_eq!(refused("half", half).unwrap(), "conv1.weight holds F16, expected F32");

    let whole = file_of(&golden, |name| Some((Dtype::F32, shape_of(name))));
    for bytes in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused("truncated", whole[..bytes].to_vec()).unwrap();
        assert!(error.contains("not a whole safetensors file"), "{error}");
    }
    assert!(State::read(Path::new("no such file")).is_err());

    // One of another network has other tensors, or some more.
    let other = Golden::read("unet");
    let of_other = |name: &str| other.state.iter().find(|(other, _)| other == name).unwrap().1.shape().to_vec();
    let error = refused("other", file_of(&other, |name| Some((Dtype::F32, of_other(name))))).unwrap();
    assert_eq!(error, "conv1.weight is missing");
    let mut state = State::default();
    golden.state.iter().for_each(|(name, array)| state.insert(name.clone(), array.clone()));
    state.insert("conv5.weight", ArrayD::zeros(vec![1]));
    let error = golden.plan_with(None, state).err().unwrap().to_string();
    assert_eq!(error, "conv5.weight is no tensor of this network");
}
