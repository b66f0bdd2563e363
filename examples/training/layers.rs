//! Layers, with the parameters, the first values and the names that PyTorch gives them.

use wgdnn::operator::Name;
use wgdnn::*;

use super::net::{Init, Net, Result, Value};

/// The weight and the bias of a layer. Both begin as PyTorch's do, by how many inputs an output has.
fn weights(net: &mut Net, name: &str, shape: &[usize], inputs: usize, outputs: usize) -> [Value; 2] {
    let init = Init::Uniform(1.0 / (inputs as f32).sqrt());
    let weight = net.parameter(format!("{name}.weight"), shape, init);
    [weight, net.parameter(format!("{name}.bias"), &[outputs], init)]
}

/// A convolution that keeps rows and columns.
pub fn conv2d(net: &mut Net, x: Value, name: &str, [channels, kernel]: [usize; 2]) -> Result<Value> {
    let shape = [channels, net.shape(x)[1], kernel, kernel];
    let [weight, bias] = weights(net, name, &shape, shape[1..].iter().product(), channels);
    let params = Conv2dParams { padding: [kernel / 2; 2].into(), ..Default::default() };
    let conv = Conv2d::new(net.shape(x), &shape, Some(&[channels]), &params)?;
    Ok(net.add(conv, &[("input", x), ("weight", weight), ("bias", bias)])[0])
}

/// A transposed convolution that doubles rows and columns.
pub fn conv_transpose2d(net: &mut Net, x: Value, name: &str, channels: usize) -> Result<Value> {
    let shape = [net.shape(x)[1], channels, 2, 2];
    // PyTorch counts the inputs as if it were a convolution.
    let [weight, bias] = weights(net, name, &shape, shape[1..].iter().product(), channels);
    let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
    let conv = ConvTranspose2d::new(net.shape(x), &shape, Some(&[channels]), &params)?;
    Ok(net.add(conv, &[("input", x), ("weight", weight), ("bias", bias)])[0])
}

pub fn batch_norm(net: &mut Net, x: Value, name: &str) -> Result<Value> {
    let channels = [net.shape(x)[1]];
    let weight = net.parameter(format!("{name}.weight"), &channels, Init::Constant(1.0));
    let bias = net.parameter(format!("{name}.bias"), &channels, Init::Constant(0.0));
    let mean = net.statistic(format!("{name}.running_mean"), &channels, Init::Constant(0.0));
    let var = net.statistic(format!("{name}.running_var"), &channels, Init::Constant(1.0));
    let some = Some(&channels[..]);
    let shapes = BatchNormInputs {
        running_mean: some,
        running_var: some,
        weight: some,
        bias: some,
        ..BatchNormInputs::new(net.shape(x))
    };
    let params = BatchNormParams { training: net.training, ..Default::default() };
    let norm = BatchNorm::new(&shapes, &params)?;
    let norm = if net.training { norm.with_saved_statistics()? } else { norm };
    let inputs = [("input", x), ("running_mean", mean), ("running_var", var), ("weight", weight), ("bias", bias)];
    Ok(net.add(norm, &inputs)[0])
}

pub fn relu(net: &mut Net, x: Value) -> Result<Value> {
    let relu = Relu::new(net.shape(x))?;
    Ok(net.add(relu, &[("input", x)])[0])
}

/// The largest of 2 by 2.
pub fn max_pool2d(net: &mut Net, x: Value) -> Result<Value> {
    let params = MaxPool2dParams { return_indices: net.training, ..MaxPool2dParams::new([2, 2]) };
    let pool = MaxPool2d::new(net.shape(x), &params)?;
    Ok(net.add(pool, &[("input", x)])[0])
}

/// Joins the channels of two values.
pub fn cat(net: &mut Net, values: [Value; 2]) -> Result<Value> {
    let joined = Cat::new(&values.map(|value| net.shape(value)), &CatParams { dim: 1 })?;
    let tensors = [0, 1].map(|index| (Name { field: "tensors", index: Some(index) }, values[index]));
    Ok(net.add(joined, &tensors)[0])
}

/// A linear layer of all elements of an image.
pub fn linear(net: &mut Net, x: Value, name: &str, features: usize) -> Result<Value> {
    let flatten = Flatten::new(net.shape(x), &FlattenParams { start_dim: 1, ..Default::default() })?;
    let x = net.add(flatten, &[("input", x)])[0];
    let shape = [features, net.shape(x)[1]];
    let [weight, bias] = weights(net, name, &shape, shape[1], features);
    let linear = Linear::new(net.shape(x), &shape, Some(&[features]))?;
    Ok(net.add(linear, &[("input", x), ("weight", weight), ("bias", bias)])[0])
}

/// The mean loss of class indices, which returns its gradient in the same call.
pub fn cross_entropy(net: &mut Net, logits: Value, target: Value) -> Result<Value> {
    let classes = CrossEntropyTarget::Classes(net.shape(target));
    let loss = CrossEntropy::new(net.shape(logits), classes, None, &Default::default())?.with_gradient()?;
    Ok(net.add(loss, &[("input", logits), ("target", target)])[0])
}

/// The mean loss of logits, where the target is 0 or 1.
pub fn binary_cross_entropy_with_logits(net: &mut Net, logits: Value, target: Value) -> Result<Value> {
    let shapes = BinaryCrossEntropyWithLogitsInputs::new(net.shape(logits), net.shape(target));
    let loss = BinaryCrossEntropyWithLogits::new(&shapes, &Default::default())?;
    Ok(net.add(loss, &[("input", logits), ("target", target)])[0])
}
