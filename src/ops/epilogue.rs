//! What convolutions, linear and batch_norm can apply to their output: a residual that is added, and an activation.

use crate::activation::Activation;
use crate::error::{Error, Result};

/// What is applied to an output, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Epilogue {
    pub has_residual: bool,
    pub activation: Option<Activation>,
}

impl Epilogue {
    /// With an activation of an output of this many channels.
    pub fn with_activation(self, operator: &'static str, activation: Activation, channels: usize) -> Result<Self> {
        activation.check(operator)?;
        match activation {
            Activation::Prelu { num_parameters } if num_parameters != 1 && num_parameters != channels => {
                let expected = format!("1 slope, or one for each of {channels} channels");
                Err(Error::invalid(operator, "activation", expected, format!("{num_parameters} slopes")))
            }
            activation => Ok(Epilogue { activation: Some(activation), ..self }),
        }
    }

    /// Fails if there is anything, for the gradient of an operator that is fused with it.
    pub fn expect_none(self, backward: &'static str) -> Result<()> {
        if self == Epilogue::default() {
            return Ok(());
        }
        let expected = "none: differentiate the activation, or the sum with a residual, as an operator of its own";
        match self.activation {
            Some(activation) => Err(Error::invalid(backward, "activation", expected, format!("{activation:?}"))),
            None => Err(Error::invalid(backward, "residual", expected, "a residual")),
        }
    }
}

/// Gives an operator with an `epilogue` its two methods. `$channels` are those of its output.
macro_rules! with_epilogue {
    ($operator:ident, $channels:ident) => {
        impl $operator {
            /// The same operator, which then applies an activation to its output.
            ///
            /// ```
            /// # fn main() -> Result<(), wgdnn::Error> {
            /// use wgdnn::{Activation, Conv2d, Conv2dParams};
            ///
            /// let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Conv2dParams::default())?;
            /// let conv = conv.with_residual().with_activation(Activation::Relu)?;
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a number of slopes that is neither 1 nor that of
            /// the output's channels, and a slope that is not finite in float32.
            pub fn with_activation(self, activation: $crate::Activation) -> $crate::Result<Self> {
                let name = <Self as $crate::operator::Definition>::NAME;
                let epilogue = self.epilogue.with_activation(name, activation, self.$channels)?;
                Ok($operator { epilogue, ..self })
            }

            /// The same operator, which also adds `residual` to its output, before the activation.
            pub fn with_residual(self) -> Self {
                let epilogue = $crate::ops::epilogue::Epilogue { has_residual: true, ..self.epilogue };
                $operator { epilogue, ..self }
            }
        }
    };
}
pub(crate) use with_epilogue;

