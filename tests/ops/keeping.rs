//! What is kept: by the pool, and by the process.

use ndarray::{Array2, Array4};
use wgdnn::{
    AvgPool2dParams, BatchNormInputs, BatchNormParams, Boxes, Conv2dParams, Gpu, MaxPool2dParams, Memory,
    MseLossParams, RoiPoolParams, Tensor, avg_pool2d, batch_norm, conv2d, max_pool2d, mse_loss, roi_pool, sigmoid,
};

use crate::faults::memory::run_alone;
use crate::harness::portable_gpu;

/// What may be kept however little is live.
const KEPT_BYTES: u64 = 4 << 20;

fn upload(gpu: &Gpu, shape: [usize; 4]) -> Tensor {
    Tensor::from_array(gpu, &Array4::<f32>::zeros(shape)).unwrap()
}

/// One pass of a few operators over an image, which is not read back.
fn pass(gpu: &Gpu, size: usize) -> Tensor {
    let features = sigmoid(&upload(gpu, [1, 4, size, size])).unwrap();
    let params = MaxPool2dParams { stride: Some([1, 1]), ..MaxPool2dParams::new([2, 2]) };
    let features = sigmoid(&max_pool2d(&features, &params).unwrap().output).unwrap();
    avg_pool2d(&features, &AvgPool2dParams::new([2, 2])).unwrap()
}

#[track_caller]
fn expect_within(memory: Memory, factor: u64, peak: u64) {
    assert!(memory.live + memory.pooled <= (factor * peak).max(KEPT_BYTES), "{memory:?}, recent peak {peak}");
}

/// Images of twelve sizes, one after another: what the ones before took goes.
#[test]
fn sizes_that_are_gone_leave_no_memory_behind() {
    let gpu = portable_gpu();
    for passes in [1, 5] {
        for size in 1..=12 {
            for _ in 0..passes {
                pass(&gpu, 50 * size).read_blocking().unwrap();
                expect_within(gpu.memory(), 3, gpu.memory().peak);
            }
        }
        // Nothing is in use any more, and only the last sizes' buffers are kept.
        println!("{passes} passes of each of twelve sizes: {:?}", gpu.memory());
        (0..5).for_each(|_| drop(pass(&gpu, 600).read_blocking().unwrap()));
        println!("and some more of the last: {:?}", gpu.memory());
        expect_within(gpu.memory(), 2, gpu.memory().peak);
    }
    let peak = gpu.memory().peak;
    assert!(peak > 16 << 20 && gpu.memory().pooled > peak);
    // A program that goes on with small images gives it all back.
    for _ in 0..32 {
        pass(&gpu, 50).read_blocking().unwrap();
    }
    expect_within(gpu.memory(), 2, 0);
}

/// What the pool lets go wgpu lets go too: no bind group that is kept for later holds it.
#[test]
fn buffers_that_are_let_go_are_held_by_nothing() {
    let gpu = portable_gpu();
    let id = |line: &String| line.rsplit(' ').next().unwrap().to_owned();
    let ((), lines) = crate::api::lines(|| (0..10).for_each(|_| drop(pass(&gpu, 600).read_blocking().unwrap())));
    let lines = lines.into_iter().map(|(_, line)| line);
    let created: Vec<_> =
        lines.filter(|line| line.contains("create_buffer(\"wgdnn tensor\"")).map(|line| id(&line)).collect();
    let ((), lines) = crate::api::lines(|| {
        (0..40).for_each(|_| drop(pass(&gpu, 50).read_blocking().unwrap()));
        gpu.device().poll(wgdnn::wgpu::PollType::wait_indefinitely()).unwrap();
    });
    let lines = lines.into_iter().map(|(_, line)| line);
    let dropped: Vec<_> = lines.filter(|line| line.starts_with("Buffer::drop")).map(|line| id(&line)).collect();
    let held = created.iter().filter(|id| !dropped.contains(id)).count();
    println!("{held} of {} buffers are held, {:?}", created.len(), gpu.memory());
    // The last output is small enough to be kept by the pool.
    assert!(created.len() >= 4 && held <= 1, "{held} of {} buffers are held", created.len());
}

