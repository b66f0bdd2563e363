//! The parts of shaders, and how a module is joined from them: see shaders/README.md.

/// The text of a part in `shaders/parts`.
macro_rules! part {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/parts/", $name, ".wgsl")))
    };
}

/// All parts, by name.
static PARTS: &[(&str, &str)] = &[
    part!("activation"),
    part!("activations"),
    part!("area_edges"),
    part!("area_gradient"),
    part!("areas"),
    part!("between"),
    part!("bias"),
    part!("bits"),
    part!("block_sums"),
    part!("channel_slopes"),
    part!("class_counts"),
    part!("class_losses"),
    part!("classes"),
    part!("classes_in_blocks"),
    part!("column_blocks"),
    part!("columns_in_blocks"),
    part!("columns_of_elements"),
    part!("convolution"),
    part!("convolution_params"),
    part!("difference_losses"),
    part!("divide"),
    part!("elementwise"),
    part!("epilogue"),
    part!("exchanged_add"),
    part!("exp"),
    part!("exponentials"),
    part!("float32_atomic_add"),
    part!("gemm"),
    part!("gradient_blocks"),
    part!("gradient_elements"),
    part!("gradients"),
    part!("gradients_in_blocks"),
    part!("grads"),
    part!("grads_subgroup"),
    part!("input"),
    part!("input_in_place"),
    part!("kernels"),
    part!("kernels_packed"),
    part!("linear_blocks"),
    part!("linear_columns"),
    part!("linear_columns_in_blocks"),
    part!("linear_elements"),
    part!("linear_steps"),
    part!("linear_steps_in_blocks"),
    part!("linear_steps_subgroup"),
    part!("linear_store"),
    part!("log"),
    part!("loss_grads"),
    part!("losses"),
    part!("momentum"),
    part!("moved"),
    part!("moved_add"),
    part!("no_activation"),
    part!("no_epilogue"),
    part!("no_momentum"),
    part!("no_weights"),
    part!("normalize"),
    part!("order"),
    part!("other"),
    part!("other_in_place"),
    part!("packed_weights"),
    part!("pair_blocks"),
    part!("pairs"),
    part!("patches"),
    part!("phase_params"),
    part!("phase_ranges"),
    part!("phases"),
    part!("philox"),
    part!("pixels"),
    part!("plane_parts"),
    part!("pool_divisor"),
    part!("pool_gradient"),
    part!("pool_params"),
    part!("prelu_terms"),
    part!("quad_gradients"),
    part!("quads"),
    part!("results"),
    part!("results_in_blocks"),
    part!("row"),
    part!("rows"),
    part!("slope"),
    part!("softmax_gradient"),
    part!("softmax_rows"),
    part!("square_terms"),
    part!("squares"),
    part!("statistics"),
    part!("stores"),
    part!("sum_terms"),
    part!("sums"),
    part!("tile_sums"),
    part!("walk_terms"),
    part!("weight_gradient"),
    part!("weights"),
    part!("weights_subgroup"),
    part!("window"),
    part!("winograd"),
    part!("winograd_spoiling"),
    part!("winograd_tiles"),
];

/// The parts that a text's first line names. Of alternatives, one of the variants if there is one, otherwise the first.
fn named<'a>(text: &'a str, variants: &[&str]) -> impl Iterator<Item = &'a str> {
    let line = text.lines().next().and_then(|line| line.strip_prefix("// parts: "));
    line.into_iter().flat_map(|line| line.split(", ")).map(move |alternatives| {
        let mut names = alternatives.split('|');
        let first = names.next().unwrap_or_default();
        names.find(|name| variants.contains(name)).unwrap_or(first)
    })
}

/// `text` after its parts. Each part comes once, and after its own parts.
pub(crate) fn joined(text: &str, variants: &[&str]) -> String {
    fn add<'a>(text: &'a str, variants: &[&str], added: &mut Vec<&'a str>, source: &mut String) {
        for name in named(text, variants) {
            // A test checks that every named part exists.
            let part = PARTS.iter().find(|(other, _)| *other == name);
            if let Some((_, part)) = part.filter(|_| !added.contains(&name)) {
                added.push(name);
                add(part, variants, added, source);
                source.push('\n');
            }
        }
        source.push_str(text);
    }
    let mut source = String::new();
    add(text, variants, &mut Vec::new(), &mut source);
    source
}
