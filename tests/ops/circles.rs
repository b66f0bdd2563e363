//! Files that import each other cannot be read one after the other: there are no circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::structure::sources;

/// A module's path: `["gpu", "tensor"]` for `src/gpu/tensor.rs`.
type Module = Vec<String>;

/// Circles that there still are, each of these folders' names.
const KNOWN: &[&[&str]] = &[];

/// The modules of `src` and their texts without comments. The roots, `lib.rs` and `main.rs`, have an empty path.
fn modules() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::<Module, String>::new();
    for path in sources(&root).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let inside = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Module = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Its tests may import anything.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
        modules.entry(module).or_default().extend(lines.map(|line| format!("{line}\n")));
    }
    modules
}

/// The paths that a text such as `a::{b, c::d}` begins with.
fn paths(text: &str) -> Vec<Module> {
    let end = text.find(|c: char| !c.is_alphanumeric() && !"_:{".contains(c)).unwrap_or(text.len());
    let head = &text[..end];
    let Some((stem, _)) = head.split_once('{') else {
        return vec![head.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()];
    };
    let stem: Module = stem.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let open = head.find('{').unwrap();
    let (mut depth, mut begin) = (0, open + 1);
    let mut all = Vec::new();
    for (at, c) in text.char_indices().skip_while(|&(at, _)| at < open) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || depth == 1 && c == ',' {
            let inner = text[begin..at].trim();
            let inner = if inner.is_empty() { Vec::new() } else { paths(inner) };
            all.extend(inner.into_iter().map(|path| [stem.clone(), path].concat()));
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    all
}

/// The modules that each module names by `crate::` or `super::`, and of what `lib.rs` exports those that it is from.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let modules = modules();
    let module_of = |path: &[String]| {
        (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|path| modules.contains_key(path)).unwrap()
    };
    let mut exports = BTreeMap::new();
    for text in modules[&Vec::new()].split("pub use ").skip(1) {
        exports.extend(paths(text).into_iter().map(|path| (path.last().unwrap().clone(), module_of(&path))));
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut imports = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (module, text) in &modules {
        for (word, base) in [("crate::", Vec::new()), ("super::", module[..module.len().saturating_sub(1)].to_vec())] {
            for (at, _) in text.match_indices(word).filter(|(at, _)| !text[..*at].ends_with(is_name)) {
                for path in paths(&text[at + word.len()..]) {
                    let path = [base.clone(), path].concat();
                    let found = match (module_of(&path), path.first()) {
                        // `super` in a module within a file of the top is the file itself.
                        (found, _) if found.is_empty() && word == "super::" => continue,
                        // Not among the exports by name: from `pub use ops::*`.
                        (found, Some(name)) if found.is_empty() => {
                            exports.get(name).cloned().unwrap_or_else(|| vec!["ops".to_owned()])
                        }
                        (found, _) => found,
                    };
                    imports.entry(module.clone()).or_default().insert(found);
                }
            }
        }
    }
    imports
}

/// The groups of modules that reach each other.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Vec<String>> {
    let reached = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            next.extend(imports.get(module).into_iter().flatten().filter(|module| reached.insert((*module).clone())));
        }
        reached
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|module| (module, reached(module))).collect();
    let circle_of = |module: &Module| {
        let others = reached[module].iter().filter(|other| reached.get(other).is_some_and(|of| of.contains(module)));
        others.map(|other| other.join("/")).collect::<Vec<_>>()
    };
    imports.keys().map(circle_of).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn no_files_import_each_other() {
    let mut imports = imports();
    assert!(imports.len() > 40 && imports.values().map(BTreeSet::len).sum::<usize>() > 150);
    for (module, others) in &mut imports {
        // A folder's root and the files in the folder are one thing that was cut.
        others.retain(|other| !module.starts_with(other) && !other.starts_with(module));
    }
    assert_eq!(circles(&imports), BTreeSet::new());
}

#[test]
fn no_folders_import_each_other() {
    let mut folders = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (module, others) in imports().iter().filter(|(module, _)| !module.is_empty()) {
        let others = others.iter().filter(|other| !other.is_empty() && other[0] != module[0]);
        let others = others.map(|other| other[..1].to_vec());
        folders.entry(module[..1].to_vec()).or_default().extend(others);
    }
    let known: BTreeSet<Vec<String>> =
        KNOWN.iter().map(|names| names.iter().map(|&name| name.to_owned()).collect()).collect();
    assert_eq!(circles(&folders), known);
}

#[test]
fn paths_and_circles_are_found() {
    let all =
        paths("gpu::{Gpu, kernel::{A, B as C}, lock};\nuse x").iter().map(|path| path.join("/")).collect::<Vec<_>>();
    assert_eq!(all, ["gpu/Gpu", "gpu/kernel/A", "gpu/kernel/B", "gpu/lock"]);
    assert_eq!(paths("gpu::Gpu::submit)"), [["gpu", "Gpu", "submit"]]);
    let module = |name: &str| vec![name.to_owned()];
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("c", "e")];
    let mut imports = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (from, to) in edges {
        imports.entry(module(from)).or_default().insert(module(to));
    }
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(circles(&imports), BTreeSet::from([names]));
}
