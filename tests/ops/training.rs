//! Whole trainings, by the networks and the code of examples/train_digits.rs and examples/train_shapes.rs: PyTorch's loss curve,
//! the same bits, checkpoints, and what a step makes.

#[path = "../../examples/training/digits.rs"]
#[allow(dead_code)]
mod digits;
#[path = "../../examples/training/mod.rs"]
#[allow(dead_code)]
mod examples;
#[path = "../../examples/training/shapes.rs"]
mod shapes;

use std::path::PathBuf;

use examples::net::{Net, Value};
use examples::trainer::{Optimizer, Trainer};
use examples::{checkpoint, layers, nets};
use safetensors::SafeTensors;
use wgdnn::wgpu::CommandEncoderDescriptor;
use wgdnn::{
    Adam, AdamInputs, AdamParams, ClipGradNorm, ClipGradNormInputs, ClipGradNormOutputs, ClipGradNormParams, Dropout,
    DropoutBackwardInputs, DropoutInputs, DropoutOutputs, DropoutParams, FlatTensors, Gpu, Operator, SgdParams, Tensor,
    UnaryGradients, Zero, ZeroInputs, generator_state, operator::Differentiable, operator::NoOutputs,
};

use crate::harness::{golden_folder, gpu};

const BATCH: usize = 64;

fn momentum() -> Optimizer {
    Optimizer::Sgd(SgdParams { momentum: 0.9, weight_decay: 1e-4, ..Default::default() })
}

/// A training of UCI's digits.
struct Digits {
    data: digits::Digits,
    trainer: Trainer,
    image: Value,
    target: Value,
    loss: Value,
}

impl Digits {
    fn new(gpu: &Gpu, optimizer: Optimizer, seed: u64, recorded: bool) -> Self {
        let data = digits::uci().unwrap();
        let write = |net: &mut Net| {
            let of = nets::digits(net, BATCH, data.size)?;
            let target = net.integer_input(&[BATCH]);
            Ok((layers::cross_entropy(net, of.logits, target)?, (of.image, target)))
        };
        let known = |net: &mut Net| write(net).map(|(loss, (image, target))| (loss, [image, target, loss]));
        let (trainer, [image, target, loss]) = Trainer::new(gpu, optimizer, seed, recorded, known).unwrap();
        Digits { data, trainer, image, target, loss }
    }

    fn step(&self, rows: &[usize], lr: f32) -> Tensor {
        let (images, labels) = self.data.batch(rows);
        self.trainer.set_lr(lr).unwrap();
        self.trainer.write(self.image, &images).unwrap();
        self.trainer.write_integers(self.target, &labels).unwrap();
        let [loss] = self.trainer.step([self.loss]).unwrap();
        loss
    }

    /// The loss of each of these steps, of batches in an order that is fixed.
    fn losses(&self, steps: std::ops::Range<usize>, lr: f32) -> Vec<f32> {
        let train = self.data.split(5).train;
        let rows =
            |step: usize| (0..BATCH).map(|at| train[(BATCH * step + at) * 7919 % train.len()]).collect::<Vec<_>>();
        steps.map(|step| self.step(&rows(step), lr).read_vec_blocking().unwrap()[0]).collect()
    }

    /// All weights, statistics and states of the optimiser, as a checkpoint has them.
    fn bytes(&self, name: &str) -> Vec<u8> {
        let path = file(name);
        checkpoint::save(&path, &self.trainer, 0, "a test").unwrap();
        std::fs::read(path).unwrap()
    }
}

