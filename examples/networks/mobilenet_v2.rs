//! torchvision's mobilenet_v2.

use wgdnn::Activation;

use super::layers::{Conv, averages, conv2d, linear};
use super::network::{Network, Value};
use super::state::Result;

/// The expansion, the channels and the number of blocks, and the stride of the first.
const BLOCKS: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// Scores of classes for images (N,3,H,W). `width_mult` scales the numbers of channels.
pub fn mobilenet_v2(net: &mut Network, image: Value, width_mult: f64, classes: usize) -> Result<Value> {
    let scaled = |channels: usize| multiple_of_8(channels as f64 * width_mult);
    let mut x = conv_relu6(net, image, "features.0", [scaled(32), 3, 2, 1])?;
    let mut at = 1;
    for [expansion, channels, blocks, stride] in BLOCKS {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted_residual(net, x, &format!("features.{at}.conv"), [expansion, scaled(channels), stride])?;
            at += 1;
        }
    }
    let last = multiple_of_8(1280.0 * width_mult.max(1.0));
    let x = conv_relu6(net, x, &format!("features.{at}"), [last, 1, 1, 1])?;
    let x = averages(net, x, 1)?;
    linear(net, x, "classifier.1", classes, None)
}

/// The nearest multiple of 8 that is not below 90 % of the number.
fn multiple_of_8(number: f64) -> usize {
    let nearest = ((number + 4.0) as usize / 8 * 8).max(8);
    if (nearest as f64) < 0.9 * number { nearest + 8 } else { nearest }
}

/// Channels are made many, each is convolved on its own, and they are made few again.
fn inverted_residual(
    net: &mut Network,
    x: Value,
    name: &str,
    [expansion, channels, stride]: [usize; 3],
) -> Result<Value> {
    let (of_input, mut at, mut inner) = (net.shapes[x][1], 0, x);
    let hidden = of_input * expansion;
    if expansion > 1 {
        inner = conv_relu6(net, x, &format!("{name}.0"), [hidden, 1, 1, 1])?;
        at = 1;
    }
    inner = conv_relu6(net, inner, &format!("{name}.{at}"), [hidden, 3, stride, hidden])?;
    let residual = (stride == 1 && of_input == channels).then_some(x);
    let norm = format!("{name}.{}", at + 2);
    let of = Conv { has_bias: false, norm: Some(&norm), residual, ..Conv::PLAIN };
    conv2d(net, inner, &format!("{name}.{}", at + 1), [channels, 1], &of)
}

fn conv_relu6(
    net: &mut Network,
    x: Value,
    name: &str,
    [channels, kernel, stride, groups]: [usize; 4],
) -> Result<Value> {
    let norm = format!("{name}.1");
    let of = Conv { stride, padding: kernel / 2, groups, has_bias: false, norm: Some(&norm), ..Conv::PLAIN };
    conv2d(net, x, &format!("{name}.0"), [channels, kernel], &Conv { activation: Some(Activation::Relu6), ..of })
}
