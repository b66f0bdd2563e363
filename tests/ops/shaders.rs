//! Every shader is valid WGSL that translates to what Vulkan, Metal, DX12 and OpenGL drivers read.

use std::collections::{BTreeMap, BTreeSet};

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, index::BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

const FLOAT32_ATOMIC: &str = "float32_atomic";

const SUBGROUP: &str = "subgroup";

/// The files of a folder with this ending, as (name, text).
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The modules of all kernels as (name, text).
pub fn shaders() -> Vec<(String, String)> {
    let modules: BTreeMap<_, _> =
        wgdnn::kernels().into_iter().map(|kernel| (kernel.module.to_owned(), kernel.source())).collect();
    assert!(modules.len() >= 25);
    modules.into_iter().collect()
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
        assert!(source.starts_with("// "), "{name} does not begin with a comment");
    }
}

#[test]
fn all_files_and_parts_are_in_modules() {
    let modules = shaders();
    let kernels = wgdnn::kernels();
    for (name, text) in files("shaders", "wgsl") {
        assert!(kernels.iter().any(|kernel| kernel.file == name && kernel.text == text), "no kernel is of {name}.wgsl");
    }
    let parts: BTreeMap<_, _> = files("shaders/parts", "wgsl").into_iter().collect();
    for (name, text) in &parts {
        assert!(modules.iter().any(|(_, source)| source.contains(text)), "no file names parts/{name}.wgsl");
    }
    for (name, text) in files("shaders", "wgsl").into_iter().chain(parts.clone()) {
        let mut lines = text.lines().peekable();
        let named = lines.next_if(|line| line.starts_with("// parts:"));
        assert!(lines.next().unwrap().starts_with("// "), "{name} does not begin with what it is");
        for part in named.iter().flat_map(|line| line["// parts: ".len()..].split([',', '|'])) {
            assert!(parts.contains_key(part.trim()), "{name} names {part}, which is not there");
        }
        assert!(text.lines().count() <= 350, "{name} is long: split it");
    }
}

/// What a file or a part names comes in front of it, once.
#[test]
fn modules_are_joined_as_their_files_say() {
    for kernel in wgdnn::kernels() {
        let source = kernel.source();
        assert!(source.ends_with(kernel.text), "{}", kernel.module);
        let first = kernel.text.lines().next().unwrap();
        for variant in kernel.variants {
            let is_named = first.split([' ', ',', '|']).any(|name| name == *variant);
            assert!(is_named, "{}: {first}", kernel.module);
        }
        for (name, text) in files("shaders/parts", "wgsl") {
            assert!(source.matches(&text).count() <= 1, "{}: {name} comes twice", kernel.module);
        }
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

/// Four i32, in the order in which Rust writes them.
fn expect_window(module: &naga::Module, inner: &naga::TypeInner) {
    let naga::TypeInner::Struct { members, span: 16 } = inner else { panic!("{inner:?}") };
    let names: Vec<_> = members.iter().map(|member| member.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["kernel", "stride", "padding", "dilation"]);
    for member in members {
        assert_eq!(module.types[member.ty].inner, naga::TypeInner::Scalar(naga::Scalar::I32));
    }
}

#[test]
fn kernels_agree_with_their_shaders() {
    use wgdnn::{Access, Member, kernels};

    let mut seen = BTreeSet::new();
    for kernel in kernels() {
        let name = kernel.module;
        let (module, info) = validated(name, &kernel.source());
        let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry_point);
        let index = index.unwrap_or_else(|| panic!("{name} has no entry point {}", kernel.entry_point));
        seen.insert((kernel.file, kernel.entry_point.to_owned()));

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
                    let mut offset = 0;
                    for (member, (field, kind)) in members.iter().zip(kernel.uniform) {
                        assert_eq!(member.name.as_deref(), Some(*field), "{name}");
                        assert_eq!(member.offset, offset, "{name}.{field}");
                        let inner = &module.types[member.ty].inner;
                        let scalar = match kind {
                            Member::U32 => naga::Scalar::U32,
                            Member::I32 => naga::Scalar::I32,
                            Member::F32 => naga::Scalar::F32,
                            Member::Vector => {
                                assert_eq!(offset % 16, 0, "{name}.{field}");
                                let (size, scalar) = (naga::VectorSize::Quad, naga::Scalar::U32);
                                assert_eq!(*inner, naga::TypeInner::Vector { size, scalar }, "{name}.{field}");
                                offset += 16;
                                continue;
                            }
                            Member::Window => {
                                assert_eq!(offset % 16, 0, "{name}.{field}");
                                expect_window(&module, inner);
                                offset += 16;
                                continue;
                            }
                        };
                        assert_eq!(*inner, naga::TypeInner::Scalar(scalar), "{name}.{field}");
                        offset += 4;
                    }
                    // A vector makes the struct a multiple of its own size.
                    let has_vector = kernel.uniform.iter().any(|(_, kind)| *kind == Member::Vector);
                    let end = if has_vector { offset.next_multiple_of(16) } else { offset };
                    assert_eq!(*span, end, "{name}");
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
        // But for kernels that are taken where more can be bound.
        let most = match name {
            "adam" => 5,
            "batch_norm_inference_activation" => 7,
            "batch_norm_inference" => 6,
            name if name.ends_with("_epilogue") || name.ends_with("_epilogue_subgroup") => 6,
            _ => 4,
        };
        assert!(storage.len() <= most, "{name}, {}: {} storage buffers", kernel.entry_point, storage.len());
    }
    // And there is no entry point that no kernel uses. A variant need not use all.
    for kernel in kernels() {
        for entry_point in entry_points(&validated(kernel.module, &kernel.source()).0) {
            let is_used = seen.contains(&(kernel.file, entry_point.clone()));
            assert!(is_used, "{}: {entry_point} is unused", kernel.module);
        }
    }
}