/// A file of the tests' own.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("training");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// 50 steps from the weights that PyTorch drew, on the same batches: each loss is within 1e-4 of that in float64.
#[test]
fn the_loss_curve_is_pytorchs() {
    let golden = std::fs::read(golden_folder("").join("loss_curve.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        let tensor = golden.tensor(name).unwrap();
        match tensor.dtype() {
            safetensors::Dtype::F64 => tensor.data().as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            _ => tensor.data().as_chunks().0.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect(),
        }
    };
    for (name, optimizer, lr) in [("sgd", momentum(), 0.05), ("adam", Optimizer::Adam(AdamParams::default()), 0.001)] {
        for recorded in [false, true] {
            let run = Digits::new(gpu(), optimizer, 0, recorded);
            let parameters = &run.trainer.net.parameters;
            assert_eq!(parameters.len(), 10);
            for (parameter, tensor) in parameters.iter().zip(run.trainer.memory.flat["param"].parts()) {
                let numbers: Vec<f32> = numbers(&parameter.name).into_iter().map(|x| x as f32).collect();
                tensor.write(&numbers).unwrap();
            }
            let losses = run.losses(0..50, lr);
            let expected = numbers(&format!("{name}/loss"));
            let theirs = numbers(&format!("{name}/loss_float32"));
            assert!(losses.len() == 50 && expected.len() == 50 && expected[49] < 0.5 * expected[0]);
            let largest = |losses: &[f64]| {
                expected.iter().zip(losses).map(|(expected, loss)| (loss - expected).abs()).fold(0.0, f64::max)
            };
            let ours = largest(&losses.iter().map(|loss| f64::from(*loss)).collect::<Vec<_>>());
            println!(
                "{name}, recorded {recorded}: {ours:.1e} from float64, PyTorch's float32 {:.1e}",
                largest(&theirs)
            );
            assert!(ours <= 1e-4, "{name}, recorded {recorded}: {ours:e}");
            // By adam the biases before batch norms follow gradients that are rounding alone.
            for (parameter, tensor) in parameters.iter().zip(run.trainer.memory.flat["param"].parts()) {
                let expected = numbers(&format!("{name}/final/{}", parameter.name));
                let got = tensor.read_vec_blocking().unwrap();
                let off = got.iter().zip(&expected).map(|(got, x)| (f64::from(*got) - x).abs()).fold(0.0, f64::max);
                let is_noise = name == "adam" && parameter.name.starts_with("conv") && parameter.name.ends_with("bias");
                assert!(
                    got.len() == expected.len() && (is_noise || off <= 1e-5),
                    "{name}, {}: {off:e}",
                    parameter.name
                );
            }
        }
    }
}

/// The same weights, statistics and states, bit for bit: of a whole training again, on another device, eager and recorded, and
/// of one that was stopped and went on from its checkpoint.
#[test]
fn trainings_are_the_same_bits() {
    let names = ["sgd", "adam"];
    for (name, optimizer) in names.into_iter().zip([momentum(), Optimizer::Adam(AdamParams::adamw())]) {
        let train = |gpu: &Gpu, recorded, to: &str| {
            let run = Digits::new(gpu, optimizer, 7, recorded);
            let losses = run.losses(0..40, 0.01);
            (losses, run.bytes(&format!("{name}_{to}.safetensors")))
        };
        let first = train(gpu(), true, "first");
        assert!(first.0[39] < first.0[0], "{:?}", first.0);
        assert!(train(gpu(), true, "again") == first, "{name}: again");
        assert!(train(gpu(), false, "eager") == first, "{name}: eagerly");
        assert!(train(&Gpu::new_blocking().unwrap(), true, "other") == first, "{name}: on another device");

        let path = file(&format!("{name}_stopped.safetensors"));
        let stopped = Digits::new(gpu(), optimizer, 7, true);
        stopped.losses(0..23, 0.01);
        checkpoint::save(&path, &stopped.trainer, 23, "a test").unwrap();
        // It begins with other weights, which the checkpoint replaces.
        let resumed = Digits::new(gpu(), optimizer, 8, true);
        assert_eq!(checkpoint::load(&path, &resumed.trainer, "a test").unwrap(), 23);
        assert_eq!(resumed.losses(23..40, 0.01), first.0[23..]);
        assert!(resumed.bytes(&format!("{name}_resumed.safetensors")) == first.1, "{name}: resumed");
    }
}

#[test]
fn other_files_are_no_checkpoints() {
    let run = Digits::new(gpu(), momentum(), 0, true);
    let path = file("one.safetensors");
    checkpoint::save(&path, &run.trainer, 5, "one").unwrap();
    let reason =
        |path: &PathBuf, run: &Digits, about| checkpoint::load(path, &run.trainer, about).unwrap_err().to_string();
    assert!(reason(&path, &run, "another").contains("a checkpoint of \"one\", expected \"another\""));
    let adam = Digits::new(gpu(), Optimizer::Adam(AdamParams::default()), 0, true);
    assert!(reason(&path, &adam, "one").contains("optimizer.momentum_buffer"));
    assert!(reason(&file("absent.safetensors"), &run, "one").contains("absent.safetensors: "));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 5);
    std::fs::write(file("short.safetensors"), &bytes).unwrap();
    assert!(reason(&file("short.safetensors"), &run, "one").contains("short.safetensors: "));
}

/// One seed of examples/train_digits.rs, in half of its epochs.
#[test]
fn digits_are_learned() {
    let run = Digits::new(gpu(), Optimizer::Adam(AdamParams::adamw()), 1, true);
    let split = run.data.split(5);
    let (epochs, batches) = (10, split.train.len() / BATCH);
    for epoch in 0..epochs {
        let order = digits::shuffled(&split.train, 1, epoch as u64);
        for (batch, rows) in order.chunks_exact(BATCH).enumerate() {
            let progress = (epoch * batches + batch) as f32 / (epochs * batches) as f32;
            run.step(rows, 0.004 * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos()));
        }
    }
    let mut net = Net::new(gpu(), false);
    let of = nets::digits(&mut net, split.test.len(), run.data.size).unwrap();
    let (images, labels) = run.data.batch(&split.test);
    let logits = run.trainer.evaluate(&net, of.image, &images, of.logits).unwrap();
    let best = |row: &[f32]| (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as i32;
    let right = logits.chunks(10).zip(&labels).filter(|(row, label)| best(row) == **label).count();
    println!("{right} of {} digits are right", labels.len());
    assert!(labels.len() == 360 && right >= 353, "{right} of {}", labels.len());
}

