//! Rows of scores on the GPU: their plan, their dispatches, and what rounding may do.

use std::fmt;

use ndarray::ArrayD;

use super::Rows;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, UniformBytes, uniform};
use crate::operator::replay::{largest, rounding};
use crate::operator::{Definition, Slot, Slots, Tolerance};
use crate::ops::{UnaryInputs, UnaryOutputs};

uniform! {
    pub(crate) struct RowParams {
        rows: u32,
        classes: u32,
        inner: u32,
        hidden_zero: u32,
        input_base: u32,
        output_base: u32,
    }
}

uniform! {
    pub(crate) struct RowGradientParams {
        rows: u32,
        classes: u32,
        inner: u32,
        hidden_zero: u32,
        input_base: u32,
        adds: u32,
    }
}

/// More classes are shared by the invocations of a workgroup.
const MOST_FOR_ONE: usize = 4096;

/// How rows are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowsPlan {
    /// Some invocations a row.
    #[doc(hidden)]
    Rows { lanes: u32, workgroup_size: u32, in_blocks: bool },
    /// An invocation for 4 rows next to each other.
    Columns,
}

impl fmt::Display for RowsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowsPlan::Columns => f.write_str("an invocation for 4 rows next to each other"),
            RowsPlan::Rows { lanes, workgroup_size, in_blocks } => {
                write!(f, "{lanes} of {workgroup_size} invocations a row")?;
                f.write_str(if *in_blocks { ", in blocks of 4" } else { "" })
            }
        }
    }
}

impl Rows {
    pub fn plan(&self, on: &Capabilities) -> RowsPlan {
        let may_be_one = self.classes <= MOST_FOR_ONE;
        if may_be_one && self.inner.is_multiple_of(BLOCK as usize) {
            return RowsPlan::Columns;
        }
        let [lanes, workgroup_size] = match self.classes {
            0..=32 => [1, 64],
            // Neighbouring invocations have neighbouring rows then.
            _ if may_be_one && self.inner >= 64 => [1, 64],
            // The size of a software adapter's vector, where barriers are slow.
            33..=65536 if on.is_software() => [8, 64],
            33..=4096 => [32, 64],
            _ => [256, 256],
        };
        let in_blocks = self.inner == 1 && self.classes.is_multiple_of(BLOCK as usize);
        RowsPlan::Rows { lanes, workgroup_size, in_blocks }
    }

    pub fn declare<O>(&self) -> Slots<O>
    where
        O: Definition<Inputs = UnaryInputs<()>, Outputs = UnaryOutputs<()>>,
    {
        let share = self.classes * self.inner;
        let inputs = UnaryInputs { input: Slot::read(&self.shape).cut(share) };
        Slots::new(inputs, UnaryOutputs { output: Slot::write(&self.shape).cut(share) }).cut(self.items())
    }

    /// The kernels are for rows, for rows in blocks, and for columns.
    pub fn dispatches(
        &self,
        kernels: &'static [Kernel; 3],
        plan: &RowsPlan,
        items: usize,
        input: Binding,
        output: Binding,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let params = RowParams {
            rows: (items * self.inner) as u32,
            classes: self.classes as u32,
            inner: self.inner as u32,
            hidden_zero: 0,
            input_base: input.base,
            output_base: output.base,
        };
        self.dispatch(kernels, plan, items, params.to_bytes(), &[input, output], add);
    }

    /// The same for a gradient. All arguments are cut alike.
    pub fn gradient_dispatches(
        &self,
        kernels: &'static [Kernel; 3],
        plan: &RowsPlan,
        items: usize,
        adds: bool,
        arguments: [Binding; 3],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let params = RowGradientParams {
            rows: (items * self.inner) as u32,
            classes: self.classes as u32,
            inner: self.inner as u32,
            hidden_zero: 0,
            input_base: arguments[0].base,
            adds: u32::from(adds),
        };
        self.dispatch(kernels, plan, items, params.to_bytes(), &arguments, add);
    }

    fn dispatch(
        &self,
        [in_rows, in_blocks, in_columns]: &'static [Kernel; 3],
        plan: &RowsPlan,
        items: usize,
        params: UniformBytes,
        arguments: &[Binding],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let rows = items * self.inner;
        if rows * self.classes == 0 {
            return;
        }
        match *plan {
            RowsPlan::Columns => add(Dispatch::per_element(in_columns, params, arguments, rows / BLOCK as usize)),
            RowsPlan::Rows { lanes, workgroup_size, in_blocks: is_in_blocks } => {
                let kernel = if is_in_blocks { in_blocks } else { in_rows };
                let workgroups = rows.div_ceil((workgroup_size / lanes) as usize);
                add(Dispatch::per_workgroup(kernel, params, arguments, workgroups)
                    .with_constant("LANES", lanes)
                    .with_constant("WORKGROUP_SIZE", workgroup_size));
            }
        }
    }
}

/// How far rounding may bring the results: by that of the differences of scores, and of the results themselves.
pub(crate) fn tolerance<'a>(input: &ArrayD<f32>, output: &'a ArrayD<f32>) -> Tolerance<'a> {
    let scores = 2.0 * largest(input);
    let sizes = output.clone().into_flat();
    Box::new(move |_, index| {
        let size = f64::from(sizes[index].abs());
        // A difference of scores that is far below 0 has a small exponential.
        let difference = if size > 0.0 && size <= 1.0 { size * scores.min(110.0) } else { size };
        rounding(16, size + difference.max(1e-30))
    })
}

/// How far rounding may bring gradients: see `row_operator`. `results` are what is computed.
pub(crate) fn gradient_tolerance<'a>(
    rows: &Rows,
    [grad_output, output]: [&ArrayD<f32>; 2],
    results: Vec<Vec<f32>>,
    term: fn(f64, f64) -> f64,
    size: fn(f64, f64, f64) -> f64,
) -> Tolerance<'a> {
    let (grad_output, output) = (finite(grad_output), finite(output));
    let row_of = |index: usize| index / (rows.classes * rows.inner) * rows.inner + index % rows.inner;
    let mut sums = vec![0.0; output.len() / rows.classes.max(1)];
    for (index, (&grad, &y)) in grad_output.iter().zip(&output).enumerate() {
        sums[row_of(index)] += term(grad, y).abs();
    }
    let sizes: Vec<_> = (0..output.len())
        .map(|index| {
            let result = results.iter().map(|x| f64::from(x[index].abs())).sum::<f64>();
            size(grad_output[index].abs(), output[index], sums[row_of(index)]) + result
        })
        .collect();
    Box::new(move |_, index| rounding(16, sizes[index]))
}

/// An array's finite elements, and 0 for the others, which come out the same on both sides.
fn finite(array: &ArrayD<f32>) -> Vec<f64> {
    array.iter().map(|&x| if x.is_finite() { f64::from(x) } else { 0.0 }).collect()
}
