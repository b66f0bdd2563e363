//! # From PyTorch
//!
//! How a module of PyTorch's becomes calls of this crate, how its weights are loaded, and how the result is checked.
//! `examples/networks` has six whole networks: resnet18, mobilenet_v2, vgg11_bn, a U-Net, a DCGAN generator and MTCNN's
//! first network. Each is one short file. `cargo run --release --features cli --example networks -- resnet18
//! resnet18.safetensors` runs one on its weights, eagerly, or recorded (`--recorded`), or on the CPU (`--device cpu`).
//!
//! ## Modules and functions
//!
//! Names, parameters and defaults are those of `torch.nn.functional`. An operator is a function of tensors,
//! [`conv2d`](crate::conv2d), and a plan for known shapes, [`Conv2d`](crate::Conv2d), which is checked once, called often,
//! recorded, and has what PyTorch's function has not: an activation, a residual, an algorithm.
//!
//! | PyTorch | here | notes |
//! |---|---|---|
//! | `nn.Conv2d` | [`conv2d`](crate::conv2d) | `padding="same"` is `Padding::Same`; a mode of padding other than zeros is [`pad`](crate::pad) before it |
//! | `nn.ConvTranspose2d` | [`conv_transpose2d`](crate::conv_transpose2d) | instead of `output_size` give `output_padding` |
//! | `nn.Linear` | [`linear`](crate::linear) | over the last dimension, as there |
//! | `nn.BatchNorm1d`, `2d`, `3d` in `eval()` | [`fold_batch_norm`](crate::fold_batch_norm) once, or [`batch_norm`](crate::batch_norm) | fold it into the convolution or the linear before it; `num_batches_tracked` is not needed |
//! | `nn.BatchNorm2d` in `train()` | [`batch_norm`](crate::batch_norm) with `training: true` | running statistics are updated in place |
//! | `nn.ReLU`, `ReLU6`, `LeakyReLU`, `PReLU`, `Hardswish`, `SiLU`, `GELU`, `Tanh`, `Sigmoid` | `with_activation` of the operator before, or [`relu`](crate::relu), .. | `inplace=True` is [`relu_`](crate::relu_), .. |
//! | `x + y`, `torch.add` | `with_residual` of the operator that makes `x`, or [`add`](crate::add) | a fused residual is added before the activation |
//! | `nn.MaxPool2d`, `nn.AvgPool2d` | [`max_pool2d`](crate::max_pool2d), [`avg_pool2d`](crate::avg_pool2d) | |
//! | `nn.AdaptiveAvgPool2d` | [`adaptive_avg_pool2d`](crate::adaptive_avg_pool2d) | `(1, 1)` is `[Some(1), Some(1)]`; `None` keeps a length |
//! | `nn.Upsample`, `F.interpolate` | [`interpolate`](crate::interpolate) | nearest, nearest-exact, bilinear, area |
//! | `torch.cat`, `torch.permute`, `F.pad` | [`cat`](crate::cat), [`permute`](crate::permute), [`pad`](crate::pad) | `permute` makes a new tensor, as `.permute(..).contiguous()` does |
//! | `torch.flatten`, `nn.Flatten`, `x.view(..)` | [`flatten`](crate::flatten), [`Tensor::reshape`](crate::Tensor::reshape) | share the buffer; `nn.Flatten` begins at `start_dim` 1 |
//! | `nn.Softmax`, `nn.LogSoftmax` | [`softmax`](crate::softmax), [`log_softmax`](crate::log_softmax) | |
//! | `nn.CrossEntropyLoss`, `nn.NLLLoss`, `nn.MSELoss`, `nn.SmoothL1Loss`, `nn.BCEWithLogitsLoss` | [`cross_entropy`](crate::cross_entropy), [`nll_loss`](crate::nll_loss), [`mse_loss`](crate::mse_loss), [`smooth_l1_loss`](crate::smooth_l1_loss), [`binary_cross_entropy_with_logits`](crate::binary_cross_entropy_with_logits) | |
//! | `loss.backward()` | the backward pass of each operator, in reverse order: [`gradients`](crate::gradients) | there is no tape |
//! | `torchvision.ops.roi_pool` | [`roi_pool`](crate::roi_pool) | |
//! | `nn.Dropout` in `eval()`, `nn.Identity` | nothing | |
//! | `nn.Sequential`, `forward` | your own function | there is no module: call the operators in order |
//! | `x[:, :, 2:10]` | [`pad`](crate::pad) with negative numbers | cuts off on each side |
//! | `net.half()`, `.to("cuda")` | - | all is float32; a tensor is on the [`Gpu`](crate::Gpu) that it was made with |
//!
//! Not there yet: optimisers, `matmul` of two computed tensors, `mul` and other arithmetic than `add`, `mean` over dimensions of
//! your choice, `LayerNorm`, `GroupNorm`, convolutions and pools in 1 and 3 dimensions, `Embedding`, and recurrent layers. A
//! kernel of your own goes between calls by [`Gpu::record_own`](crate::Gpu::record_own).
//!
//! ## Weights
//!
//! In Python, write the state_dict as a safetensors file. An input and the output for it, computed in float64, are worth
//! having in it:
//!
//! ```python
//! import torch, torchvision
//! from safetensors.torch import save_file
//! net = torchvision.models.resnet18(weights="DEFAULT").eval()
//! x = torch.randn(1, 3, 224, 224)
//! weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
//! with torch.no_grad():
//!     y = net.double()(x.double()).float()
//! save_file({**weights, "input": x, "output": y}, "net.safetensors")
//! ```
//!
//! In Rust, the crate `safetensors` reads it. This is the first layer of a network: a convolution without a bias, its batch
//! norm and relu.
//!
//! ```no_run
//! use ndarray::ArrayD;
//! use safetensors::{Dtype, SafeTensors};
//! use wgdnn::{Activation, Conv2d, Conv2dInputs, Conv2dParams, FoldedBatchNorm, Gpu, Operator, Tensor};
//!
//! /// A tensor of a file, on the device.
//! fn load(gpu: &Gpu, file: &SafeTensors<'_>, name: &str) -> Result<Tensor, Box<dyn std::error::Error>> {
//!     let tensor = file.tensor(name)?; // Its error names the tensor.
//!     if tensor.dtype() != Dtype::F32 {
//!         return Err(format!("{name} holds {:?}, expected F32", tensor.dtype()).into());
//!     }
//!     let floats: Vec<f32> =
//!         tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
//!     Ok(Tensor::from_slice(gpu, &floats, tensor.shape())?)
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let gpu = Gpu::new_blocking()?;
//!     let bytes = std::fs::read("net.safetensors")?;
//!     let file = SafeTensors::deserialize(&bytes)?;
//!     let of = |name: &str| load(&gpu, &file, name);
//!
//!     // Once: the batch norm goes into the weight and the bias.
//!     let (mean, var) = (of("bn1.running_mean")?, of("bn1.running_var")?);
//!     let (scale, shift) = (of("bn1.weight")?, of("bn1.bias")?);
//!     let norm = FoldedBatchNorm { weight: Some(&scale), bias: Some(&shift), ..FoldedBatchNorm::new(&mean, &var) };
//!     let (weight, bias) = wgdnn::fold_batch_norm_blocking(&of("conv1.weight")?, None, &norm)?;
//!
//!     // Once: the operator.
//!     let image = of("input")?;
//!     let params = Conv2dParams { stride: [2, 2], padding: [3, 3].into(), ..Default::default() };
//!     let conv = Conv2d::new(image.shape(), weight.shape(), Some(bias.shape()), &params)?;
//!     let conv = conv.with_activation(Activation::Relu)?;
//!
//!     // As often as you like.
//!     let inputs = Conv2dInputs { bias: Some(&bias), ..Conv2dInputs::new(&image, &weight) };
//!     let features: ArrayD<f32> = conv.call(&inputs)?.output.read_blocking()?;
//!     println!("{:?}", features.shape());
//!     Ok(())
//! }
//! ```
//!
//! A program that keeps its layers in a list calls, records and computes them by the names of their arguments: see
//! [`AnyOperator`](crate::AnyOperator). `examples/networks/network.rs` does so. It also shows how the activations of a
//! recorded network share a few buffers.
//!
//! ## Speed
//!
//! - Plan operators once, and call them by [`Operator::call`](crate::Operator::call) or record them.
//! - Fold batch norms, and let activations and residuals be part of the operator before.
//! - Convolutions [with a packed weight](crate::Conv2d::with_packed_weight) transform it once, where their plan on the device
//!   transforms it at all. [`Conv2dAlgorithm::Fast`](crate::Conv2dAlgorithm::Fast) may choose an algorithm that rounds
//!   more.
//! - [`Gpu::profile`](crate::Gpu::profile) tells what each call takes on the GPU, and [`Operator::plan`](crate::Operator::plan)
//!   what runs. `--profile` of the example `networks` prints the first.
//!
//! ## Is it right?
//!
//! 1. Compare your output with the file's. Below 1e-5 of the largest output is usual for float32.
//! 2. Where it differs, run the program with `WGDNN_VALIDATE=1`, or call
//!    [`Gpu::set_validation`](crate::Gpu::set_validation). Every eager call is then computed on the CPU as well, and the
//!    first that the GPU computes differently fails, with operator, plan, shapes, element and both values. resnet18 takes
//!    half a second a pass for it on two cores. If nothing fails, the GPU is right, and your program calls something that
//!    the module does not.
//! 3. Then compare layer by layer: [`reference`](crate::reference) has every operator on arrays, and a forward hook in
//!    PyTorch (`module.register_forward_hook`) has every layer's output.
//!
//! What bites: `eval()` was not called before the export, so batch norm takes statistics of the batch; an `eps` other than
//! 1e-5; `ceil_mode`; `count_include_pad`; channels last (`x.permute(0, 2, 3, 1)`) before a `flatten`; a weight that is shared
//! by two layers, which safetensors wants once.
