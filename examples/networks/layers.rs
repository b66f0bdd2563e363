//! Layers that several of the networks have, under the names of PyTorch's state_dict.

use wgdnn::ndarray::ArrayD;
use wgdnn::operator::Name;
use wgdnn::*;

use super::network::{Network, Value};
use super::state::Result;

/// A convolution, and what follows it in the same operator, in this order.
#[derive(Clone, Copy)]
pub struct Conv<'a> {
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub has_bias: bool,
    /// The name of a batch norm, which is folded into the weight and the bias.
    pub norm: Option<&'a str>,
    pub residual: Option<Value>,
    pub activation: Option<Activation>,
    /// The name of a prelu with a slope for each channel.
    pub prelu: Option<&'a str>,
}

impl Conv<'_> {
    /// PyTorch's defaults.
    pub const PLAIN: Self = Conv {
        stride: 1,
        padding: 0,
        groups: 1,
        has_bias: true,
        norm: None,
        residual: None,
        activation: None,
        prelu: None,
    };
}

/// The inputs of a layer with a weight.
pub fn weighted(
    net: &mut Network,
    x: Value,
    weight: ArrayD<f32>,
    bias: Option<ArrayD<f32>>,
) -> Result<Vec<(&'static str, Value)>> {
    let mut inputs = vec![("input", x), ("weight", net.keep(weight)?)];
    if let Some(bias) = bias {
        inputs.push(("bias", net.keep(bias)?));
    }
    Ok(inputs)
}

pub fn conv2d(net: &mut Network, x: Value, name: &str, [channels, kernel]: [usize; 2], of: &Conv<'_>) -> Result<Value> {
    let shape = [channels, net.shapes[x][1] / of.groups, kernel, kernel];
    let (weight, bias) = net.state.weights(name, &shape, of.has_bias, of.norm, None)?;
    let padding = [of.padding; 2].into();
    let params = Conv2dParams { stride: [of.stride; 2], padding, groups: of.groups, ..Default::default() };
    let mut conv = Conv2d::new(&net.shapes[x], &shape, bias.as_ref().map(|bias| bias.shape()), &params)?;
    // It rounds a little more than `Auto`, which does not show in a network's output.
    conv = conv.with_algorithm(Conv2dAlgorithm::Fast)?;
    let mut inputs = weighted(net, x, weight, bias)?;
    if let Some(residual) = of.residual {
        conv = conv.with_residual();
        inputs.push(("residual", residual));
    }
    if let Some(activation) = of.activation {
        conv = conv.with_activation(activation)?;
    }
    if let Some(prelu) = of.prelu {
        conv = conv.with_activation(Activation::Prelu { num_parameters: channels })?;
        let slopes = net.state.take(&format!("{prelu}.weight"), &[channels])?;
        inputs.push(("activation_weight", net.keep(slopes)?));
    }
    // Where a plan on this device uses a packed weight, it is packed once.
    net.add(conv.with_packed_weight(), &inputs)
}

pub fn linear(
    net: &mut Network,
    x: Value,
    name: &str,
    features: usize,
    activation: Option<Activation>,
) -> Result<Value> {
    let shape = [features, net.shapes[x][1]];
    let (weight, bias) = net.state.weights(name, &shape, true, None, None)?;
    let mut linear = Linear::new(&net.shapes[x], &shape, Some(&[features]))?;
    let inputs = weighted(net, x, weight, bias)?;
    if let Some(activation) = activation {
        linear = linear.with_activation(activation)?;
    }
    net.add(linear, &inputs)
}

pub fn max_pool2d(net: &mut Network, x: Value, params: &MaxPool2dParams) -> Result<Value> {
    net.add(MaxPool2d::new(&net.shapes[x], params)?, &[("input", x)])
}

/// The mean of areas, as many as `size` by `size` of each channel, and all of an image's in one row.
pub fn averages(net: &mut Network, x: Value, size: usize) -> Result<Value> {
    let params = AdaptiveAvgPool2dParams::new([Some(size); 2]);
    let x = net.add(AdaptiveAvgPool2d::new(&net.shapes[x], &params)?, &[("input", x)])?;
    flatten(net, x)
}

/// All of an image's elements in one row.
pub fn flatten(net: &mut Network, x: Value) -> Result<Value> {
    let params = FlattenParams { start_dim: 1, ..Default::default() };
    net.add(Flatten::new(&net.shapes[x], &params)?, &[("input", x)])
}

/// Joins the channels of values.
pub fn cat(net: &mut Network, values: &[Value]) -> Result<Value> {
    let shapes: Vec<_> = values.iter().map(|value| &net.shapes[*value][..]).collect();
    let joined = Cat::new(&shapes, &CatParams { dim: 1 })?;
    let tensors =
        values.iter().enumerate().map(|(index, value)| (Name { field: "tensors", index: Some(index) }, *value));
    net.add(joined, &tensors.collect::<Vec<_>>())
}

pub fn softmax(net: &mut Network, x: Value) -> Result<Value> {
    net.add(Softmax::new(&net.shapes[x], &SoftmaxParams::new(1))?, &[("input", x)])
}
