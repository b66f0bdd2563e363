//! The first network of MTCNN, which looks for faces of 12 by 12 pixels everywhere.

use wgdnn::MaxPool2dParams;

use super::layers::{Conv, cat, conv2d, max_pool2d, softmax};
use super::network::{Network, Value};
use super::state::Result;

/// For each window of images (N,3,H,W): whether it is no face, whether it is one, and 4 corrections of its box.
pub fn pnet(net: &mut Network, image: Value) -> Result<Value> {
    let x = conv2d(net, image, "conv1", [10, 3], &Conv { prelu: Some("prelu1"), ..Conv::PLAIN })?;
    let x = max_pool2d(net, x, &MaxPool2dParams { ceil_mode: true, ..MaxPool2dParams::new([2, 2]) })?;
    let x = conv2d(net, x, "conv2", [16, 3], &Conv { prelu: Some("prelu2"), ..Conv::PLAIN })?;
    let x = conv2d(net, x, "conv3", [32, 3], &Conv { prelu: Some("prelu3"), ..Conv::PLAIN })?;
    let faces = conv2d(net, x, "conv4_1", [2, 1], &Conv::PLAIN)?;
    let faces = softmax(net, faces)?;
    let boxes = conv2d(net, x, "conv4_2", [4, 1], &Conv::PLAIN)?;
    cat(net, &[faces, boxes])
}
