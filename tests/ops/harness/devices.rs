//! The devices that tests run on.

use std::sync::OnceLock;

use wgdnn::{Gpu, GpuOptions};

/// What the environment asks the tests' device to be: `WGDNN_TEST_ADAPTER` names an adapter, and
/// `WGDNN_TEST_LIMITS` is `default` or `downlevel`.
fn options() -> GpuOptions {
    let options = match std::env::var("WGDNN_TEST_LIMITS").as_deref() {
        Ok("default") => GpuOptions::default().limits(wgdnn::wgpu::Limits::defaults()),
        Ok("downlevel") => GpuOptions::default().limits(wgdnn::wgpu::Limits::downlevel_defaults()),
        Ok(other) => panic!("WGDNN_TEST_LIMITS is {other:?}"),
        Err(_) => GpuOptions::default(),
    };
    match std::env::var("WGDNN_TEST_ADAPTER") {
        Ok(adapter) => options.adapter(adapter),
        Err(_) => options,
    }
}

/// The device that tests share. There must be one: without it nothing of the GPU would be tested.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::with_options_blocking(&options()).unwrap_or_else(|error| panic!("{error}")))
}

/// A device like it that runs the kernels for hardware.
pub fn gpu_taken_for_hardware() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = Gpu::with_options_blocking(&options()).unwrap_or_else(|error| panic!("{error}"));
        gpu.take_for(wgdnn::AdapterClass::Hardware);
        gpu
    })
}

/// Devices like both, which compare every call with the CPU reference by the operator's own bound of rounding.
pub fn validating_gpus() -> &'static [Gpu; 2] {
    static GPUS: OnceLock<[Gpu; 2]> = OnceLock::new();
    GPUS.get_or_init(|| {
        let gpus = [(); 2].map(|()| Gpu::with_options_blocking(&options()).unwrap_or_else(|error| panic!("{error}")));
        gpus[1].take_for(wgdnn::AdapterClass::Hardware);
        gpus.iter().for_each(|gpu| gpu.set_validation(true));
        gpus
    })
}

/// A device without optional features.
pub fn portable_gpu() -> Gpu {
    let options = GpuOptions::default().portable(true);
    Gpu::with_options_blocking(&options).unwrap_or_else(|error| panic!("{error}"))
}
