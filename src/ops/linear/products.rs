//! The products of matrices that gradients of linear are: see shaders/linear_backward.wgsl.

use std::fmt;

use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, WORKGROUP_SIZE, kernel, uniform};
use crate::ops::convolution::patches::LANES;

uniform! {
    struct Params {
        rows: u32,
        columns: u32,
        begin: u32,
        end: u32,
        steps_per_split: u32,
        splits: u32,
        a_row: u32,
        a_step: u32,
        a_base: u32,
        b_base: u32,
        result_base: u32,
        workspace_base: u32,
        adds: u32,
    }
}

macro_rules! product_kernel {
    ($columns:literal, $steps:literal as $module:literal, $entry_point:literal, $storage:tt) => {
        kernel!("linear_backward" with $columns $steps as $module, $entry_point, Params, $storage)
    };
}
/// With the columns element by element or in blocks, and the steps too, or in blocks whose loads are shared in subgroups.
static PRODUCTS: [[Kernel; 3]; 2] = [
    [
        product_kernel!(
            "linear_columns", "linear_steps" as "linear_backward_elements", "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
        product_kernel!(
            "linear_columns", "linear_steps_in_blocks" as "linear_backward_columns",
            "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
        product_kernel!(
            "linear_columns", "linear_steps_subgroup" as "linear_backward_columns_subgroup",
            "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
    ],
    [
        product_kernel!(
            "linear_columns_in_blocks", "linear_steps" as "linear_backward_steps",
            "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
        product_kernel!(
            "linear_columns_in_blocks", "linear_steps_in_blocks" as "linear_backward",
            "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
        product_kernel!(
            "linear_columns_in_blocks", "linear_steps_subgroup" as "linear_backward_subgroup",
            "products", [(1, Read), (2, Read), (3, ReadWrite)]
        ),
    ],
];
/// The kernels that add splits.
static ADD_SPLITS: [Kernel; 2] = [
    product_kernel!(
        "linear_columns", "linear_steps" as "linear_backward_elements", "add_splits", [(3, ReadWrite), (4, ReadWrite)]
    ),
    product_kernel!(
        "linear_columns_in_blocks", "linear_steps_in_blocks" as "linear_backward",
        "add_splits", [(3, ReadWrite), (4, ReadWrite)]
    ),
];
/// All of them.
pub(super) const KERNELS: [&[Kernel]; 3] = [&PRODUCTS[0], &PRODUCTS[1], &ADD_SPLITS];

/// The steps whose products are added one after the other.
const CHUNK: usize = 256;
/// As many steps are one chunk.
const ONE_CHUNK: usize = 1024;
/// The most splits, and the fewest steps of one.
const MOST_SPLITS: usize = 64;
const FEWEST_STEPS: usize = 64;
/// The number of invocations that keeps a large GPU busy.
const ENOUGH_INVOCATIONS: usize = 1 << 16;

/// result[m, k] = sum over s of a[m, s] * b[s, k].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    pub rows: usize,
    pub columns: usize,
    pub steps: usize,
    /// The distance in a of one row and of one step, of which one is 1.
    pub a_row: usize,
    pub a_step: usize,
}

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductPlan {
    /// The rows of an invocation.
    rows: usize,
    splits: usize,
    workgroup_size: usize,
    in_blocks: bool,
    /// Whether the invocations of a subgroup share loads, where rows are made of blocks.
    by_subgroups: bool,
    /// The most steps of a dispatch, of each split.
    most_steps: usize,
    workspace: usize,
}

impl fmt::Display for ProductPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = if self.in_blocks { "a block of 4 columns" } else { "4 columns" };
        let shared = if self.by_subgroups { ", loads shared in subgroups" } else { "" };
        write!(f, "{} rows of {columns} an invocation{shared}", self.rows)?;
        if self.splits > 1 { write!(f, ", split in {}", self.splits) } else { Ok(()) }
    }
}

impl ProductPlan {
    /// The elements of workspace.
    pub fn workspace(&self) -> usize {
        self.workspace
    }
}

/// How many roundings bring the sum of as many products as far from the exact one, at most.
pub(super) fn roundings(steps: usize) -> usize {
    // Chunks, splits and ranges add up in turn.
    4 + if steps <= ONE_CHUNK { steps } else { ONE_CHUNK + steps / CHUNK + MOST_SPLITS }
}

impl Product {
    pub fn plan(&self, on: &Capabilities) -> ProductPlan {
        // More sums than these leave the registers of a GPU; a CPU keeps them near.
        let most_rows = if on.is_software() { 16 } else { 8 };
        let rows = [1, 2, 4, 8].into_iter().find(|&rows| self.rows <= rows).unwrap_or(most_rows).min(most_rows);
        let invocations = self.rows.div_ceil(rows) * self.columns.div_ceil(BLOCK as usize);
        let splits = match on.is_software() {
            true => 1,
            false => {
                let wanted = ENOUGH_INVOCATIONS.div_ceil(invocations.max(1));
                wanted.min(self.steps / FEWEST_STEPS).clamp(1, MOST_SPLITS)
            }
        };
        ProductPlan {
            rows,
            splits,
            workgroup_size: if on.is_software() { LANES } else { WORKGROUP_SIZE as usize },
            // Of nothing there are no blocks.
            in_blocks: self.steps > 0 && self.columns.is_multiple_of(BLOCK as usize),
            by_subgroups: on.is_software() && on.has(wgpu::Features::SUBGROUP),
            // A chunk counts too, and what is stored.
            most_steps: on.loop_budget as usize / 2 / CHUNK * CHUNK,
            workspace: if splits > 1 { splits * self.rows * self.columns } else { 0 },
        }
    }

    /// The dispatches. `a` begins at an element of its binding's part.
    #[expect(clippy::too_many_arguments, reason = "three matrices")]
    pub fn dispatches(
        &self,
        plan: &ProductPlan,
        (a, a_first): (Binding, usize),
        b: Binding,
        result: Binding,
        workspace: Binding,
        adds: bool,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let Product { rows, columns, steps, a_row, a_step } = *self;
        if rows * columns == 0 {
            return;
        }
        // A part may begin beside a block only where rows are not made of blocks.
        let a_base = a.base as usize + a_first;
        let a_in_blocks = steps > 0
            && [a_base, a_row.max(a_step)].iter().all(|value| value.is_multiple_of(BLOCK as usize))
            && (a_row != 1 || rows.is_multiple_of(BLOCK as usize));
        let of_a = if a_in_blocks { 1 + usize::from(plan.by_subgroups) } else { 0 };
        let products = &PRODUCTS[usize::from(plan.in_blocks)][of_a];
        let tiles = rows.div_ceil(plan.rows) * columns.div_ceil(BLOCK as usize).div_ceil(plan.workgroup_size);
        let is_split = plan.splits > 1;
        let target = if is_split { workspace } else { result };
        let range = plan.most_steps.saturating_mul(plan.splits);
        for begin in (0..steps.max(1)).step_by(range) {
            let end = (begin + range).min(steps);
            let params = Params {
                rows: rows as u32,
                columns: columns as u32,
                begin: begin as u32,
                end: end as u32,
                // Whole blocks of steps.
                steps_per_split: (end - begin).div_ceil(plan.splits).next_multiple_of(BLOCK as usize) as u32,
                splits: plan.splits as u32,
                a_row: a_row as u32,
                a_step: a_step as u32,
                a_base: a_base as u32,
                b_base: b.base,
                result_base: target.base,
                workspace_base: 0,
                adds: u32::from(begin > 0 || adds && !is_split),
            };
            let has_chunks = (params.steps_per_split as usize) > ONE_CHUNK;
            add(Dispatch::per_workgroup(products, params.to_bytes(), &[a, b, target], tiles * plan.splits)
                .with_constant("WORKGROUP_SIZE", plan.workgroup_size as u32)
                .with_constant("ROWS", plan.rows as u32)
                .with_constant("CHUNK", CHUNK as u32)
                .with_constant("HAS_CHUNKS", u32::from(has_chunks)));
        }
        if is_split {
            let params = Params {
                rows: rows as u32,
                columns: columns as u32,
                splits: plan.splits as u32,
                result_base: result.base,
                workspace_base: workspace.base,
                adds: u32::from(adds),
                ..Default::default()
            };
            let invocations = if plan.in_blocks { rows * columns / BLOCK as usize } else { rows * columns };
            let add_splits = &ADD_SPLITS[usize::from(plan.in_blocks)];
            add(Dispatch::per_element(add_splits, params.to_bytes(), &[result, workspace], invocations));
        }
    }
}
