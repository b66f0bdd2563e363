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

macro_rules! names {
    ($($module:ident: $operator:ident),* $(,)?) => {
        &[$([stringify!($module), stringify!($operator)]),*]
    };
}
/// The names of operators with gradients, and their types'.
const DIFFERENTIABLE: &[[&str; 2]] = wgdnn::operators!(names);
/// Those of operators without.
const OPTIMIZERS: &[[&str; 2]] = wgdnn::optimizers!(names);

/// The operators' names, and their types'.
fn operators() -> impl Iterator<Item = &'static [&'static str; 2]> {
    DIFFERENTIABLE.iter().chain(OPTIMIZERS)
}

/// Kernels of several operators alike: the gradients of all activations, and sums over channels.
const SHARED_SHADERS: [&str; 3] = ["activation_backward", "sums", "sums_finish"];

#[test]
fn an_operator_is_a_name_in_four_folders() {
    let operators: BTreeSet<_> = operators().map(|[name, _]| (*name).to_owned()).collect();
    assert!(operators.len() >= 10 && operators.len() == self::operators().count());
    assert_eq!(names("src/reference", ".rs"), operators);
    for folder in ["src/ops", "tests/ops"] {
        assert_eq!(operators.difference(&names(folder, ".rs")).count(), 0, "{folder}");
    }

    // A shader's name begins with its operator's; what only gives data another shape has none.
    let shaders = names("shaders", ".wgsl");
    let without: Vec<_> = operators.difference(&shaders).collect();
    assert_eq!(without, ["flatten"]);
    for shader in &shaders {
        let is_of = |operator: &String| shader == operator || shader.starts_with(&format!("{operator}_"));
        let is_shared = SHARED_SHADERS.contains(&&**shader);
        assert!(is_shared || operators.iter().any(is_of), "shaders/{shader}.wgsl is of no operator");
    }
}

/// Where operators are named outside of their own files, and why.
const MAY_NAME_OPERATORS: &[(&str, &str)] = &[
    ("src/ops.rs", "the list of operators"),
    ("src/error.rs", "tests of what errors print"),
    ("src/activation.rs", "what can be fused with others"),
    ("src/ops/elementwise/backward.rs", "activations that differentiate by their output"),
    ("src/ops/epilogue.rs", "slopes that are an argument"),
    ("src/ops/rows.rs", "parameters that two operators share"),
    ("tests/ops/harness/rows.rs", "parameters that two operators share"),
    ("tests/ops/interpreter/value.rs", "an operator of numbers"),
    ("src/reference.rs", "what can be fused with others"),
    ("src/operator/misdeclared.rs", "defects are planted into an operator"),
    ("src/cli/kernels.rs", "an activation that has kernels of its own"),
    ("src/cli/report.rs", "the report's rows"),
    ("src/cli/check.rs", "whether the device still works is known by running something"),
    ("src/cli/escape.rs", "a test of what is printed"),
    ("src/main.rs", "an attribute that has an operator's name"),
    ("tests/ops/structure.rs", "what has no shader"),
    ("tests/ops/harness/golden.rs", "a folder of cases that has an operator's name"),
    ("tests/ops/report.rs", "the report's figures"),
    ("tests/ops/bench.rs", "the program, asked about some operator"),
    ("tests/ops/check.rs", "the program, asked about some operator"),
    ("tests/ops/params_serde.rs", "what is read and written alike, by some operators' parameters"),
    // The device, which is there to run something: tensors, memory, threads, errors.
    ("tests/ops/api.rs", "of the device"),
    ("tests/ops/bad_input.rs", "of the device"),
    ("tests/ops/by_name.rs", "operators with optional arguments, lists, and targets of either kind"),
    ("tests/ops/epilogues.rs", "what can be fused with others"),
    ("tests/ops/epilogues/operators.rs", "what can be fused with others"),
    ("tests/ops/epilogues/properties.rs", "what can be fused with others"),
    ("tests/ops/faults.rs", "of the device"),
    ("tests/ops/flat.rs", "optimisers, which go over all parameters"),
    ("tests/ops/folding.rs", "what a batch norm is folded into"),
    ("tests/ops/faults/memory.rs", "of the device"),
    ("tests/ops/in_place.rs", "of the device"),
    ("tests/ops/inspection.rs", "of the device"),
    ("tests/ops/keeping.rs", "of the device"),
    ("tests/ops/memory.rs", "of the device"),
    ("tests/ops/networks.rs", "weights, by PyTorch's names"),
    ("tests/ops/own.rs", "of the device"),
    ("tests/ops/shaders.rs", "kernels that bind more than others"),
    ("tests/ops/sharing.rs", "of the device"),
    ("tests/ops/splitting.rs", "of the device"),
    ("tests/ops/start_up.rs", "of the device"),
    ("tests/ops/tensor.rs", "of the device"),
    ("tests/ops/threads.rs", "of the device"),
    ("tests/ops/training.rs", "what makes up a step of training"),
    ("benches/recording.rs", "of the device"),
    ("benches/training.rs", "what makes up a step of training"),
];

/// Operators whose names are words for much else.
const WORDS: [&str; 4] = ["add", "cat", "pad", "zero"];

