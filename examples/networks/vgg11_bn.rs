//! torchvision's vgg11_bn.

use wgdnn::{Activation, MaxPool2dParams};

use super::layers::{Conv, averages, conv2d, linear, max_pool2d};
use super::network::{Network, Value};
use super::state::Result;

/// Scores of classes for images (N,3,H,W). `width` is the number of the first layer's channels: torchvision's is 64.
pub fn vgg11_bn(net: &mut Network, image: Value, width: usize, classes: usize) -> Result<Value> {
    let (mut x, mut at) = (image, 0);
    for [convolutions, factor] in [[1, 1], [1, 2], [2, 4], [2, 8], [2, 8]] {
        for _ in 0..convolutions {
            let norm = format!("features.{}", at + 1);
            let of = Conv { padding: 1, norm: Some(&norm), activation: Some(Activation::Relu), ..Conv::PLAIN };
            x = conv2d(net, x, &format!("features.{at}"), [factor * width, 3], &of)?;
            at += 3;
        }
        x = max_pool2d(net, x, &MaxPool2dParams::new([2, 2]))?;
        at += 1;
    }
    let x = averages(net, x, 7)?;
    let x = linear(net, x, "classifier.0", 64 * width, Some(Activation::Relu))?;
    let x = linear(net, x, "classifier.3", 64 * width, Some(Activation::Relu))?;
    linear(net, x, "classifier.6", classes, None)
}
