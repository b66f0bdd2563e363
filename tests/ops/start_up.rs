//! Compiling ahead, and the pipeline cache on disk.

use std::path::{Path, PathBuf};

use ndarray::array;
use wgdnn::{
    AvgPool2d, AvgPool2dParams, BatchNorm, BatchNormInputs, BatchNormParams, Conv2d, Error, Gpu, GpuOptions, MaxPool2d,
    MaxPool2dParams, Sigmoid, Tensor, sigmoid,
};

use crate::api::calls;
use crate::harness::{gpu, portable_gpu};

/// A folder of the test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wgdnn-test-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn warming_up_many_operators_compiles_all_of_them() {
    let gpu = portable_gpu();
    let image = [2, 3, 9, 9];
    let conv = Conv2d::new(&image, &[4, 3, 3, 3], None, &Default::default()).unwrap();
    let max = MaxPool2d::new(&image, &MaxPool2dParams::new([2, 2])).unwrap();
    let avg = AvgPool2d::new(&image, &AvgPool2dParams::new([2, 2])).unwrap();
    let training = BatchNormParams { training: true, ..Default::default() };
    let norm = BatchNorm::new(&BatchNormInputs::new(&image[..]), &training).unwrap();
    let sigmoid = Sigmoid::new(&image).unwrap();
    gpu.warm_up(&[&conv, &max, &avg, &norm, &sigmoid]).unwrap();
    // Again there is nothing left to do.
    let ((), again) = calls(|| gpu.warm_up(&[&sigmoid, &norm, &avg, &max, &conv]).unwrap());
    assert_eq!(again, Vec::<String>::new());
    let input = Tensor::from_array(&gpu, &crate::harness::random(&image, 1)).unwrap();
    let ((), eager) = calls(|| {
        wgdnn::max_pool2d(&input, &MaxPool2dParams::new([2, 2])).unwrap();
        wgdnn::batch_norm(&BatchNormInputs::new(&input), &training).unwrap();
    });
    assert!(eager.iter().all(|call| !call.contains("pipeline") && !call.contains("shader")), "{eager:?}");
}

fn use_cache(folder: &Path) -> (Gpu, wgdnn::Result<()>) {
    let gpu = Gpu::with_options_blocking(&GpuOptions::default().adapter("vulkan")).unwrap();
    let opened = gpu.open_pipeline_cache(folder);
    let output = sigmoid(&Tensor::from_array(&gpu, &array![0.0]).unwrap()).unwrap();
    assert_eq!(output.read_blocking().unwrap()[0], 0.5);
    (gpu, opened)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_pipeline_cache_is_written_only_when_asked_for_and_read_again() {
    let folder = Folder::new("cache");
    let (gpu, opened) = use_cache(&folder.0);
    opened.unwrap();
    assert_eq!(files(&folder.0).len(), 0);
    gpu.save_pipeline_cache().unwrap();
    let [file] = &files(&folder.0)[..] else { panic!("{:?}", files(&folder.0)) };
    let good = std::fs::read(file).unwrap();
    let (gpu, opened) = use_cache(&folder.0);
    opened.unwrap();
    gpu.save_pipeline_cache().unwrap();

    // Cut, damaged, or something else: ignored, and written anew.
    let foreign = b"This is no pipeline cache.".to_vec();
    let mut damaged = good.clone();
    let middle = good.len() / 2;
    damaged[middle] ^= 0x55;
    for bad in [Vec::new(), foreign, good[..good.len() - 1].to_vec(), damaged] {
        std::fs::write(file, &bad).unwrap();
        let (gpu, opened) = use_cache(&folder.0);
        opened.unwrap();
        gpu.save_pipeline_cache().unwrap();
        assert_eq!(files(&folder.0).len(), 1);
        assert_eq!(std::fs::read(file).unwrap()[..8], good[..8]);
    }
}

#[test]
fn what_a_pipeline_cache_cannot_do_is_an_error() {
    let folder = Folder::new("no-cache");
    let result = portable_gpu().open_pipeline_cache(&folder.0);
    assert!(matches!(result, Err(Error::MissingFeature { feature: "PIPELINE_CACHE", .. })), "{result:?}");
    assert!(!folder.0.exists());
    let result = gpu().save_pipeline_cache();
    assert!(matches!(result, Err(Error::InvalidArgument { operator: "pipeline cache", .. })), "{result:?}");
    // A file where the folder should be.
    std::fs::write(&folder.0, "").unwrap();
    let (_, opened) = use_cache(&folder.0);
    assert!(matches!(&opened, Err(Error::File { path, .. }) if *path == folder.0), "{opened:?}");
    std::fs::remove_file(&folder.0).unwrap();
}

#[test]
fn threads_may_save_a_pipeline_cache_at_once() {
    let folder = Folder::new("many");
    let (gpu, opened) = use_cache(&folder.0);
    opened.unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| gpu.save_pipeline_cache().unwrap()));
        }
    });
    assert_eq!(files(&folder.0).len(), 1);
    // A folder where the file should be: nothing is left behind.
    let file = files(&folder.0).remove(0);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let result = gpu.save_pipeline_cache();
    assert!(matches!(result, Err(Error::File { .. })), "{result:?}");
    assert_eq!(files(&folder.0).len(), 1);
}
