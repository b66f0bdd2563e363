//! The means of areas, which adaptive_avg_pool2d and interpolate share.

use crate::shape::ImageShape;

/// Planes of one size, and the rows and columns of the means of their areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Areas {
    pub input: ImageShape,
    pub out: [usize; 2],
}

#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{
    AreaGradientParams, AreaGradientPlan, AreaParams, AreasPlan, area_gradient_kernel, area_kernels,
};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::Areas;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, LoopParts, WORKGROUP_SIZE, split_loops, uniform};

    uniform! {
        pub(crate) struct AreaParams {
            count: u32,
            in_rows: u32,
            in_cols: u32,
            out_rows: u32,
            out_cols: u32,
            begin: u32,
            end: u32,
            is_last: u32,
            hidden_zero: u32,
            input_base: u32,
            output_base: u32,
        }
    }

    /// The kernels of a file that has the part `areas`: for small areas and for large ones.
    macro_rules! area_kernels {
        ($file:literal) => {
            [
                $crate::gpu::kernel::kernel!(
                    $file,
                    "areas",
                    $crate::ops::areas::AreaParams,
                    [(1, Read), (2, ReadWrite)]
                ),
                $crate::gpu::kernel::kernel!(
                    $file,
                    "large_areas",
                    $crate::ops::areas::AreaParams,
                    [(1, Read), (2, ReadWrite)]
                ),
            ]
        };
    }
    pub(crate) use area_kernels;

    uniform! {
        pub(crate) struct AreaGradientParams {
            count: u32,
            in_rows: u32,
            in_cols: u32,
            out_rows: u32,
            out_cols: u32,
            row_begin: u32,
            row_end: u32,
            col_begin: u32,
            col_end: u32,
            adds: u32,
            output_base: u32,
            input_base: u32,
        }
    }

    /// The kernel of a file that has the part `area_gradient`.
    macro_rules! area_gradient_kernel {
        ($file:literal) => {
            $crate::gpu::kernel::kernel!(
                $file,
                "area_gradient",
                $crate::ops::areas::AreaGradientParams,
                [(1, Read), (2, ReadWrite)]
            )
        };
    }
    pub(crate) use area_gradient_kernel;

    /// Larger areas are shared by the invocations of a workgroup.
    const MOST_FOR_ONE: usize = 1024;

    /// How areas are computed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum AreasPlan {
        /// An area an invocation.
        Each,
        /// An area a workgroup, with at most this many elements in a dispatch.
        #[doc(hidden)]
        Shared { most: usize, of: usize },
    }

    impl fmt::Display for AreasPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                AreasPlan::Each => f.write_str("an area an invocation"),
                AreasPlan::Shared { most, of } => {
                    f.write_str("an area a workgroup")?;
                    let parts = of.div_ceil(*most);
                    if parts > 1 { write!(f, ", in {parts} parts") } else { Ok(()) }
                }
            }
        }
    }

    /// How the gradients of areas are computed: 4 columns an invocation, from the areas that contain them, cut into ranges of
    /// rows and columns of areas where loops would be too long.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AreaGradientPlan {
        parts: LoopParts,
    }

    impl fmt::Display for AreaGradientPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("4 columns an invocation, from areas")?;
            if self.parts.len() > 1 { write!(f, ", in {} parts", self.parts.len()) } else { Ok(()) }
        }
    }

    impl Areas {
        pub fn planes(&self) -> usize {
            self.input.batch * self.input.channels
        }

        /// The most elements of an area.
        fn most(&self) -> usize {
            let lengths = [self.input.rows, self.input.cols];
            // An area reaches into the element that it ends in, and into the one that it begins in.
            let each = [0, 1].map(|axis| match self.out[axis] {
                0 => 0,
                out if lengths[axis].is_multiple_of(out) => lengths[axis] / out,
                out => (lengths[axis] / out + 2).min(lengths[axis]),
            });
            each[0] * each[1]
        }

        pub fn plan(&self, on: &Capabilities) -> AreasPlan {
            match self.most() {
                0..=MOST_FOR_ONE => AreasPlan::Each,
                of => {
                    let most = (on.loop_budget as usize).saturating_mul(WORKGROUP_SIZE as usize).min(of);
                    AreasPlan::Shared { most, of }
                }
            }
        }

        pub fn dispatches(
            &self,
            [each, shared]: &'static [Kernel; 2],
            plan: &AreasPlan,
            planes: usize,
            arguments: [Binding; 2],
            add: &mut dyn FnMut(Dispatch),
        ) {
            let count = planes * self.out[0] * self.out[1];
            if count == 0 {
                return;
            }
            let params = AreaParams {
                count: count as u32,
                in_rows: self.input.rows as u32,
                in_cols: self.input.cols as u32,
                out_rows: self.out[0] as u32,
                out_cols: self.out[1] as u32,
                input_base: arguments[0].base,
                output_base: arguments[1].base,
                ..Default::default()
            };
            match *plan {
                AreasPlan::Each => add(Dispatch::per_element(each, params.to_bytes(), &arguments, count)),
                AreasPlan::Shared { most, of } => {
                    for begin in (0..of).step_by(most) {
                        let end = (begin + most).min(of);
                        let is_last = u32::from(end == of);
                        let params = AreaParams { begin: begin as u32, end: end as u32, is_last, ..params };
                        add(Dispatch::per_workgroup(shared, params.to_bytes(), &arguments, count)
                            .with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE));
                    }
                }
            }
        }

        /// The most areas that contain one of some positions beside each other, along an axis.
        fn most_over(&self, axis: usize, positions: usize) -> usize {
            let (length, out) = ([self.input.rows, self.input.cols][axis], self.out[axis]);
            (positions.saturating_mul(out) / length + 2).min(out).max(1)
        }

        /// How many numbers are added up, one after the other, for an element of the gradient, with what it is added to.
        pub fn terms(&self) -> usize {
            self.most_over(0, 1) + self.most_over(1, 1) + 2
        }

        pub fn plan_gradient(&self, on: &Capabilities) -> AreaGradientPlan {
            AreaGradientPlan { parts: split_loops(on, [1, self.most_over(0, 1), self.most_over(1, 4)], 1) }
        }

        /// The dispatches of the gradient for some planes, on grad_output and grad_input.
        pub fn gradient_dispatches(
            &self,
            kernel: &'static Kernel,
            plan: &AreaGradientPlan,
            planes: usize,
            adds: bool,
            arguments: [Binding; 2],
            add: &mut dyn FnMut(Dispatch),
        ) {
            let count = planes * self.input.rows * self.input.cols.div_ceil(4);
            if count == 0 {
                return;
            }
            for (index, [_, rows, cols]) in plan.parts.iter().enumerate() {
                let params = AreaGradientParams {
                    count: count as u32,
                    in_rows: self.input.rows as u32,
                    in_cols: self.input.cols as u32,
                    out_rows: self.out[0] as u32,
                    out_cols: self.out[1] as u32,
                    row_begin: rows.start,
                    row_end: rows.end,
                    col_begin: cols.start,
                    col_end: cols.end,
                    adds: u32::from(adds || index > 0),
                    output_base: arguments[0].base,
                    input_base: arguments[1].base,
                };
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count));
            }
        }
    }
}
