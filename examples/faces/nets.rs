//! The networks of MTCNN that look at one window each. For a window each returns whether it is no face, whether it is one, 4
//! corrections of its box, and the last also 5 points: their columns, then their rows.

use wgdnn::{MaxPool2dParams, Permute, PermuteParams, Prelu};

use super::layers::{Conv, cat, conv2d, flatten, linear, max_pool2d, softmax};
use super::network::{Network, Value};
use super::state::Result;

/// For windows (N,3,24,24).
pub fn rnet(net: &mut Network, windows: Value) -> Result<Value> {
    let x = conv(net, windows, 1, [28, 3])?;
    let x = max_pool2d(net, x, &pool(3))?;
    let x = conv(net, x, 2, [48, 3])?;
    let x = max_pool2d(net, x, &pool(3))?;
    let x = conv(net, x, 3, [64, 2])?;
    let x = dense(net, x, 4, 128)?;
    let faces = linear(net, x, "dense5_1", 2, None)?;
    let faces = softmax(net, faces)?;
    let boxes = linear(net, x, "dense5_2", 4, None)?;
    cat(net, &[faces, boxes])
}

/// For windows (N,3,48,48).
pub fn onet(net: &mut Network, windows: Value) -> Result<Value> {
    let x = conv(net, windows, 1, [32, 3])?;
    let x = max_pool2d(net, x, &pool(3))?;
    let x = conv(net, x, 2, [64, 3])?;
    let x = max_pool2d(net, x, &pool(3))?;
    let x = conv(net, x, 3, [64, 3])?;
    let x = max_pool2d(net, x, &pool(2))?;
    let x = conv(net, x, 4, [128, 2])?;
    let x = dense(net, x, 5, 256)?;
    let faces = linear(net, x, "dense6_1", 2, None)?;
    let faces = softmax(net, faces)?;
    let boxes = linear(net, x, "dense6_2", 4, None)?;
    let points = linear(net, x, "dense6_3", 10, None)?;
    cat(net, &[faces, boxes, points])
}

fn pool(size: usize) -> MaxPool2dParams {
    MaxPool2dParams { stride: Some([2, 2]), ceil_mode: true, ..MaxPool2dParams::new([size, size]) }
}

fn conv(net: &mut Network, x: Value, at: usize, [channels, kernel]: [usize; 2]) -> Result<Value> {
    let prelu = format!("prelu{at}");
    conv2d(net, x, &format!("conv{at}"), [channels, kernel], &Conv { prelu: Some(&prelu), ..Conv::PLAIN })
}

/// A linear layer of all elements, columns first and channels last, as the weights were trained, and its prelu.
fn dense(net: &mut Network, x: Value, at: usize, features: usize) -> Result<Value> {
    let params = PermuteParams::new(vec![0, 3, 2, 1]);
    let x = net.add(Permute::new(&net.shapes[x], &params)?, &[("input", x)])?;
    let x = flatten(net, x)?;
    let x = linear(net, x, &format!("dense{at}"), features, None)?;
    let slopes = net.state.take(&format!("prelu{at}.weight"), &[features])?;
    let prelu = Prelu::new(&net.shapes[x], &[features])?;
    let slopes = net.keep(slopes)?;
    net.add(prelu, &[("input", x), ("weight", slopes)])
}
