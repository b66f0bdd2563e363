//! `wgdnn kernels`: every kernel that the crate has is in it, and is what drivers and checkers read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use naga::back::spv;
use serde_json::Value;

use crate::harness::{SOURCES, golden_folder};
use crate::shaders::validated;

/// Writes the kernels of all adapters, or of one type, into a folder, and reads their list.
fn write(folder: &Path, adapter_type: Option<&str>) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgdnn"));
    command.arg("kernels").arg(folder);
    command.args(adapter_type.map(|name| format!("--adapter-type={name}")));
    let have_all = |source: &&&str| {
        ["random", "corners", "optional_outputs", "gradients"].contains(source)
            || source.starts_with("losses/")
            || source.starts_with("training/")
    };
    command.arg("--cases").args(SOURCES.iter().filter(have_all).map(|source| golden_folder(source)));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(folder.join("kernels.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wgdnn-kernels-{}-{name}", std::process::id()))
}

#[test]
fn every_kernel_is_written() {
    let folder = temporary("all");
    let lines = write(&folder, None);
    let text = |line: &Value, member: &str| line[member].as_str().unwrap().to_owned();
    let written: BTreeSet<_> = lines.iter().map(|line| (text(line, "file"), text(line, "entry_point"))).collect();
    let kernels = wgdnn::kernels();
    assert!(kernels.len() > 50);
    let mut missing = Vec::new();
    for kernel in kernels {
        let file = format!("{}.wgsl", kernel.module);
        if !written.contains(&(file.clone(), kernel.entry_point.to_owned())) {
            missing.push(format!("{} {}", kernel.module, kernel.entry_point));
            continue;
        }
        assert_eq!(std::fs::read_to_string(folder.join(&file)).ok().as_deref(), Some(&*kernel.source()), "{file}");
    }
    assert_eq!(missing, [""; 0]);
    let distinct: BTreeSet<_> = lines
        .iter()
        .map(|line| (text(line, "file"), text(line, "entry_point"), line["constants"].to_string()))
        .collect();
    assert_eq!(distinct.len(), lines.len());
    for line in &lines {
        assert!(line["name"].as_str().is_some_and(|name| name.ends_with(&text(line, "entry_point"))), "{line}");
        assert!(line["workgroups"].as_u64().is_some_and(|workgroups| workgroups > 0), "{line}");
        assert!(line["adapter_types"].as_array().is_some_and(|types| !types.is_empty()), "{line}");
    }
    // What takes a minute to compile on SwiftShader is never chosen there.
    let automatic = |adapter_type: &str| -> BTreeSet<_> {
        let is_there = |line: &&Value| line["automatic_on"].as_array().unwrap().contains(&adapter_type.into());
        lines.iter().filter(is_there).map(|line| text(line, "file")).collect()
    };
    assert!(automatic("llvmpipe").contains("conv2d_winograd2x2.wgsl"));
    for adapter_type in ["hardware", "cpu"] {
        for slow in ["conv2d_winograd2x2", "conv2d_winograd4x4"] {
            for file in [format!("{slow}.wgsl"), format!("{slow}_epilogue.wgsl")] {
                assert!(!automatic(adapter_type).contains(&file), "{file} on {adapter_type}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();

    let folder = temporary("one");
    let of_hardware = write(&folder, Some("hardware"));
    assert!(of_hardware.len() < lines.len());
    assert!(of_hardware.iter().all(|line| line["adapter_types"] == serde_json::json!(["hardware"])));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Each with its constants, as drivers get it. `WGDNN_SPIRV` names a folder that they are left in, for spirv-val.
#[test]
fn every_kernel_translates_to_spirv() {
    let folder = temporary("spirv");
    let lines = write(&folder, None);
    let kept = std::env::var_os("WGDNN_SPIRV").map(PathBuf::from);
    for (index, line) in lines.iter().enumerate() {
        let (file, entry_point) = (line["file"].as_str().unwrap(), line["entry_point"].as_str().unwrap());
        let (module, info) =
            validated(file.trim_end_matches(".wgsl"), &std::fs::read_to_string(folder.join(file)).unwrap());
        let constants = line["constants"].as_object().unwrap();
        let constants = constants.iter().map(|(name, value)| (name.clone(), value.as_f64().unwrap())).collect();
        let stage = naga::ShaderStage::Compute;
        let (module, info) =
            naga::back::pipeline_constants::process_overrides(&module, &info, Some((stage, entry_point)), &constants)
                .unwrap();
        let options = spv::PipelineOptions { shader_stage: stage, entry_point: entry_point.to_owned() };
        // Subgroups need Vulkan 1.1, and what it reads is 1.3 of SPIR-V.
        let version = spv::Options { lang_version: (1, 3), ..Default::default() };
        let words =
            spv::write_vec(&module, &info, &version, Some(&options)).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(words.len() > 100, "{line}");
        if let Some(kept) = &kept {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::create_dir_all(kept).unwrap();
            std::fs::write(
                kept.join(format!("{index:03}-{}-{entry_point}.spv", file.trim_end_matches(".wgsl"))),
                bytes,
            )
            .unwrap();
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
