//! Every shader is valid WGSL that translates to what Vulkan, Metal, DX12 and OpenGL drivers read.

use std::collections::HashMap;

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, index::BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

const FLOAT32_ATOMIC: &str = "float32_atomic";

const SUBGROUP: &str = "subgroup";

fn files(folder: &str) -> Vec<(String, String)> {
    std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.is_dir())
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "wgsl", "{path:?}");
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The modules of `shaders/` as (name, text). A file that calls what `shaders/shared` has comes in both its variants.
pub fn shaders() -> Vec<(String, String)> {
    let shared: HashMap<_, _> = files("shaders/shared").into_iter().collect();
    assert_eq!(shared.len(), 15);
    let mut shaders = Vec::new();
    for (name, text) in files("shaders") {
        // What is called from there, in the order in which it comes.
        let calls =
            [("sums_0", "patches"), ("write_pixel(", "pixels"), ("problem_of(", "gemm"), ("phase_of(", "phases")];
        let is_of_phases =
            name.starts_with("conv_transpose2d") && !text.contains("struct Params") && !text.contains("problem_of(");
        let called = calls.iter().filter(|(call, _)| text.contains(call)).map(|(_, part)| *part);
        let parts: Vec<_> = is_of_phases.then_some("phase_params").into_iter().chain(called).collect();
        let variants: &[(&str, &[&str])] = if text.contains("load_kernels(") {
            &[("", &["winograd", "kernels"]), ("_packed", &["winograd", "kernels_packed"])]
        } else if text.contains("terms_of(") {
            &[("", &["pairs", "normalize"])]
        } else if name == "mse_loss" {
            &[("", &["pairs"])]
        } else if text.contains("pair_of(") {
            &[("", &["winograd", "winograd_tiles"])]
        } else if text.contains("load_weights(") {
            &[("", &["weights"]), ("_subgroup", &["weights_subgroup"])]
        } else if text.contains("load_classes(") {
            &[("", &["pairs", "classes"]), ("_in_blocks", &["pairs", "classes_in_blocks"])]
        } else {
            &[("", &[])]
        };
        for (ending, first) in variants {
            let parts: String = first.iter().chain(&parts).map(|part| format!("{}\n", shared[*part])).collect();
            // What a name says of features comes last.
            let (stem, feature) = name.strip_suffix(SUBGROUP).map_or((name.as_str(), ""), |stem| (stem, SUBGROUP));
            let name = match (stem.strip_suffix('_'), *ending) {
                (Some(stem), "_packed") => format!("{stem}_packed_{feature}"),
                _ => format!("{name}{ending}"),
            };
            shaders.push((name, parts + &text));
        }
    }
    shaders.sort();
    assert!(shaders.len() >= 9);
    shaders
}

/// Parses and validates. Only a file named for an optional feature may use it.
pub fn validated(name: &str, source: &str) -> (naga::Module, ModuleInfo) {
    let capabilities = if name.ends_with(FLOAT32_ATOMIC) {
        Capabilities::SHADER_FLOAT32_ATOMIC
    } else if name.ends_with(SUBGROUP) {
        Capabilities::SUBGROUP
    } else {
        Capabilities::empty()
    };
    let module =
        naga::front::wgsl::parse_str(source).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    (module, info)
}

/// The module of one entry point with its `override` constants at their defaults, and its stage.
pub fn specialized(module: &naga::Module, info: &ModuleInfo, entry: &str) -> (naga::Module, ModuleInfo) {
    let (module, info) = naga::back::pipeline_constants::process_overrides(
        module,
        info,
        Some((naga::ShaderStage::Compute, entry)),
        &Default::default(),
    )
    .unwrap();
    (module.into_owned(), info.into_owned())
}

pub fn entry_points(module: &naga::Module) -> Vec<String> {
    module.entry_points.iter().map(|entry| entry.name.clone()).collect()
}

#[test]
fn all_shaders_are_valid_wgsl() {
    for (name, source) in shaders() {
        let (module, _) = validated(&name, &source);
        assert!(!module.entry_points.is_empty(), "{name} has no entry point");
        assert!(source.starts_with("// "), "{name} does not begin with what it computes");
    }
}

#[test]
fn optional_features_are_only_used_by_files_named_for_them() {
    for (name, source) in shaders() {
        let is_named = name.ends_with(FLOAT32_ATOMIC);
        assert_eq!(source.contains("atomic<f32>"), is_named, "{name}");
        assert_eq!(source.contains("subgroupBroadcast("), name.ends_with(SUBGROUP), "{name}");
    }
}

#[test]
fn all_shaders_translate_to_spirv() {
    for (name, source) in shaders() {
        let (module, info) = validated(&name, &source);
        for entry_point in entry_points(&module) {
            let (module, info) = specialized(&module, &info, &entry_point);
            let options =
                spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: entry_point.clone() };
            // Subgroups need Vulkan 1.1.
            let version = spv::Options { lang_version: (1, 3), ..Default::default() };
            let words = spv::write_vec(&module, &info, &version, Some(&options))
                .unwrap_or_else(|error| panic!("{name}, {entry_point}: {error}"));
            assert!(words.len() > 100);
        }
    }
}

