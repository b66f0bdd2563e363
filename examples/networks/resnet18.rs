//! torchvision's resnet18.

use wgdnn::{Activation, MaxPool2dParams};

use super::layers::{Conv, averages, conv2d, linear, max_pool2d};
use super::network::{Network, Value};
use super::state::Result;

/// Scores of classes for images (N,3,H,W).
pub fn resnet18(net: &mut Network, image: Value, classes: usize) -> Result<Value> {
    let of = Conv { stride: 2, padding: 3, norm: Some("bn1"), activation: Some(Activation::Relu), ..CONV };
    let x = conv2d(net, image, "conv1", [64, 7], &of)?;
    let params = MaxPool2dParams { stride: Some([2, 2]), padding: [1, 1].into(), ..MaxPool2dParams::new([3, 3]) };
    let mut x = max_pool2d(net, x, &params)?;
    for (layer, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let stride = if layer > 0 && block == 0 { 2 } else { 1 };
            x = basic_block(net, x, &format!("layer{}.{block}", layer + 1), channels, stride)?;
        }
    }
    let x = averages(net, x, 1)?;
    linear(net, x, "fc", classes, None)
}

fn basic_block(net: &mut Network, x: Value, name: &str, channels: usize, stride: usize) -> Result<Value> {
    let part = |part: &str| format!("{name}.{part}");
    let skipped = if stride == 1 {
        x
    } else {
        let of = Conv { stride, norm: Some(&part("downsample.1")), ..CONV };
        conv2d(net, x, &part("downsample.0"), [channels, 1], &of)?
    };
    let of = Conv { padding: 1, activation: Some(Activation::Relu), ..CONV };
    let x = conv2d(net, x, &part("conv1"), [channels, 3], &Conv { stride, norm: Some(&part("bn1")), ..of })?;
    let of = Conv { residual: Some(skipped), norm: Some(&part("bn2")), ..of };
    conv2d(net, x, &part("conv2"), [channels, 3], &of)
}

/// Its convolutions have no bias of their own.
const CONV: Conv<'_> = Conv { has_bias: false, ..Conv::PLAIN };
