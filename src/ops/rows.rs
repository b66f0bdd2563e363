//! What softmax and log_softmax share: rows of scores along a dimension.

/// Parameters of [`softmax`](crate::softmax) and [`log_softmax`](crate::log_softmax), as in `torch.softmax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftmaxParams {
    /// The dimension along which the results add up. Negative ones count from the end. PyTorch has no default for it.
    pub dim: isize,
}

impl SoftmaxParams {
    /// Along this dimension.
    pub fn new(dim: isize) -> Self {
        SoftmaxParams { dim }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(SoftmaxParams: new(dim));

/// Rows of scores along a dimension of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub shape: Vec<usize>,
    pub dim: usize,
    pub classes: usize,
    /// Elements after the dimension.
    pub inner: usize,
}

impl Rows {
    pub fn new(operator: &'static str, input: &[usize], params: &SoftmaxParams) -> crate::Result<Self> {
        crate::shape::element_count(operator, "input", input)?;
        let dim = crate::shape::dimension(operator, "dim", params.dim, input)?;
        let classes = input.get(dim).copied().unwrap_or(1);
        let inner = input.iter().skip(dim + 1).product();
        Ok(Rows { shape: input.to_vec(), dim, classes, inner })
    }
}

/// Defines an operator on rows of scores, by its type and its name. `shaders/NAME.wgsl` has the part `softmax_rows`.
macro_rules! row_operator {
    ($(#[$meta:meta])* pub struct $operator:ident = $name:literal;) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $operator {
            pub(crate) rows: $crate::ops::rows::Rows,
        }

        impl $operator {
            /// Checks the dimension against an input of any shape.
            ///
            /// # Errors
            /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a dimension that the input does not have;
            /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted.
            pub fn new(input: &[usize], params: &$crate::SoftmaxParams) -> $crate::Result<Self> {
                Ok($operator { rows: $crate::ops::rows::Rows::new($name, input, params)? })
            }

            /// The shape of the output: that of the input.
            pub fn output_shape(&self) -> &[usize] {
                &self.rows.shape
            }
        }

        impl $crate::operator::Definition for $operator {
            const NAME: &'static str = $name;
            type Params = $crate::SoftmaxParams;
            type Inputs = $crate::UnaryInputs<()>;
            type Outputs = $crate::UnaryOutputs<()>;

            fn of_shapes(
                inputs: &$crate::UnaryInputs<Vec<usize>>,
                params: &$crate::SoftmaxParams,
            ) -> $crate::Result<Self> {
                $operator::new(&inputs.input, params)
            }
        }

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use super::$operator;
            use crate::gpu::capabilities::Capabilities;
            use crate::gpu::kernel::{Dispatch, Kernel, kernel};
            use crate::gpu::work::Part;
            use crate::operator::{ArraysOf, Bound, Computed, Operator, Slots, Tolerance};
            use crate::ops::rows::{RowParams, RowsPlan, tolerance};

            /// For rows, for rows in blocks, and for columns.
            static KERNELS: [Kernel; 3] = [
                kernel!($name, "rows", RowParams, [(1, Read), (2, ReadWrite)]),
                kernel!(
                    $name with "classes_in_blocks" "results_in_blocks" as concat!($name, "_in_blocks"),
                    "rows",
                    RowParams,
                    [(1, Read), (2, ReadWrite)]
                ),
                kernel!($name, "columns", RowParams, [(1, Read), (2, ReadWrite)]),
            ];

            impl Operator for $operator {
                type Plan = RowsPlan;
                const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

                fn plan(&self, on: &Capabilities) -> RowsPlan {
                    self.rows.plan(on)
                }

                fn declare(&self, _: &RowsPlan) -> Slots<Self> {
                    self.rows.declare()
                }

                fn dispatches(&self, plan: &RowsPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
                    let arguments = [bound.inputs.input, bound.outputs.output];
                    self.rows.dispatches(&KERNELS, plan, part.items, arguments, add);
                }

                fn rounding<'a>(
                    &'a self,
                    _: &RowsPlan,
                    inputs: &'a ArraysOf<Self>,
                    computed: &'a Computed<Self>,
                ) -> $crate::Result<Tolerance<'a>> {
                    Ok(tolerance(&inputs.input, &computed.outputs.output))
                }
            }
        }
    };
}
pub(crate) use row_operator;

#[cfg(feature = "gpu-core")]
pub use on_gpu::RowsPlan;
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{RowParams, tolerance};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use ndarray::ArrayD;

    use super::Rows;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, uniform};
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
            let items = self.shape.iter().take(self.dim).product();
            Slots::new(inputs, UnaryOutputs { output: Slot::write(&self.shape).cut(share) }).cut(items)
        }

        /// The kernels are for rows, for rows in blocks, and for columns.
        pub fn dispatches(
            &self,
            kernels: &'static [Kernel; 3],
            plan: &RowsPlan,
            items: usize,
            arguments: [Binding; 2],
            add: &mut dyn FnMut(Dispatch),
        ) {
            let rows = items * self.inner;
            if rows * self.classes == 0 {
                return;
            }
            let params = RowParams {
                rows: rows as u32,
                classes: self.classes as u32,
                inner: self.inner as u32,
                hidden_zero: 0,
                input_base: arguments[0].base,
                output_base: arguments[1].base,
            }
            .to_bytes();
            let [in_rows, in_blocks, in_columns] = kernels;
            match *plan {
                RowsPlan::Columns => add(Dispatch::per_element(in_columns, params, &arguments, rows / BLOCK as usize)),
                RowsPlan::Rows { lanes, workgroup_size, in_blocks: is_in_blocks } => {
                    let kernel = if is_in_blocks { in_blocks } else { in_rows };
                    let workgroups = rows.div_ceil((workgroup_size / lanes) as usize);
                    add(Dispatch::per_workgroup(kernel, params, &arguments, workgroups)
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
}
