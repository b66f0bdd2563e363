//! Many threads, and executors other than ours.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ndarray::array;
use wgdnn::wgpu::PollType;
use wgdnn::{Gpu, MaxPool2dParams, Tensor, conv2d, max_pool2d, reference, sigmoid};

use crate::harness::{gpu, random};

#[test]
fn handles_can_go_to_other_threads() {
    fn is_send_sync<T: Send + Sync>() {}
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    is_send_sync::<Gpu>();
    is_send_sync::<Tensor>();
    is_send_sync::<Tensor<i32>>();
    is_send_sync::<wgdnn::Error>();
    is_send_sync::<Box<dyn wgdnn::AnyOperator>>();
    let tensor = Tensor::from_array(gpu(), &array![1.0]).unwrap();
    pollster::block_on(is_send(tensor.read())).unwrap();
}

/// 8 threads of 500 calls each on one device: reads, dropped reads, and tensors dropped in another order than they were
/// made in.
#[test]
fn eight_threads_of_500_calls() {
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            scope.spawn(move || {
                let mut kept = Vec::new();
                for step in 0..500_u64 {
                    let seed = thread * 1000 + step;
                    let length = 5 + (seed % 23) as usize;
                    let input = random(&[1, 2, length, 7], seed);
                    let tensor = Tensor::from_array(gpu(), &input).unwrap();
                    let (output, expected) = match step % 3 {
                        0 => (sigmoid(&tensor).unwrap(), reference::sigmoid(&input).unwrap()),
                        1 => {
                            let params = MaxPool2dParams::new([2, 3]);
                            let expected = reference::max_pool2d(&input, &params).unwrap().output;
                            (max_pool2d(&tensor, &params).unwrap().output, expected)
                        }
                        _ => {
                            let weight = random(&[3, 2, 3, 3], seed + 7);
                            let params = Default::default();
                            let on_gpu = Tensor::from_array(gpu(), &weight).unwrap();
                            let expected = reference::conv2d(&input, &weight, None, &params).unwrap();
                            (conv2d(&tensor, &on_gpu, None, &params).unwrap(), expected)
                        }
                    };
                    if step % 7 == 0 {
                        drop(output.read());
                    }
                    kept.push((output, expected));
                    if kept.len() > 12 {
                        let (output, expected) = kept.swap_remove((seed % 12) as usize);
                        let got = if step % 2 == 0 {
                            output.read_blocking().unwrap()
                        } else {
                            pollster::block_on(output.read()).unwrap()
                        };
                        let near = got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-5);
                        assert!(near && got.shape() == expected.shape(), "thread {thread}, step {step}");
                    }
                }
            });
        }
    });
}

/// A waker that says whether it was woken: as little of an executor as there can be.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Several read-backs on one thread that never blocks: polled once, and again only when woken.
#[test]
fn reads_wake_any_executor_and_do_not_block_it() {
    let inputs: Vec<_> = (0..20).map(|seed| random(&[1000], seed)).collect();
    let tensors: Vec<_> = inputs.iter().map(|input| Tensor::from_array(gpu(), input).unwrap()).collect();
    let mut reads: Vec<_> =
        tensors.iter().map(|tensor| (Box::pin(tensor.read()), Arc::new(Flag(AtomicBool::new(true))), None)).collect();
    let start = Instant::now();
    while reads.iter().any(|(_, _, result)| result.is_none()) {
        assert!(start.elapsed() < Duration::from_secs(60), "a read was never woken");
        for (read, flag, result) in reads.iter_mut().filter(|(_, _, result)| result.is_none()) {
            if flag.0.swap(false, Ordering::AcqRel) {
                let waker = Waker::from(Arc::clone(flag));
                if let Poll::Ready(ready) = read.as_mut().poll(&mut Context::from_waker(&waker)) {
                    *result = Some(ready.unwrap());
                }
            }
        }
        std::thread::yield_now();
    }
    for ((_, _, result), input) in reads.iter().zip(&inputs) {
        assert_eq!(result.as_ref().unwrap(), input);
    }
}