/// 50 steps of examples/train_shapes.rs.
#[test]
fn shapes_are_learned() {
    let write = |net: &mut Net| {
        let [image, logits] = nets::unet(net, 16, shapes::SIZE)?;
        let mask = net.input(&[16, 1, shapes::SIZE, shapes::SIZE]);
        let loss = layers::binary_cross_entropy_with_logits(net, logits, mask)?;
        Ok((loss, [image, mask, loss]))
    };
    let optimizer = Optimizer::Adam(AdamParams::adamw());
    let (trainer, [image, mask, loss]) = Trainer::new(gpu(), optimizer, 0, true, write).unwrap();
    let mut losses = Vec::new();
    for step in 0..50 {
        let drawn = shapes::draw(16, 2 * step + 2);
        trainer.set_lr(0.01).unwrap();
        trainer.write(image, &drawn.images).unwrap();
        trainer.write(mask, &drawn.masks).unwrap();
        let [of_step] = trainer.step([loss]).unwrap();
        losses.push(of_step.read_vec_blocking().unwrap()[0]);
    }
    let mut net = Net::new(gpu(), false);
    let [image, logits] = nets::unet(&mut net, 32, shapes::SIZE).unwrap();
    let held_out = shapes::draw(32, 1);
    let logits = trainer.evaluate(&net, image, &held_out.images, logits).unwrap();
    let found = shapes::intersection_over_union(&logits, &held_out.masks);
    println!("loss {} to {}, intersection over union {found}", losses[0], losses[49]);
    assert!(losses[49] < 0.5 * losses[0] && found > 0.7, "{losses:?}, {found}");
}

/// 10,000 steps of dropout, its gradient, clipping and adam, whose learning rate changes with each step: after the third
/// nothing more is made.
#[test]
fn ten_thousand_steps_make_nothing_new() {
    let gpu = &Gpu::new_blocking().unwrap();
    let shapes = [vec![7, 5], vec![13]];
    let [params, grads, averages, squares] = [0; 4].map(|_| FlatTensors::zeros(gpu, &shapes).unwrap());
    let shape = params.whole().shape();
    let dropout = Dropout::new(shape, &DropoutParams::default()).unwrap();
    let backward = dropout.backward_of_all().unwrap();
    let clip = ClipGradNorm::new(shape, &ClipGradNormParams::new(1.0)).unwrap();
    let (adam, zero) = (Adam::new(shape, &AdamParams::adamw()).unwrap(), Zero::new(shape).unwrap());
    gpu.warm_up(&[&dropout, &backward, &clip, &adam, &zero]).unwrap();

    let generator = Tensor::from_slice(gpu, &generator_state(1, 0), &[4]).unwrap();
    let saved = Tensor::<i32>::empty(gpu, &[4]).unwrap();
    let [dropped, gradient] = [0; 2].map(|_| Tensor::empty(gpu, shape).unwrap());
    let [lr, count, norm] = [0; 3].map(|_| Tensor::zeros(gpu, &[]).unwrap());
    let workspace = Tensor::<f32>::empty(gpu, &[1024]).unwrap();
    let mut made = Vec::new();
    for step in 0..10_000 {
        lr.write(&[1.0 / (step as f32 + 1.0)]).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        let mut recording = gpu.record(&mut encoder);
        let recorder = &mut recording;
        let workspace = Some(workspace.slice().unwrap());
        let (generator, saved) = (generator.slice().unwrap(), saved.slice().unwrap());
        let [param, grad, average, square] =
            [&params, &grads, &averages, &squares].map(|flat| flat.whole().slice().unwrap());
        let [dropped, gradient, lr, count, norm] =
            [&dropped, &gradient, &lr, &count, &norm].map(|tensor| tensor.slice().unwrap());
        zero.record(recorder, &ZeroInputs { input: grad }, &NoOutputs {}, None).unwrap();
        let outputs = DropoutOutputs { output: dropped, saved_generator: saved };
        dropout.record(recorder, &DropoutInputs { input: param, generator }, &outputs, None).unwrap();
        let inputs = DropoutBackwardInputs::new(dropped, saved);
        backward.record(recorder, &inputs, &UnaryGradients { grad_input: Some(gradient) }, None).unwrap();
        let outputs = ClipGradNormOutputs { total_norm: norm };
        clip.record(recorder, &ClipGradNormInputs { grad: gradient }, &outputs, workspace).unwrap();
        let inputs = AdamInputs::new(param, gradient, average, square, lr, count);
        adam.record(recorder, &inputs, &NoOutputs {}, workspace).unwrap();
        drop(recording);
        gpu.queue().submit([encoder.finish()]);
        made.push(wgdnn::made());
    }
    assert_eq!(made[2], made[9_999], "made by step: {:?}", &made[..10]);
    assert!(made[2] > 0);
    assert_eq!(count.read_vec_blocking().unwrap(), [10_000.0]);
    let blocks = shape.iter().product::<usize>().div_ceil(4) as u64;
    assert_eq!(generator.read_vec_blocking().unwrap(), generator_state(1, 10_000 * blocks));
}
