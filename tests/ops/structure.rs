//! The newcomer's rule: an operator is a name, and that name stands in four folders.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of a folder's files with this ending.
fn names(folder: &str, ending: &str) -> BTreeSet<String> {
    std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(ending).map(str::to_owned)
        })
        .collect()
}

#[test]
fn an_operator_is_a_name_in_four_folders() {
    let operators = names("src/ops", ".rs");
    assert!(operators.len() >= 10);
    assert_eq!(names("src/reference", ".rs"), operators);

    let tests = names("tests/ops", ".rs");
    assert_eq!(operators.difference(&tests).count(), 0);

    // A shader's name begins with its operator's; flatten has none.
    let shaders = names("shaders", ".wgsl");
    for operator in operators.iter().filter(|operator| *operator != "flatten") {
        assert!(shaders.contains(operator), "no shaders/{operator}.wgsl");
    }
    for shader in &shaders {
        let is_of = |operator: &String| shader == operator || shader.starts_with(&format!("{operator}_"));
        assert!(operators.iter().any(is_of), "shaders/{shader}.wgsl is of no operator");
    }
}

#[test]
fn golden_cases_cover_all_operators() {
    for operator in names("src/ops", ".rs") {
        let cases = crate::harness::golden_of(&operator).len();
        assert!(cases >= 40, "{operator}: {cases}");
    }
}

/// Infinities, NaN and huge numbers in every float argument of every operator, but in boxes.
#[test]
fn special_values_are_in_every_float_argument() {
    use crate::cases::CaseArray;

    for operator in names("src/ops", ".rs") {
        let cases = crate::harness::golden_of(&operator);
        let cases: Vec<_> = cases.iter().filter(|case| case.id.starts_with("special/")).collect();
        assert!(cases.len() >= 80, "{operator}: {}", cases.len());
        // How many cases have each kind in an argument.
        let mut counts = std::collections::BTreeMap::<&str, [usize; 3]>::new();
        for (name, array) in cases.iter().flat_map(|case| &case.inputs) {
            if let (CaseArray::F32(array), true) = (&*array[0], name != "boxes") {
                let has = |is_it: fn(f32) -> bool| usize::from(array.iter().any(|&x| is_it(x)));
                let kinds = [has(f32::is_infinite), has(f32::is_nan), has(|x| x.is_finite() && x.abs() > 1e38)];
                let counts = counts.entry(name).or_default();
                counts.iter_mut().zip(kinds).for_each(|(count, kind)| *count += kind);
            }
        }
        assert!(!counts.is_empty());
        for (name, counts) in counts {
            assert!(counts.iter().all(|&count| count >= 2), "{operator}: {name}: {counts:?}");
        }
    }
}

#[test]
fn the_readmes_code_is_that_of_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for example in ["eager", "record"] {
        let code = std::fs::read_to_string(root.join(format!("examples/{example}.rs"))).unwrap();
        let (_, code) = code.split_once("\n\n").unwrap();
        assert!(readme.contains(&format!("```rust\n{code}```\n")), "README has not examples/{example}.rs as it is");
    }
}

/// The README is also the front page of the documentation and of the registry, where no file lies beside it.
#[test]
fn the_readmes_links_work_anywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let inline = readme.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let named = readme.lines().filter_map(|line| Some(line.strip_prefix('[')?.split_once("]: ")?.1));
    let links: Vec<_> = inline.chain(named).collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in links {
        assert!(link.starts_with("https://"), "{link} is relative");
        if let Some(path) = link.strip_prefix(concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/")) {
            assert!(root.join(path).is_file(), "there is no {path}");
        }
    }
}

/// Files of this folder and those below.
fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn unsafe_code_is_in_one_small_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = sources(&root);
    assert!(sources.len() > 40);
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_the_one = path.ends_with("gpu/disk_cache.rs");
        assert_eq!(text.contains("allow(unsafe_code)"), is_the_one, "{}", path.display());
        assert!(!is_the_one || text.matches("unsafe {").count() == 1);
        assert!(text.lines().count() <= 420, "{} is long: split it", path.display());
    }
}