/// Whether a line of code has the name of an operator, or one that begins with that of its type.
fn names_an_operator(line: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has = |word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let (before, behind) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
            // Iterators flatten too.
            !behind.is_some_and(is_word) && !before.is_some_and(|c| is_word(c) || c == '.')
        })
    };
    // What belongs to a type: `ConvParams`, but not `Padding` to `Pad`.
    const OF_TYPE: [&str; 5] = ["", "Params", "Inputs", "Outputs", "Plan"];
    let has_type = |of_type: &str| OF_TYPE.iter().any(|end| has(&format!("{of_type}{end}")));
    operators().any(|[name, of_type]| (!WORDS.contains(name) && has(name)) || has_type(of_type))
}

/// What is not an operator's own goes on as it is with another operator.
#[test]
fn no_other_file_names_an_operator() {
    assert!(names_an_operator("let pool = wgdnn::max_pool2d(&x)?;") && names_an_operator("MaxPool2dParams::new("));
    assert!(!names_an_operator("rows.flatten().map(max_pool2d_rows)") && !names_an_operator("add(Padding::Same)"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut naming = BTreeSet::new();
    for path in ["src", "benches", "tests/ops"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let is_of_operator = |folder: &str| {
            let inside = name.strip_prefix(folder).unwrap_or_default();
            operators().any(|[operator, _]| {
                inside.strip_prefix(operator).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
        };
        if !name.ends_with(".rs") || ["src/ops/", "src/reference/", "tests/ops/"].into_iter().any(is_of_operator) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if text.lines().any(|line| !line.trim_start().starts_with("//") && names_an_operator(line)) {
            naming.insert(name);
        }
    }
    let allowed: BTreeSet<_> = MAY_NAME_OPERATORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let wrong: Vec<_> = naming.difference(&allowed).collect();
    assert!(wrong.is_empty(), "operators are named in {wrong:?}");
    let no_more: Vec<_> = allowed.difference(&naming).collect();
    assert!(no_more.is_empty(), "no operator is named any more in {no_more:?}");
}

/// An operator with a shader has wrong ones beside its tests, in its file or its folder.
#[test]
fn every_operator_has_planted_faults() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ops");
    for [operator, of_type] in operators().filter(|[operator, _]| *operator != "flatten") {
        let folder = tests.join(operator);
        let mut files = if folder.is_dir() { sources(&folder) } else { Vec::new() };
        files.push(tests.join(format!("{operator}.rs")));
        let plants = [
            format!("planted_faults!(\"{operator}\","),
            format!("activation_tests!({of_type},\"{operator}\","),
            format!("softmax_tests!({of_type},\"{operator}\","),
        ];
        let has_any = files.iter().any(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let text: String = text.split_whitespace().collect();
            plants.iter().any(|plants| text.contains(plants))
        });
        assert!(has_any, "tests/ops/{operator}.rs plants no faults");
    }
}

#[test]
fn golden_cases_cover_all_operators() {
    for [operator, _] in operators() {
        let cases = crate::harness::golden_of(operator).len();
        assert!(cases >= 40, "{operator}: {cases}");
    }
}

/// Infinities, NaN and, but for backward passes, huge numbers in every float argument of every operator, but in boxes, and in
/// an optimiser's learning rate and step.
#[test]
fn special_values_are_in_every_float_argument() {
    use wgdnn::cases::CaseArray;

    for [operator, _] in operators() {
        let has_gradients = DIFFERENTIABLE.iter().any(|[other, _]| other == operator);
        let cases = crate::harness::golden_of(operator);
        let cases = cases.into_iter().filter(|case| case.id.starts_with("special/"));
        let (backward, forward): (Vec<_>, Vec<_>) = cases.partition(|case| case.inputs.contains_key("grad_output"));
        for (cases, least, kinds) in
            [(forward, 80, 3), (backward, 20, 2)].into_iter().take(1 + usize::from(has_gradients))
        {
            assert!(cases.len() >= least, "{operator}: {}", cases.len());
            // How many cases have each kind in an argument.
            let mut counts = std::collections::BTreeMap::<&str, [usize; 3]>::new();
            for (name, array) in cases.iter().flat_map(|case| &case.inputs) {
                if let (CaseArray::F32(array), true) = (&*array[0], !["boxes", "lr", "step"].contains(&name.as_str())) {
                    let has = |is_it: fn(f32) -> bool| usize::from(array.iter().any(|&x| is_it(x)));
                    let kinds = [has(f32::is_infinite), has(f32::is_nan), has(|x| x.is_finite() && x.abs() > 1e38)];
                    let counts = counts.entry(name).or_default();
                    counts.iter_mut().zip(kinds).for_each(|(count, kind)| *count += kind);
                }
            }
            assert!(!counts.is_empty());
            for (name, counts) in counts {
                assert!(counts[..kinds].iter().all(|&count| count >= 2), "{operator}: {name}: {counts:?}");
            }
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
pub fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
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
    }
}

/// No file of this ending in these folders has more lines than `most`.
fn expect_short(folders: &[&str], ending: &str, most: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = folders.iter().flat_map(|folder| sources(&root.join(folder))).collect();
    let files: Vec<_> = files.iter().filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    assert!(files.len() > 20, "{} files", files.len());
    for path in files {
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= most, "{} has {lines} lines, more than {most}: split it", path.display());
    }
}

#[test]
fn no_rust_file_is_long() {
    expect_short(&["src", "tests", "benches", "examples"], "rs", 400);
}

#[test]
fn no_shader_is_long() {
    expect_short(&["shaders"], "wgsl", 350);
}
