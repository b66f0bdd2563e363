//! # Gradients
//!
//! Every operator has its backward pass, but for those that update parameters: a plan like any other, called on tensors or
//! recorded on your own buffers. There is no tape. Your program calls the backward passes in the reverse order of its forward calls.
//!
//! ```no_run
//! # fn main() -> Result<(), wgdnn::Error> {
//! use wgdnn::operator::{Differentiable, Gradient};
//! use wgdnn::{Conv2d, Conv2dBackwardInputs, Conv2dGradients, Conv2dInputs, Gpu, Operator, Tensor};
//! use wgdnn::{Relu, UnaryBackwardInputs, UnaryInputs};
//!
//! let gpu = Gpu::new_blocking()?;
//! let conv = Conv2d::new(&[8, 3, 32, 32], &[16, 3, 3, 3], None, &Default::default())?;
//! let relu = Relu::new(conv.output_shape())?;
//!
//! // Plan once. The image is no parameter, so its gradient is not wanted and not computed; that of the weight is added to
//! // what is there.
//! let wanted = Conv2dGradients { grad_weight: Some(Gradient::Accumulate), ..Conv2dGradients::new() };
//! let conv_backward = conv.backward(&wanted)?;
//! let relu_backward = relu.backward_of_all()?;
//!
//! let (image, weight) = (Tensor::zeros(&gpu, &[8, 3, 32, 32])?, Tensor::zeros(&gpu, &[16, 3, 3, 3])?);
//! let grad_weight = Tensor::zeros(&gpu, &[16, 3, 3, 3])?;
//! let features = conv.call(&Conv2dInputs::new(&image, &weight))?.output;
//! let output = relu.call(&UnaryInputs { input: &features })?.output;
//!
//! // From the loss, its gradient with respect to `output`.
//! let grad_output = Tensor::zeros(&gpu, output.shape())?;
//! let inputs = UnaryBackwardInputs { output: Some(&output), ..UnaryBackwardInputs::new(&grad_output) };
//! let grad_features = relu_backward.call(&inputs)?.grad_input.unwrap();
//! conv_backward.call(&Conv2dBackwardInputs {
//!     input: Some(&image),
//!     grad_weight: Some(&grad_weight),
//!     ..Conv2dBackwardInputs::new(&grad_features)
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Recorded on your own buffers, a backward pass is like any other operator. What it adds to is among its inputs:
//!
//! ```no_run
//! # fn main() -> Result<(), wgdnn::Error> {
//! use wgdnn::operator::{Differentiable, Gradient};
//! use wgdnn::wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor};
//! use wgdnn::{Conv2d, Conv2dBackwardInputs, Conv2dGradients, Gpu, Operator};
//!
//! let gpu = Gpu::new_blocking()?;
//! let conv = Conv2d::new(&[8, 3, 32, 32], &[16, 3, 3, 3], None, &Default::default())?;
//! let wanted = Conv2dGradients {
//!     grad_input: Some(Gradient::Write),
//!     grad_weight: Some(Gradient::Accumulate),
//!     ..Conv2dGradients::new()
//! };
//! let backward = conv.backward(&wanted)?;
//! backward.warm_up(&gpu)?;
//!
//! let (slots, usage) = (backward.slots(&gpu), BufferUsages::STORAGE);
//! let buffer = |size| {
//!     let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
//!     gpu.device().create_buffer(&descriptor)
//! };
//! let of_slot = |slot: &Option<wgdnn::Slot>| buffer(slot.as_ref().map_or(4, |slot| slot.bytes()));
//! let (grad_output, workspace) = (buffer(slots.inputs.grad_output.bytes()), buffer(slots.workspace_size().max(4)));
//! let (input, weight) = (of_slot(&slots.inputs.input), of_slot(&slots.inputs.weight));
//! let (grad_input, grad_weight) = (of_slot(&slots.outputs.grad_input), of_slot(&slots.inputs.grad_weight));
//!
//! let mut encoder = gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
//! let inputs = Conv2dBackwardInputs {
//!     input: Some(input.slice(..)),
//!     weight: Some(weight.slice(..)),
//!     grad_weight: Some(grad_weight.slice(..)),
//!     ..Conv2dBackwardInputs::new(grad_output.slice(..))
//! };
//! let outputs = Conv2dGradients { grad_input: Some(grad_input.slice(..)), ..Conv2dGradients::new() };
//! backward.record(&mut gpu.record(&mut encoder), &inputs, &outputs, Some(workspace.slice(..)))?;
//! gpu.queue().submit([encoder.finish()]);
//! # Ok(())
//! # }
//! ```
//!
//! For a single call there are functions: [`conv2d_backward`](crate::conv2d_backward),
//! [`relu_backward`](crate::relu_backward), .. Each says its formula.
//!
//! ## What is planned
//!
//! [`Differentiable::backward`](crate::operator::Differentiable::backward) takes the gradients that are wanted, in a struct
//! with a field for each: `None`, [`Gradient::Write`](crate::operator::Gradient::Write) or
//! [`Gradient::Accumulate`](crate::operator::Gradient::Accumulate). A gradient that is not wanted costs nothing, and what only it needs
//! is no argument: `grad_weight` of a convolution needs the input, `grad_input` the weight, `grad_bias` neither. A gradient
//! to be written is an output. One to be added is an input of the same name, which the call updates in place: the weights
//! of a network that are used twice, or the batches of a larger one.
//!
//! A plan tells its [`slots`](crate::Operator::slots) and its workspace before anything runs, and nothing is computed that
//! it does not say. [`AnyOperator::differentiable`](crate::AnyOperator::differentiable) plans by names, for programs that
//! keep their operators in a list.
//!
//! ## What forward must save
//!
//! | operator | the gradient is computed from |
//! |---|---|
//! | relu, relu6, tanh, sigmoid, softmax, log_softmax | its output |
//! | leaky_relu, prelu, hardswish, silu, gelu | its input |
//! | max_pool2d | `indices`: set `return_indices` |
//! | roi_pool | `argmax`: [`RoiPool::with_argmax`](crate::RoiPool::with_argmax) |
//! | batch_norm in training | the input, `saved_mean` and `saved_invstd`: [`BatchNorm::with_saved_statistics`](crate::BatchNorm::with_saved_statistics) |
//! | batch_norm in inference | the running statistics, and the input for the weight's gradient |
//! | conv2d, conv_transpose2d, linear | the input, for the weight's gradient, and the weight, for the input's |
//! | the losses | the inputs |
//! | dropout | `saved_generator` |
//! | all others | nothing |
//!
//! An operator that applies an activation, or adds a residual, in the same pass does not keep what the activation's gradient
//! needs, so it has none: planning it is an error that says so. Train with separate operators, and fuse for inference.
//!
//! ## Determinism
//!
//! **Every backward pass, by every algorithm, gives the same bits on every call with the same arguments on the same
//! adapter**, whatever buffers held before. No gradient is added by atomics: each element is computed by one invocation,
//! or by several whose sums are added in an order that follows from the shapes and the plan alone. (The only operation of
//! this crate that promises less is the forward pass of conv_transpose2d by scatter-add, which must be asked for by name.)
//!
//! Others promise less. In PyTorch's
//! [deterministic mode](https://pytorch.org/docs/2.11/generated/torch.use_deterministic_algorithms.html) on CUDA, nll_loss on
//! images and the backward passes of adaptive_avg_pool2d, bilinear interpolate, reflecting pad and torchvision's
//! roi_pool raise an error. cuDNN's
//! [notes on reproducibility](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/developer/misc.html#reproducibility-determinism)
//! except algorithms of the convolutions' backward passes and that of max pooling. Like them, this crate promises no same
//! bits across adapters, drivers and versions.
//!
//! ## Accuracy
//!
//! Sums over pixels and batches are taken in two levels or as pairs of float32, so that a million terms add no more than a
//! few roundings. The tests hold every gradient within 4 times PyTorch's own float32 error against its float64 autograd, or
//! within 2^-22 of the magnitudes that add up to it (2^-21, where there is a division or a function of a number).