/// The caller polls, waits and submits from another thread meanwhile.
#[test]
fn a_caller_that_polls_does_not_break_reads() {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                gpu().device().poll(PollType::Poll).unwrap();
                gpu().queue().submit([]);
                gpu().device().poll(PollType::wait_indefinitely()).unwrap();
            }
        });
        for step in 0..200 {
            let input = random(&[64], step);
            let output = sigmoid(&Tensor::from_array(gpu(), &input).unwrap()).unwrap();
            let got = if step % 2 == 0 { output.read_blocking() } else { pollster::block_on(output.read()) };
            let expected = reference::sigmoid(&input).unwrap();
            assert!(got.unwrap().iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 2e-7));
        }
        done.store(true, Ordering::Release);
    });
}

/// wgpu runs a caller's callbacks inside our submits and polls; they may call us, and take locks that other threads hold
/// while these call us.
#[test]
fn callbacks_may_call_operators_and_submit() {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use crate::harness::portable_gpu;

    let gpu = portable_gpu();
    let input = Arc::new(Tensor::from_array(&gpu, &array![0.0]).unwrap());
    let runs = Arc::new(AtomicUsize::new(0));
    let callers_lock = Arc::new(Mutex::new(()));
    for step in 0..100 {
        let (gpu_again, input_again) = (gpu.clone(), Arc::clone(&input));
        let (runs_again, lock_again) = (Arc::clone(&runs), Arc::clone(&callers_lock));
        gpu.queue().on_submitted_work_done(move || {
            match step % 4 {
                0 => gpu_again.submit().unwrap(),
                1 => drop(sigmoid(&input_again).unwrap()),
                2 => gpu_again.trim(),
                _ => drop(lock_again.lock().unwrap()),
            }
            runs_again.fetch_add(1, Ordering::AcqRel);
        });
        let output = sigmoid(&input).unwrap();
        if step % 3 == 0 {
            assert_eq!(output.read_blocking().unwrap()[0], 0.5);
        } else {
            gpu.submit().unwrap();
        }
        gpu.device().poll(PollType::wait_indefinitely()).unwrap();
    }
    assert_eq!(runs.load(Ordering::Acquire), 100);

    // One thread's submit runs a callback that wants a lock, which another thread holds over its calls.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let guard = callers_lock.lock().unwrap();
                // More calls than are gathered, so that one of them would submit.
                (0..130).for_each(|_| drop(sigmoid(&input).unwrap()));
                drop(guard);
            }
        });
        for _ in 0..100 {
            let lock = Arc::clone(&callers_lock);
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::scope(|inner| {
                // The callback runs here and nowhere else: this thread waits for it without a lock.
                inner.spawn(|| {
                    gpu.queue().on_submitted_work_done(move || {
                        drop(lock.try_lock());
                        let _ = sender.send(());
                    });
                    gpu.submit().unwrap();
                    gpu.device().poll(PollType::wait_indefinitely()).unwrap();
                });
            });
            receiver.recv().unwrap();
        }
    });
    let output = sigmoid(&input).unwrap();
    assert_eq!(output.read_blocking().unwrap()[0], 0.5);
}

/// However many read-backs are under way, staging stays small.
#[test]
fn many_read_backs_at_once_take_little_staging() {
    use crate::harness::portable_gpu;

    let gpu = portable_gpu();
    let data = random(&[6 << 20], 1);
    let tensor = Tensor::from_array(&gpu, &data).unwrap();
    let mut reads: Vec<_> = (0..40).map(|_| Box::pin(tensor.read())).collect();
    // A read-back that is done must not be polled again.
    reads.retain_mut(|read| read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let most = gpu.memory().staging;
    assert!(most <= 48 << 20, "{} MiB of staging", most >> 20);
    for (index, read) in reads.into_iter().enumerate() {
        if index % 8 == 0 {
            assert_eq!(pollster::block_on(read).unwrap(), data);
        }
    }
    let kept = gpu.memory().staging;
    assert!(kept <= 16 << 20, "{} MiB of staging are kept", kept >> 20);
}
