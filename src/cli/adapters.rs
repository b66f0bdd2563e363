//! `wgdnn adapters`: what there is to run on.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use wgdnn::Gpu;
use wgdnn::wgpu::Features;

use super::table::table;

/// Lists the adapters.
pub fn run(out: &mut dyn Write) -> Result<ExitCode, Box<dyn Error>> {
    let adapters = pollster::block_on(Gpu::adapters());
    if adapters.is_empty() {
        writeln!(out, "{}", wgdnn::Error::NoAdapter { wanted: None, found: Vec::new() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = [
        "adapter",
        "backend",
        "kind",
        "driver",
        "binding",
        "workgroup",
        "subgroup",
        "f32 atomics",
        "f16",
        "timestamps",
    ];
    let mut table = table(header.map(str::to_owned).to_vec());
    for adapter in adapters {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let has = |feature| if features.contains(feature) { "yes" } else { "no" };
        let subgroup = if features.contains(Features::SUBGROUP) {
            format!("{}-{}", info.subgroup_min_size, info.subgroup_max_size)
        } else {
            "no".into()
        };
        table.add_row([
            info.name,
            info.backend.to_string(),
            format!("{:?}", info.device_type),
            format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            format!("{} MiB", limits.max_storage_buffer_binding_size >> 20),
            format!(
                "{} threads, {} KiB",
                limits.max_compute_invocations_per_workgroup,
                limits.max_compute_workgroup_storage_size >> 10
            ),
            subgroup,
            has(Features::SHADER_FLOAT32_ATOMIC).into(),
            has(Features::SHADER_F16).into(),
            has(Features::TIMESTAMP_QUERY).into(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(ExitCode::SUCCESS)
}
