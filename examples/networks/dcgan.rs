//! The generator of DCGAN: transposed convolutions that make an image of noise.

use wgdnn::{Activation, ConvTranspose2d, ConvTranspose2dParams};

use super::layers::weighted;
use super::network::{Network, Value};
use super::state::Result;

/// Images (N,3,64,64) of noise (N,100,1,1). `width` is the number of the last hidden layer's channels.
pub fn dcgan(net: &mut Network, noise: Value, width: usize) -> Result<Value> {
    let x = layer(net, noise, 0, 8 * width)?;
    let x = layer(net, x, 3, 4 * width)?;
    let x = layer(net, x, 6, 2 * width)?;
    let x = layer(net, x, 9, width)?;
    let shape = [width, 3, 4, 4];
    let (weight, bias) = net.state.weights("12", &shape, false, None, Some(1))?;
    let conv = ConvTranspose2d::new(&net.shapes[x], &shape, None, &doubling())?.with_activation(Activation::Tanh)?;
    let inputs = weighted(net, x, weight, bias)?;
    net.add(conv, &inputs)
}

/// A transposed convolution, its batch norm, and relu.
fn layer(net: &mut Network, x: Value, at: usize, channels: usize) -> Result<Value> {
    let shape = [net.shapes[x][1], channels, 4, 4];
    let norm = (at + 1).to_string();
    let (weight, bias) = net.state.weights(&at.to_string(), &shape, false, Some(&norm), Some(1))?;
    // The first layer makes 4 by 4 of a pixel.
    let params = if at == 0 { ConvTranspose2dParams::default() } else { doubling() };
    let conv = ConvTranspose2d::new(&net.shapes[x], &shape, Some(&[channels]), &params)?;
    let inputs = weighted(net, x, weight, bias)?;
    net.add(conv.with_activation(Activation::Relu)?, &inputs)
}

/// Rows and columns are doubled.
fn doubling() -> ConvTranspose2dParams {
    ConvTranspose2dParams { stride: [2, 2], padding: [1, 1].into(), ..Default::default() }
}
