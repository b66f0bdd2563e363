//! The networks of the examples.

use super::layers::*;
use super::net::{Net, Result, Value};

/// A classifier of digits, for images of this size.
pub struct Digits {
    pub image: Value,
    pub logits: Value,
}

pub fn digits(net: &mut Net, batch: usize, size: usize) -> Result<Digits> {
    let image = net.input(&[batch, 1, size, size]);
    let mut x = image;
    for (index, channels) in [16, 32].into_iter().enumerate() {
        x = conv2d(net, x, &format!("conv{}", index + 1), [channels, 3])?;
        x = batch_norm(net, x, &format!("bn{}", index + 1))?;
        x = relu(net, x)?;
        x = max_pool2d(net, x)?;
    }
    Ok(Digits { image, logits: linear(net, x, "fc", 10)? })
}

/// A convolution, normalized and cut off at 0.
fn block(net: &mut Net, x: Value, name: &str, channels: usize) -> Result<Value> {
    let x = conv2d(net, x, &format!("{name}.conv"), [channels, 3])?;
    let x = batch_norm(net, x, &format!("{name}.bn"))?;
    relu(net, x)
}

/// A U-Net of two levels: image and logits of a mask.
pub fn unet(net: &mut Net, batch: usize, size: usize) -> Result<[Value; 2]> {
    let image = net.input(&[batch, 1, size, size]);
    let first = block(net, image, "enc1", 8)?;
    let x = max_pool2d(net, first)?;
    let second = block(net, x, "enc2", 16)?;
    let x = max_pool2d(net, second)?;
    let mut x = block(net, x, "mid", 32)?;
    for (level, skipped, channels) in [(2, second, 16), (1, first, 8)] {
        x = conv_transpose2d(net, x, &format!("up{level}"), channels)?;
        x = cat(net, [x, skipped])?;
        x = block(net, x, &format!("dec{level}"), channels)?;
    }
    Ok([image, conv2d(net, x, "out", [1, 1])?])
}
