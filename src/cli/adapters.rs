//! `wgdnn adapters`: lists the adapters.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use wgdnn::Gpu;
use wgdnn::wgpu::Features;

/// Lists the adapters.
pub fn run(out: &mut dyn Write) -> Result<ExitCode, Box<dyn Error>> {
    let adapters = pollster::block_on(Gpu::adapters());
    if adapters.is_empty() {
        writeln!(out, "{}", wgdnn::Error::NoAdapter { wanted: None, found: Vec::new() })?;
        return Ok(ExitCode::SUCCESS);
    }
    for adapter in adapters {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let has = |feature| if features.contains(feature) { "yes" } else { "no" };
        let subgroups = if features.contains(Features::SUBGROUP) {
            format!("{} to {}", info.subgroup_min_size, info.subgroup_max_size)
        } else {
            "no".into()
        };
        writeln!(out, "{}", info.name)?;
        for (name, value) in [
            ("backend", info.backend.to_string()),
            ("kind", format!("{:?}", info.device_type)),
            ("driver", format!("{} {}", info.driver, info.driver_info).trim().to_owned()),
            ("largest binding", format!("{} MiB", limits.max_storage_buffer_binding_size >> 20)),
            ("largest workgroup", format!("{} invocations", limits.max_compute_invocations_per_workgroup)),
            ("workgroup memory", format!("{} KiB", limits.max_compute_workgroup_storage_size >> 10)),
            ("storage buffers", limits.max_storage_buffers_per_shader_stage.to_string()),
            ("subgroups", subgroups),
            ("atomic f32", has(Features::SHADER_FLOAT32_ATOMIC).into()),
            ("f16", has(Features::SHADER_F16).into()),
            ("timestamps", has(Features::TIMESTAMP_QUERY).into()),
        ] {
            writeln!(out, "  {name:<18} {value}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
