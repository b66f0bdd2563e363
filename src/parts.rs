//! The parts of shaders, and how a module is joined from them: see shaders/README.md.

/// The text of a part in `shaders/parts`.
macro_rules! part {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/parts/", $name, ".wgsl")))
    };
}

/// All parts, by name.
static PARTS: &[(&str, &str)] = &[
    part!("bias"),
    part!("bits"),
    part!("classes"),
    part!("classes_in_blocks"),
    part!("convolution"),
    part!("convolution_params"),
    part!("elementwise"),
    part!("exchanged_add"),
    part!("exp"),
    part!("exponentials"),
    part!("float32_atomic_add"),
    part!("gemm"),
    part!("kernels"),
    part!("kernels_packed"),
    part!("log"),
    part!("normalize"),
    part!("order"),
    part!("pairs"),
    part!("patches"),
    part!("phase_params"),
    part!("phases"),
    part!("pixels"),
    part!("pool_params"),
    part!("quads"),
    part!("statistics"),
    part!("weights"),
    part!("weights_subgroup"),
    part!("window"),
    part!("winograd"),
    part!("winograd_spoiling"),
    part!("winograd_tiles"),
];

/// The parts that a text's first line names. Of alternatives, the variant if there is one, otherwise the first.
fn named<'a>(text: &'a str, variant: Option<&str>) -> impl Iterator<Item = &'a str> {
    let line = text.lines().next().and_then(|line| line.strip_prefix("// parts: "));
    line.into_iter().flat_map(|line| line.split(", ")).map(move |alternatives| {
        let mut names = alternatives.split('|');
        let first = names.next().unwrap_or_default();
        names.find(|&name| Some(name) == variant).unwrap_or(first)
    })
}

/// `text` after its parts. Each part comes once, and after its own parts.
pub(crate) fn joined(text: &str, variant: Option<&str>) -> String {
    fn add<'a>(text: &'a str, variant: Option<&str>, added: &mut Vec<&'a str>, source: &mut String) {
        for name in named(text, variant) {
            // A test checks that every named part exists.
            let part = PARTS.iter().find(|(other, _)| *other == name);
            if let Some((_, part)) = part.filter(|_| !added.contains(&name)) {
                added.push(name);
                add(part, variant, added, source);
                source.push('\n');
            }
        }
        source.push_str(text);
    }
    let mut source = String::new();
    add(text, variant, &mut Vec::new(), &mut source);
    source
}
