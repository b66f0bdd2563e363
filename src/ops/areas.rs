//! The means of areas, which adaptive_avg_pool2d and interpolate share.

use crate::shape::ImageShape;

/// Planes of one size, and the rows and columns of the means of their areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Areas {
    pub input: ImageShape,
    pub out: [usize; 2],
}

#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{AreaParams, AreasPlan, area_kernels};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::Areas;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, WORKGROUP_SIZE, uniform};

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
    }
}
