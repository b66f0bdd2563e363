//! A U-Net of four levels: convolutions on the way down and up, and transposed convolutions between levels.

use wgdnn::{Activation, ConvTranspose2d, ConvTranspose2dParams, MaxPool2dParams};

use super::layers::{Conv, cat, conv2d, max_pool2d, weighted};
use super::network::{Network, Value};
use super::state::Result;

/// Scores of 3 classes for each pixel of images (N,3,H,W). `width` is the number of the first level's channels.
pub fn unet(net: &mut Network, image: Value, width: usize) -> Result<Value> {
    let (mut x, mut kept) = (image, Vec::new());
    for level in 0..4 {
        if level > 0 {
            x = max_pool2d(net, x, &MaxPool2dParams::new([2, 2]))?;
        }
        x = double_conv(net, x, &format!("down.{level}"), width << level)?;
        kept.push(x);
    }
    for (step, level) in [2, 1, 0].into_iter().enumerate() {
        x = up(net, x, &format!("up.{step}"), width << level)?;
        x = cat(net, &[kept[level], x])?;
        x = double_conv(net, x, &format!("join.{step}"), width << level)?;
    }
    conv2d(net, x, "head", [3, 1], &Conv::PLAIN)
}

/// Two convolutions, each with its batch norm and relu.
fn double_conv(net: &mut Network, mut x: Value, name: &str, channels: usize) -> Result<Value> {
    for at in [0, 3] {
        let norm = format!("{name}.{}", at + 1);
        let of = Conv { padding: 1, has_bias: false, norm: Some(&norm), ..Conv::PLAIN };
        let of = Conv { activation: Some(Activation::Relu), ..of };
        x = conv2d(net, x, &format!("{name}.{at}"), [channels, 3], &of)?;
    }
    Ok(x)
}

/// A transposed convolution that doubles rows and columns.
fn up(net: &mut Network, x: Value, name: &str, channels: usize) -> Result<Value> {
    let shape = [net.shapes[x][1], channels, 2, 2];
    let (weight, bias) = net.state.weights(name, &shape, true, None, Some(1))?;
    let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
    let conv = ConvTranspose2d::new(&net.shapes[x], &shape, Some(&[channels]), &params)?;
    let inputs = weighted(net, x, weight, bias)?;
    net.add(conv, &inputs)
}