#[test]
fn all_shaders_translate_to_msl() {
    for (name, source) in shaders() {
        let (module, info) = validated(&name, &source);
        for entry_point in entry_points(&module) {
            let (module, info) = specialized(&module, &info, &entry_point);
            let options = msl::Options {
                // Atomic f32 needs Metal 3.
                lang_version: (3, 0),
                fake_missing_bindings: true,
                ..Default::default()
            };
            let pipeline = msl::PipelineOptions {
                entry_point: Some((naga::ShaderStage::Compute, entry_point.clone())),
                ..Default::default()
            };
            let (text, _) = msl::write_string(&module, &info, &options, &pipeline)
                .unwrap_or_else(|error| panic!("{name}, {entry_point}: {error}"));
            assert!(text.contains("kernel void"), "{name}, {entry_point}");
        }
    }
}

#[test]
fn all_shaders_translate_to_hlsl() {
    for (name, source) in shaders() {
        // DX12 has no atomic f32, so wgpu never offers that feature there.
        if name.ends_with(FLOAT32_ATOMIC) {
            continue;
        }
        let (module, info) = validated(&name, &source);
        for entry_point in entry_points(&module) {
            let (module, info) = specialized(&module, &info, &entry_point);
            let options = hlsl::Options {
                fake_missing_bindings: true,
                special_constants_binding: Some(hlsl::BindTarget::default()),
                ..Default::default()
            };
            let pipeline =
                hlsl::PipelineOptions { entry_point: Some((naga::ShaderStage::Compute, entry_point.clone())) };
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(&module, &info, None)
                .unwrap_or_else(|error| panic!("{name}, {entry_point}: {error}"));
            assert!(text.contains("numthreads"), "{name}, {entry_point}");
        }
    }
}

#[test]
fn all_portable_shaders_translate_to_glsl() {
    for (name, source) in shaders() {
        if name.ends_with(FLOAT32_ATOMIC) || name.ends_with(SUBGROUP) {
            continue;
        }
        let (module, info) = validated(&name, &source);
        for entry_point in entry_points(&module) {
            let (module, info) = specialized(&module, &info, &entry_point);
            let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
            let pipeline = glsl::PipelineOptions {
                shader_stage: naga::ShaderStage::Compute,
                entry_point: entry_point.clone(),
                multiview: None,
            };
            let policies = BoundsCheckPolicies { index: BoundsCheckPolicy::Restrict, ..Default::default() };
            let mut text = String::new();
            glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, policies)
                .and_then(|mut writer| writer.write())
                .unwrap_or_else(|error| panic!("{name}, {entry_point}: {error}"));
            assert!(text.contains("void main"), "{name}, {entry_point}");
        }
    }
}

#[cfg(feature = "gpu")]
#[test]
fn kernels_agree_with_their_shaders() {
    use wgdnn::{Access, Scalar, kernels};

    let shaders = shaders();
    let mut seen = std::collections::BTreeSet::new();
    for kernel in kernels() {
        let (name, source) = shaders.iter().find(|(name, _)| name == kernel.file).unwrap();
        assert_eq!(kernel.source, source);
        let (module, info) = validated(name, source);
        let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry_point);
        let index = index.unwrap_or_else(|| panic!("{name} has no entry point {}", kernel.entry_point));
        seen.insert((name.clone(), kernel.entry_point.to_owned()));

        // The bindings that the entry point uses are those that the kernel tells, with the same access.
        let usage = info.get_entry_point(index);
        let mut storage = Vec::new();
        for (handle, variable) in module.global_variables.iter() {
            if usage[handle].is_empty() {
                continue;
            }
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0);
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!(binding.binding, 0);
                    let naga::TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
                        panic!("{name}: the uniform is no struct");
                    };
                    assert_eq!(*span as usize, 4 * kernel.uniform.len(), "{name}");
                    for (position, (member, (field, scalar))) in members.iter().zip(kernel.uniform).enumerate() {
                        assert_eq!(member.name.as_deref(), Some(*field), "{name}");
                        assert_eq!(member.offset as usize, 4 * position, "{name}.{field}");
                        let kind = match scalar {
                            Scalar::U32 => naga::Scalar::U32,
                            Scalar::I32 => naga::Scalar::I32,
                            Scalar::F32 => naga::Scalar::F32,
                        };
                        assert_eq!(module.types[member.ty].inner, naga::TypeInner::Scalar(kind), "{name}.{field}");
                    }
                    assert_eq!(members.len(), kernel.uniform.len());
                }
                naga::AddressSpace::Storage { access } => {
                    let access =
                        if access.contains(naga::StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
                    storage.push((binding.binding, access));
                }
                space => panic!("{name}: a binding in {space:?}"),
            }
        }
        storage.sort_by_key(|&(binding, _)| binding);
        assert_eq!(storage, kernel.storage, "{name}, {}", kernel.entry_point);
        // What every adapter has, even below WebGPU's own minimum.
        // But for a kernel that is taken where more can be bound.
        let most = if name == "batch_norm_inference" { 6 } else { 4 };
        assert!(storage.len() <= most, "{name}, {}: {} storage buffers", kernel.entry_point, storage.len());
    }
    // And there is no entry point that no kernel uses. A variant need not use all.
    for (name, source) in &shaders {
        for entry_point in entry_points(&validated(name, source).0) {
            let file = name.trim_end_matches("_in_blocks");
            let is_used =
                [name.as_str(), file].iter().any(|name| seen.contains(&(name.to_string(), entry_point.clone())));
            assert!(is_used, "{name}: {entry_point} is unused");
        }
    }
}
