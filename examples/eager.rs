//! Operators called eagerly on tensors.

use ndarray::{Array1, Array4};
use wgdnn::{Conv2dParams, Gpu, MaxPool2dParams, Tensor, conv2d, max_pool2d, reference, sigmoid};

fn main() -> Result<(), wgdnn::Error> {
    let gpu = Gpu::new_blocking()?;
    let pixels = Array4::from_shape_fn((1, 3, 32, 32), |(_, c, y, x)| (c + y * x) as f32 / 1024.0);
    let image = Tensor::from_array(&gpu, &pixels)?;
    let weight = Tensor::from_array(&gpu, &Array4::<f32>::ones((6, 3, 3, 3)))?;
    let bias = Tensor::from_array(&gpu, &Array1::<f32>::zeros(6))?;

    let params = Conv2dParams { stride: [2, 2], padding: [1, 1].into(), ..Default::default() };
    let features = sigmoid(&conv2d(&image, &weight, Some(&bias), &params)?)?;
    let pooled = max_pool2d(&features, &MaxPool2dParams::new([2, 2]))?;
    println!("{:?}", pooled.output.read_blocking()?); // Only this waits for the GPU.

    // The same on the CPU.
    let expected = reference::conv2d(&pixels, &Array4::ones((6, 3, 3, 3)), None, &params)?;
    assert_eq!(expected.shape(), features.shape());
    Ok(())
}
