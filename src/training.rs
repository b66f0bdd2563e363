//! # Train
//!
//! A step of training is a forward pass, the [backward passes](crate::gradients) in reverse order, and an optimiser, which are
//! operators like all others. This page spells one step out, eagerly and recorded.
//! [`examples/train_digits.rs`](https://github.com/wgdnn/wgdnn/blob/main/examples/train_digits.rs) is a whole program: it
//! learns handwritten digits, with checkpoints that PyTorch reads, and
//! [`examples/train_shapes.rs`](https://github.com/wgdnn/wgdnn/blob/main/examples/train_shapes.rs) trains a U-Net.
//!
//! ## Eagerly
//!
//! ```no_run
//! # fn main() -> Result<(), wgdnn::Error> {
//! use wgdnn::operator::{Differentiable, Gradient};
//! use wgdnn::*;
//!
//! let gpu = Gpu::new_blocking()?;
//!
//! // Plan once: the forward pass of 64 images of 8 by 8 ..
//! let conv = Conv2d::new(&[64, 1, 8, 8], &[16, 1, 3, 3], None, &Conv2dParams::default())?;
//! let relu = Relu::new(conv.output_shape())?;
//! let flatten = Flatten::new(relu.output_shape(), &FlattenParams { start_dim: 1, ..Default::default() })?;
//! let fc = Linear::new(flatten.output_shape(), &[10, 576], Some(&[10]))?;
//! let classes = CrossEntropyTarget::Classes(&[64][..]);
//! let loss = CrossEntropy::new(fc.output_shape(), classes, None, &Default::default())?.with_gradient()?;
//!
//! // .. the backward pass, which adds to the gradients of the parameters and writes those in between ..
//! let [write, add] = [Gradient::Write, Gradient::Accumulate].map(Some);
//! let fc_backward = fc.backward(&LinearGradients { grad_input: write, grad_weight: add, grad_bias: add })?;
//! let relu_backward = relu.backward_of_all()?;
//! let conv_backward = conv.backward(&Conv2dGradients { grad_weight: add, ..Conv2dGradients::new() })?;
//!
//! // .. and one optimiser for all parameters, which lie in one buffer.
//! let shapes = [vec![16, 1, 3, 3], vec![10, 576], vec![10]];
//! let params = FlatTensors::zeros(&gpu, &shapes)?; // Write first values: params[0].write(..).
//! let grads = FlatTensors::zeros(&gpu, &shapes)?;
//! let (exp_avg, exp_avg_sq) = (FlatTensors::zeros(&gpu, &shapes)?, FlatTensors::zeros(&gpu, &shapes)?);
//! let adam = Adam::new(params.whole().shape(), &AdamParams::adamw())?;
//! // What changes with the steps is data on the device.
//! let (lr, count) = (Tensor::from_slice(&gpu, &[0.001], &[])?, Tensor::zeros(&gpu, &[])?);
//!
//! let (image, target) = (Tensor::zeros(&gpu, &[64, 1, 8, 8])?, Tensor::<i32>::zeros(&gpu, &[64])?);
//! for step in 0..100 {
//!     // image.write(..)?, target.write(..)?, and where the learning rate changes:
//!     lr.write(&[0.001 / (1.0 + step as f32 / 100.0)])?;
//!     zero_(grads.whole())?;
//!
//!     let features = conv.call(&Conv2dInputs::new(&image, &params[0]))?.output;
//!     let active = relu.call(&UnaryInputs { input: &features })?.output;
//!     let flat = flatten.call(&UnaryInputs { input: &active })?.output;
//!     let logits =
//!         fc.call(&LinearInputs { bias: Some(&params[2]), ..LinearInputs::new(&flat, &params[1]) })?.output;
//!     let classes = CrossEntropyTarget::Classes(&target);
//!     let of_loss = loss.call(&CrossEntropyInputs { input: &logits, target: classes, weight: None })?;
//!
//!     // With each gradient what the forward pass had there.
//!     let grad = of_loss.grad_input.unwrap();
//!     let grad = fc_backward
//!         .call(&LinearBackwardInputs {
//!             input: Some(&flat),
//!             weight: Some(&params[1]),
//!             grad_weight: Some(&grads[1]),
//!             grad_bias: Some(&grads[2]),
//!             ..LinearBackwardInputs::new(&grad)
//!         })?
//!         .grad_input
//!         .unwrap()
//!         .reshape(active.shape())?;
//!     let inputs = UnaryBackwardInputs { output: Some(&active), ..UnaryBackwardInputs::new(&grad) };
//!     let grad = relu_backward.call(&inputs)?.grad_input.unwrap();
//!     conv_backward.call(&Conv2dBackwardInputs {
//!         input: Some(&image),
//!         grad_weight: Some(&grads[0]),
//!         ..Conv2dBackwardInputs::new(&grad)
//!     })?;
//!
//!     // Gradients of any size: clip_grad_norm_(grads.whole(), &ClipGradNormParams::new(1.0))?;
//!     let states = [exp_avg.whole(), exp_avg_sq.whole()];
//!     adam.call(&AdamInputs::new(params.whole(), grads.whole(), states[0], states[1], &lr, &count))?;
//!
//!     // Only this waits for the device.
//!     if step % 10 == 0 {
//!         println!("{:?}", of_loss.output.read_vec_blocking()?);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ## Recorded
//!
//! The same operators go into one encoder and one pass, on buffers that are made once. A step then allocates nothing, submits
//! once, and gives the same bits. Here are the last layer, its gradient and the optimiser; all others are alike.
//!
//! ```no_run
//! # fn main() -> Result<(), wgdnn::Error> {
//! use wgdnn::operator::{Differentiable, Gradient, NoOutputs};
//! use wgdnn::wgpu::CommandEncoderDescriptor;
//! use wgdnn::*;
//!
//! let gpu = Gpu::new_blocking()?;
//! let fc = Linear::new(&[64, 576], &[10, 576], None)?;
//! let classes = CrossEntropyTarget::Classes(&[64][..]);
//! let loss = CrossEntropy::new(&[64, 10], classes, None, &Default::default())?.with_gradient()?;
//! let add = Some(Gradient::Accumulate);
//! let fc_backward = fc.backward(&LinearGradients { grad_weight: add, ..LinearGradients::new() })?;
//! let params = FlatTensors::zeros(&gpu, &[[10, 576]])?;
//! let (grads, buffer) = (FlatTensors::zeros(&gpu, &[[10, 576]])?, FlatTensors::zeros(&gpu, &[[10, 576]])?);
//! let sgd = Sgd::new(params.whole().shape(), &SgdParams { momentum: 0.9, ..Default::default() })?;
//! let zero = Zero::new(grads.whole().shape())?;
//! gpu.warm_up(&[&zero, &fc, &loss, &fc_backward, &sgd])?;
//!
//! // Everything that a call reads or writes, and one workspace for all of them.
//! let zeros = |shape: &[usize]| Tensor::<f32>::zeros(&gpu, shape);
//! let (x, target) = (zeros(&[64, 576])?, Tensor::<i32>::zeros(&gpu, &[64])?);
//! let (logits, grad, of_loss) = (zeros(&[64, 10])?, zeros(&[64, 10])?, zeros(&[])?);
//! let (lr, count) = (Tensor::from_slice(&gpu, &[0.1], &[])?, zeros(&[])?);
//! let sizes = [fc.workspace_size(&gpu), loss.workspace_size(&gpu), fc_backward.workspace_size(&gpu), sgd.workspace_size(&gpu)];
//! let workspace = Tensor::<f32>::empty(&gpu, &[1 + *sizes.iter().max().unwrap() as usize / 4])?;
//!
//! for _ in 0..100 {
//!     // x.write(..)?, target.write(..)?, lr.write(..)?: before the slices, which submit what was written.
//!     let mut encoder = gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
//!     let mut recorder = gpu.record(&mut encoder);
//!     let workspace = Some(workspace.slice()?);
//!     zero.record(&mut recorder, &ZeroInputs { input: grads.whole().slice()? }, &NoOutputs {}, None)?;
//!     let inputs = LinearInputs::new(x.slice()?, params[0].slice()?);
//!     fc.record(&mut recorder, &inputs, &LinearOutputs { output: logits.slice()? }, workspace)?;
//!     let classes = CrossEntropyTarget::Classes(target.slice()?);
//!     let inputs = CrossEntropyInputs { input: logits.slice()?, target: classes, weight: None };
//!     let outputs = CrossEntropyOutputs { output: of_loss.slice()?, grad_input: Some(grad.slice()?) };
//!     loss.record(&mut recorder, &inputs, &outputs, workspace)?;
//!     let inputs = LinearBackwardInputs {
//!         input: Some(x.slice()?),
//!         grad_weight: Some(grads[0].slice()?),
//!         ..LinearBackwardInputs::new(grad.slice()?)
//!     };
//!     fc_backward.record(&mut recorder, &inputs, &LinearGradients::new(), workspace)?;
//!     let inputs = SgdInputs {
//!         momentum_buffer: Some(buffer.whole().slice()?),
//!         step: Some(count.slice()?),
//!         ..SgdInputs::new(params.whole().slice()?, grads.whole().slice()?, lr.slice()?)
//!     };
//!     sgd.record(&mut recorder, &inputs, &NoOutputs {}, workspace)?;
//!     drop(recorder);
//!     gpu.queue().submit([encoder.finish()]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ## Optimisers
//!
//! [`sgd`](crate::sgd()) and [`adam`](crate::adam()), which is AdamW by [`AdamParams::adamw`](crate::AdamParams::adamw), are
//! `torch.optim`'s: states have their names, and 50 steps are those of PyTorch's float64 to rounding. The learning rate and the
//! number of steps made are numbers on the device, so a schedule writes 4 bytes and plans nothing anew.
//! [`clip_grad_norm_`](crate::clip_grad_norm_) scales gradients down to a norm, and [`zero_`](crate::zero_) begins them anew;
//! neither reads anything back.
//!
//! **An optimiser goes over one array.** A kernel binds 4 to 8 buffers, so a list of 100 parameters would take from 25 to 50
//! dispatches. In [`FlatTensors`](crate::FlatTensors) they are ranges of one buffer, each of which is a tensor for any operator, and
//! a step takes one or two dispatches however many there are. A parameter with a buffer of its own is an array too: then the
//! step takes a call for each. Groups with other rates or decays are several `FlatTensors`.
//!
//! ## Dropout
//!
//! [`dropout`](crate::dropout()) draws its bits by a counter, from a seed and an offset that are data on the device. A call
//! adds to the offset, and returns what was there as `saved_generator`, from which the backward pass draws the same bits.
//! Nothing else is kept for it. The bits are documented: they are the same on every device.
//!
//! ## Memory
//!
//! A recorded step holds the parameters, their gradients, the states (one for momentum, two for adam), what forward must save
//! (see [gradients](crate::gradients)), and the gradients in between. The last two grow with the batch. For a larger batch than
//! fits, run several smaller ones before one optimiser step: gradients that are planned as
//! [`Gradient::Accumulate`](crate::operator::Gradient::Accumulate) add up. Eager calls take their memory from the
//! [`Gpu`](crate::Gpu), and give it back as tensors are dropped.
//!
//! ## Determinism
//!
//! **The same training gives the same weights, bit for bit**, on the same adapter: every forward pass, gradient and optimiser
//! does, eager or recorded, and with dropout if the generator begins alike. (The one exception is conv_transpose2d by
//! scatter-add, which must be asked for by name.) Only the order of the data and the first weights are the program's own.
//! A checkpoint needs the parameters, the running statistics, the optimiser's states and `step`, and the generator: then a
//! training that goes on gives the bits of one that did not stop.
//!
//! ## What is not there
//!
//! There is no autograd: nothing notes which calls were made. A program lives without it in one of two ways. It writes the
//! backward calls out, as above. Or it keeps its operators in a list, as the examples do in 200 lines
//! ([`examples/training/net.rs`](https://github.com/wgdnn/wgdnn/blob/main/examples/training/net.rs)):
//! [`AnyOperator::differentiable`](crate::AnyOperator::differentiable) plans a backward pass by name, its inputs have the names
//! of the forward call's inputs and outputs, and a value that several calls took gets the sum of their gradients.
//!
//! Nor are there groups of parameters, schedules, `amsgrad`, mixed precision, or gradients of gradients.