#[cfg(feature = "gpu-core")]
pub use on_gpu::{Finish, Finished};
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{Finisher, finished_kernels};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use ndarray::ArrayD;
    use smallvec::SmallVec;

    use super::Epilogue;
    use crate::activation::Activation;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, kernel, uniform};
    use crate::operator::replay::{largest, rounding};
    use crate::operator::{Slot, Tolerance};

    uniform! {
        struct FinishParams {
            epilogue: [u32; 4],
            count: u32,
            inner: u32,
            channels: u32,
            output_base: u32,
        }
    }

    /// The kernels that finish apart: they copy the residual, and activate.
    pub(crate) static FINISH_KERNELS: [Kernel; 2] = [
        kernel!("conv2d_finish", "copy_residual", FinishParams, [(4, ReadWrite), (6, Read)]),
        kernel!("conv2d_finish", "activate", FinishParams, [(4, ReadWrite), (7, Read)]),
    ];

    /// A kernel that stores sums, and the same with an epilogue. `with` chooses among alternative
    /// parts, and `as` names the module.
    macro_rules! finished_kernels {
        ($file:literal, $entry_point:literal, $uniform:ty, [$($storage:tt),* $(,)?] $(,)?) => {
            $crate::ops::epilogue::finished_kernels!(
                @ $file, $file, [], $entry_point, $uniform, [$($storage),*]
            )
        };
        ($file:literal with $variant:literal as $module:expr, $entry_point:literal, $uniform:ty, [$($storage:tt),* $(,)?]) => {
            $crate::ops::epilogue::finished_kernels!(
                @ $file, $module, [$variant], $entry_point, $uniform, [$($storage),*]
            )
        };
        (@ $file:literal, $module:expr, [$($variant:literal)?], $entry_point:literal, $uniform:ty, [$($storage:tt),*]) => {
            [
                $crate::gpu::kernel::kernel!(
                    @ $file, $module, &[$($variant)?], $entry_point, $uniform, [$($storage),*]
                ),
                $crate::gpu::kernel::kernel!(
                    $file with $($variant)? "epilogue" as concat!($module, "_epilogue"),
                    $entry_point,
                    $uniform,
                    [$($storage),*, (6, Read), (7, Read)]
                ),
            ]
        };
    }
    pub(crate) use finished_kernels;

    /// How a plan applies a residual and an activation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Finish {
        /// There are none.
        None,
        /// As sums are stored.
        Stored,
        /// In dispatches of their own, since sums are stored several times, or the device binds few buffers.
        Apart {
            /// How many.
            dispatches: usize,
        },
    }

    /// A plan, and how it finishes its output.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Finished<P> {
        /// How sums are computed.
        pub main: P,
        /// How they are finished.
        pub finish: Finish,
    }

    impl<P: fmt::Display> fmt::Display for Finished<P> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.main.fmt(f)?;
            match self.finish {
                Finish::None => Ok(()),
                Finish::Stored => f.write_str(", fused with what follows"),
                Finish::Apart { dispatches: 1 } => f.write_str(", a dispatch more for what follows"),
                Finish::Apart { dispatches } => write!(f, ", {dispatches} dispatches more for what follows"),
            }
        }
    }

    impl Epilogue {
        /// The number of slopes in an argument of their own.
        pub fn slopes(&self) -> Option<usize> {
            match self.activation {
                Some(Activation::Prelu { num_parameters }) => Some(num_parameters),
                _ => None,
            }
        }

        /// How it is applied by kernels that bind this many buffers without it. `is_once` tells whether they store every
        /// sum just once.
        pub fn plan(&self, on: &Capabilities, buffers: u32, is_once: bool) -> Finish {
            let dispatches = usize::from(self.has_residual) + usize::from(self.activation.is_some());
            match dispatches {
                0 => Finish::None,
                _ if is_once && on.limits.max_storage_buffers_per_shader_stage >= buffers + 2 => Finish::Stored,
                _ => Finish::Apart { dispatches },
            }
        }

        pub fn without_activation(&self) -> Self {
            Epilogue { activation: None, ..*self }
        }

        /// How many roundings the activation adds.
        pub fn roundings(&self) -> usize {
            self.activation.map_or(0, Activation::roundings)
        }

        /// How far rounding may bring the results of sums of so many products, whose magnitudes add up to `size_of`.
        pub fn tolerance<'a>(
            self,
            products: usize,
            size_of: impl Fn(usize) -> f64 + 'a,
            activation_weight: Option<&ArrayD<f32>>,
            results: &'a ArrayD<f32>,
        ) -> Tolerance<'a> {
            let (steepness, own) = (self.steepness(activation_weight), self.roundings());
            let results = results.flatten();
            Box::new(move |_, index| {
                // An activation of 0 need not be 0: see sigmoid.
                let result = f64::from(results[index].abs());
                let activated = if result.is_finite() { rounding(own, result) } else { 0.0 };
                rounding(products + 3 + own, steepness * size_of(index)) + activated
            })
        }

        /// How many times larger the activation may make an error.
        pub fn steepness(&self, activation_weight: Option<&ArrayD<f32>>) -> f64 {
            // Those without a slope have at most this one.
            const MOST: f64 = 1.2;
            let slope = self.activation.map_or(0.0, |activation| f64::from(activation.slope().abs()));
            let slopes = activation_weight.map_or(0.0, largest);
            if self.activation.is_none() { 1.0 } else { MOST.max(slope).max(slopes) }
        }

        /// The slot of the residual, which is like that of the output and may be its buffer.
        pub fn residual(&self, output: &Slot) -> Option<Slot> {
            let share = output.share;
            self.has_residual.then(|| Slot { share, ..Slot::read(output.shape()).or_output() })
        }

        /// The slot of prelu's slopes.
        pub fn activation_weight(&self) -> Option<Slot> {
            self.slopes().map(|slopes| Slot::read(&[slopes]))
        }
    }

    /// Finishes the output of a call.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Finisher {
        pub epilogue: Epilogue,
        pub finish: Finish,
        pub output: Binding,
        pub residual: Option<Binding>,
        pub activation_weight: Option<Binding>,
        /// Any argument that is read: it is bound where there is nothing to bind.
        pub stand_in: Binding,
    }

    impl Finisher {
        /// Whether sums are added to the residual, which the output's buffer holds before.
        pub fn continues(&self) -> bool {
            match self.finish {
                Finish::None => false,
                Finish::Stored => self.residual == Some(self.output),
                Finish::Apart { .. } => self.residual.is_some(),
            }
        }

        /// params.epilogue of shaders/parts/epilogue.wgsl.
        pub fn uniform(&self) -> [u32; 4] {
            let slope = self.epilogue.activation.map_or(0.0, |activation| activation.slope());
            [slope.to_bits(), self.epilogue.slopes().unwrap_or(0) as u32, 0, 0]
        }

        /// Of a kernel and its twin with an epilogue, the one to run.
        pub fn kernel(&self, kernels: &'static [Kernel; 2]) -> &'static Kernel {
            &kernels[usize::from(self.finish == Finish::Stored)]
        }

        /// The arguments of that kernel: these, and those of the epilogue.
        pub fn arguments(&self, arguments: &[Binding]) -> SmallVec<[Binding; 8]> {
            let mut all = SmallVec::from_slice(arguments);
            if self.finish == Finish::Stored {
                let residual = self.residual.filter(|_| !self.continues());
                all.extend([residual, self.activation_weight].map(|argument| argument.unwrap_or(self.stand_in)));
            }
            all
        }

        /// That kernel's dispatch, with the epilogue's constants.
        pub fn activated(&self, mut dispatch: Dispatch) -> Dispatch {
            if self.finish == Finish::Stored {
                if let Some(activation) = self.epilogue.activation {
                    dispatch = dispatch.with_constant("ACTIVATION", activation.constant());
                }
                if self.residual.is_some() && !self.continues() {
                    dispatch = dispatch.with_constant("HAS_RESIDUAL", 1);
                }
            }
            dispatch
        }

        /// What comes before the sums: the residual is copied into the output of this many elements.
        pub fn before(&self, count: usize, add: &mut dyn FnMut(Dispatch)) {
            if let (Finish::Apart { .. }, Some(residual)) = (self.finish, self.residual)
                && residual != self.output
            {
                let params = self.params(count, [1, 1]);
                add(Dispatch::per_element(&FINISH_KERNELS[0], params.to_bytes(), &[self.output, residual], count));
            }
        }

        /// What comes after the sums: the activation of an output of this many elements and these channels, with this
        /// many elements of each channel next to each other.
        pub fn after(&self, count: usize, channels: usize, inner: usize, add: &mut dyn FnMut(Dispatch)) {
            if let (Finish::Apart { .. }, Some(activation)) = (self.finish, self.epilogue.activation) {
                let weight = self.activation_weight.unwrap_or(self.stand_in);
                let params = self.params(count, [channels, inner]).to_bytes();
                add(Dispatch::per_element(&FINISH_KERNELS[1], params, &[self.output, weight], count)
                    .with_constant("ACTIVATION", activation.constant()));
            }
        }

        fn params(&self, count: usize, [channels, inner]: [usize; 2]) -> FinishParams {
            FinishParams {
                epilogue: self.uniform(),
                count: count as u32,
                inner: inner as u32,
                channels: channels as u32,
                output_base: self.output.base,
            }
        }
    }
}
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::FINISH_KERNELS;