/// Another count of boxes in every frame: read back in each, in some, or never.
#[test]
fn counts_that_change_keep_little() {
    for read_every in [1, 10, usize::MAX] {
        let gpu = portable_gpu();
        let features = upload(&gpu, [1, 16, 32, 32]);
        for frame in 0..600 {
            let count = 1 + (frame * 73) % 97;
            let boxes = Array2::from_shape_fn((count, 5), |(_, at)| [0.0, 1.0, 1.0, 9.0, 9.0][at]).into_dyn();
            let pooled = roi_pool(&features, &Boxes::Indexed(&boxes), &RoiPoolParams::new([7, 7])).unwrap();
            let output = sigmoid(&pooled).unwrap();
            drop(pooled);
            if frame % read_every == 1 {
                output.read_blocking().unwrap();
            }
            drop(output);
            expect_within(gpu.memory(), 3, gpu.memory().peak);
        }
        println!("a count that changes, read every {read_every} frames: {:?}", gpu.memory());
        gpu.submit().unwrap();
        expect_within(gpu.memory(), 3, gpu.memory().peak);
    }
}

/// A network of fixed shapes, in which hardly two layers' tensors have one size.
fn network(gpu: &Gpu, weights: &[Tensor]) -> Tensor {
    let mut features = upload(gpu, [1, 3, 160, 160]);
    for (layer, weight) in weights.iter().enumerate() {
        let params = Conv2dParams { padding: [1, 1].into(), ..Default::default() };
        let convolved = conv2d(&features, weight, None, &params).unwrap();
        let params = BatchNormParams { training: true, ..Default::default() };
        let normal = batch_norm(&BatchNormInputs::new(&convolved), &params).unwrap();
        features = sigmoid(&normal).unwrap();
        if layer % 2 == 1 {
            features = max_pool2d(&features, &MaxPool2dParams::new([2, 2])).unwrap().output;
        }
    }
    mse_loss(&features, &features, &MseLossParams::default()).unwrap()
}

/// What `work` creates of buffers. The ring of staging buffers, of which there are few, fills when the GPU is slow.
fn created(work: impl FnOnce()) -> Vec<String> {
    let ((), lines) = crate::api::lines(work);
    let created = lines.into_iter().map(|(_, line)| line).filter(|line| line.starts_with("Device::create_buffer("));
    created.filter(|line| !line.contains("wgdnn upload") && !line.contains("wgdnn read-back")).collect()
}

#[test]
fn a_warm_network_creates_no_buffer() {
    let gpu = portable_gpu();
    let channels = [3, 8, 12, 14, 20, 26, 30];
    assert_eq!(created(|| drop(upload(&gpu, [1, 1, 1, 1]))).len(), 1);
    let weights: Vec<_> = channels.windows(2).map(|pair| upload(&gpu, [pair[1], pair[0], 3, 3])).collect();
    let reading = |times: usize| (0..times).for_each(|_| drop(network(&gpu, &weights).read_blocking().unwrap()));
    let gathering = |times: usize| (0..times).for_each(|_| drop(network(&gpu, &weights)));
    for work in [&reading as &dyn Fn(usize), &gathering] {
        work(16);
        assert_eq!(created(|| work(70)), Vec::<String>::new(), "{:?}", gpu.memory());
        assert!(gpu.memory().peak > KEPT_BYTES);
        expect_within(gpu.memory(), 3, gpu.memory().peak);
    }
    // One call a frame, gathered until there are many: uploads wait for no memory, nor take ever more.
    let image = || drop(sigmoid(&upload(&gpu, [1, 16, 200, 200])).unwrap());
    (0..200).for_each(|_| image());
    assert_eq!(created(|| (0..200).for_each(|_| image())), Vec::<String>::new(), "{:?}", gpu.memory());
    expect_within(gpu.memory(), 2, gpu.memory().peak);
}

/// The process's memory in KiB.
#[cfg(target_os = "linux")]
pub fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn ever_new_shapes_take_no_more_and_more_memory() {
    let text = run_alone("keeping::alone_runs_ever_new_shapes", None);
    println!("{}", text.lines().find(|line| line.contains("KiB more after")).expect("a figure"));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, so that nothing else takes memory"]
fn alone_runs_ever_new_shapes() {
    let gpu = portable_gpu();
    let weight = upload(&gpu, [4, 2, 3, 3]);
    let call = |step: usize| {
        // No two are the same.
        let input = upload(&gpu, [1, 2, 5 + step % 100, 5 + step / 100]);
        let output = match step % 3 {
            0 => conv2d(&input, &weight, None, &Conv2dParams::default()).unwrap(),
            1 => max_pool2d(&input, &MaxPool2dParams::new([2, 2])).unwrap().output,
            _ => mse_loss(&input, &input, &MseLossParams::default()).unwrap(),
        };
        if step.is_multiple_of(10) {
            output.read_blocking().unwrap();
        }
    };
    // The largest first, so that the pool has its buffers.
    (5_000..6_000).for_each(call);
    let before = resident();
    (0..5_000).for_each(call);
    let grown = resident() - before;
    println!("{grown} KiB more after 6,000 calls of ever new shapes than after 1,000");
    assert!(grown < 8 << 10, "{grown} KiB more");
}
