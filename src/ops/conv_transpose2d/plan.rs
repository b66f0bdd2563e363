//! The plan of a transposed convolution: which algorithm runs where, and how it is cut. Only this file decides by the
//! device.

use std::fmt;

use super::ConvTranspose2d;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, LoopParts, split_loops};
use crate::ops::Finished;
use crate::ops::convolution::gemm::stores_once;
use crate::ops::convolution::gemm_tiles::GemmTiles;
use crate::ops::convolution::patches::{LANES, PATCH_PIXELS, patch_channels, split_channels_innermost};
use crate::window::Window;

/// How [`conv_transpose2d`](crate::conv_transpose2d) is computed on the GPU. Default: `Auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvTranspose2dAlgorithm {
    /// The algorithm that fits the shapes and the adapter best; always one that is deterministic.
    #[default]
    Auto,
    /// One sum of products for each output element.
    Gather,
    #[doc(hidden)]
    /// One convolution of patches in registers for each phase: the output's rows and columns that use the same kernel
    /// elements. For software adapters.
    Phases,
    #[doc(hidden)]
    /// By phases, with channels of its own for each invocation and the same pixels: for software adapters with subgroups
    /// of 8 and more, where phases have few pixels. Elsewhere it is `Phases`.
    Channels,
    /// For each phase a product of matrices in tiles, without the matrix of inputs in memory (implicit GEMM): for GPUs.
    /// Small outputs are split among workgroups, and need a workspace.
    ImplicitGemm,
    /// Each input element adds its products to the output atomically, in no fixed order: the last bits change from run
    /// to run. It uses wgpu's `SHADER_FLOAT32_ATOMIC` if the device has it, otherwise compare-exchange.
    ScatterAdd,
}

impl ConvTranspose2dAlgorithm {
    /// Every algorithm that a caller can name.
    pub const ALL: &[Self] =
        &[Self::Auto, Self::Gather, Self::Phases, Self::Channels, Self::ImplicitGemm, Self::ScatterAdd];
}

/// The most pixels of an invocation where lanes have channels.
const MOST_LANE_PIXELS: usize = 16;

/// The most iterations of an addition by compare-exchange: one for each addition that meets in an element. llvmpipe
/// counts them; there at most the invocations of a vector (up to 16) on each core meet.
const EXCHANGE_COST: u32 = 64;

/// How a transposed convolution is computed on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvTranspose2dPlan {
    /// One sum of products for each output element, cut where loops would be too long.
    #[doc(hidden)]
    Gather { parts: LoopParts },
    /// For each phase a convolution of patches. The invocations of a subgroup may share loads of weights.
    #[doc(hidden)]
    Phases { parts: LoopParts, by_subgroups: bool, is_pointwise: bool },
    /// For each phase this many pixels of 4 channels each.
    #[doc(hidden)]
    Channels { parts: LoopParts, pixels: usize },
    /// For each phase a product of matrices in tiles.
    #[doc(hidden)]
    ImplicitGemm { tiles: GemmTiles, loop_budget: u32 },
    /// Products are added to the output atomically, natively or by compare-exchange.
    #[doc(hidden)]
    ScatterAdd { parts: LoopParts, is_native: bool },
}

impl fmt::Display for ConvTranspose2dPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self {
            ConvTranspose2dPlan::Gather { parts } => {
                f.write_str("gather")?;
                parts.len()
            }
            ConvTranspose2dPlan::Phases { parts, by_subgroups, is_pointwise } => {
                f.write_str(if *is_pointwise { "phases of one pixel each" } else { "phases" })?;
                f.write_str(if *by_subgroups { ", weights shared in subgroups" } else { "" })?;
                parts.len()
            }
            ConvTranspose2dPlan::Channels { parts, pixels } => {
                write!(f, "phases, channels in lanes, pixels by {pixels}")?;
                parts.len()
            }
            ConvTranspose2dPlan::ImplicitGemm { tiles, .. } => {
                write!(f, "implicit GEMM by phases, {tiles}")?;
                1
            }
            ConvTranspose2dPlan::ScatterAdd { parts, is_native } => {
                f.write_str(if *is_native { "scatter-add" } else { "scatter-add by compare-exchange" })?;
                parts.len()
            }
        };
        if parts > 1 { write!(f, ", in {parts} parts") } else { Ok(()) }
    }
}

impl ConvTranspose2d {
    /// The same operator with an algorithm of the caller's choice.
    pub fn with_algorithm(self, algorithm: ConvTranspose2dAlgorithm) -> Self {
        ConvTranspose2d { algorithm, ..self }
    }

    /// The algorithm that the caller chose. If it is [`ConvTranspose2dAlgorithm::Auto`], the adapter decides which one
    /// runs: see [`Operator::plan`](crate::Operator::plan).
    pub fn algorithm(&self) -> ConvTranspose2dAlgorithm {
        self.algorithm
    }

    pub(super) fn plan_on(&self, on: &Capabilities) -> Finished<ConvTranspose2dPlan> {
        let main = self.main_plan(on);
        let is_once = match &main {
            ConvTranspose2dPlan::Gather { parts } => parts.len() == 1,
            // What is in no phase is stored by a dispatch of its own.
            ConvTranspose2dPlan::Phases { parts, .. } | ConvTranspose2dPlan::Channels { parts, .. } => {
                parts.len() == 1 && self.are_phases_all()
            }
            ConvTranspose2dPlan::ImplicitGemm { tiles, loop_budget } => {
                self.are_phases_all() && stores_once(tiles, self.k(), *loop_budget)
            }
            ConvTranspose2dPlan::ScatterAdd { .. } => false,
        };
        Finished { main, finish: self.epilogue.plan(on, 4, is_once) }
    }

    fn main_plan(&self, on: &Capabilities) -> ConvTranspose2dPlan {
        let channels = self.input.channels / self.groups;
        let algorithm = match self.algorithm {
            ConvTranspose2dAlgorithm::Auto if on.is_software() && self.is_best_by_channels() => {
                ConvTranspose2dAlgorithm::Channels
            }
            ConvTranspose2dAlgorithm::Auto if on.is_software() => ConvTranspose2dAlgorithm::Phases,
            ConvTranspose2dAlgorithm::Auto if self.fills_tiles() => ConvTranspose2dAlgorithm::ImplicitGemm,
            algorithm => algorithm,
        };
        match algorithm {
            ConvTranspose2dAlgorithm::Auto | ConvTranspose2dAlgorithm::Gather => {
                // No more elements than these lie inside the input.
                let (taps, divisors) = (self.taps(), self.divisors());
                let [tap_rows, tap_cols] = [(0, self.input.rows), (1, self.input.cols)].map(|(axis, length)| {
                    let step = self.windows[axis].dilation / divisors[axis];
                    taps[axis].min(length.div_ceil(step))
                });
                ConvTranspose2dPlan::Gather { parts: split_loops(on, [channels, tap_rows, tap_cols], 1) }
            }
            ConvTranspose2dAlgorithm::Channels
                if on.has(wgpu::Features::SUBGROUP) && on.subgroup_min_size as usize >= LANES =>
            {
                let [tap_rows, tap_cols] = self.taps();
                let pixels = self.lane_pixels();
                // Sums that are not finite are computed again, a pixel at a time.
                let parts = split_channels_innermost(on, [channels, tap_rows, tap_cols], 1 + pixels as u32);
                ConvTranspose2dPlan::Channels { parts, pixels }
            }
            ConvTranspose2dAlgorithm::Phases | ConvTranspose2dAlgorithm::Channels => {
                let [tap_rows, tap_cols] = self.taps();
                // Sums that are not finite are computed again, 4 channels at a time.
                let parts = split_channels_innermost(on, [channels, tap_rows, tap_cols], 5);
                let by_subgroups = on.has(wgpu::Features::SUBGROUP);
                ConvTranspose2dPlan::Phases { parts, by_subgroups, is_pointwise: self.is_pointwise() }
            }
            ConvTranspose2dAlgorithm::ImplicitGemm => {
                ConvTranspose2dPlan::ImplicitGemm { tiles: self.gemm_tiles(), loop_budget: on.loop_budget }
            }
            ConvTranspose2dAlgorithm::ScatterAdd => {
                let is_native = on.has(wgpu::Features::SHADER_FLOAT32_ATOMIC);
                let [rows, cols] = &self.windows;
                let lengths = [self.group_out_channels(), rows.kernel, cols.kernel];
                let parts = split_loops(on, lengths, if is_native { 1 } else { EXCHANGE_COST });
                ConvTranspose2dPlan::ScatterAdd { parts, is_native }
            }
        }
    }

    /// How many pixels of a phase an invocation computes where lanes have channels.
    fn lane_pixels(&self) -> usize {
        match self.phase_pixels() {
            1 => 1,
            2..=4 => 4,
            5..=8 => 8,
            _ => MOST_LANE_PIXELS,
        }
    }

    /// Whether channels in lanes take less time than pixels in lanes. A kernel in lanes of channels loads 4 weights and up
    /// to 2 pixels for [`lane_pixels`](Self::lane_pixels) by 4 products, the other 2 weights and 8 pixels for 8 by 16.
    fn is_best_by_channels(&self) -> bool {
        const LOAD: usize = 50;
        let (pixels, channels, own) = (self.phase_pixels(), self.group_out_channels(), self.lane_pixels());
        let by_channels = pixels.div_ceil(own) * channels.div_ceil(4 * LANES) * (6 * LOAD + 7 * own);
        let in_patch = patch_channels(channels);
        let patches = pixels.div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(in_patch);
        by_channels < patches * (10 * LOAD + 8 * in_patch)
    }

    /// Whether each input pixel becomes a rectangle of the output of its own, and planes of the input come in blocks.
    fn is_pointwise(&self) -> bool {
        let [rows, cols] = &self.windows;
        let is_whole = |window: &Window, input: usize, output: usize| {
            window.kernel == window.stride
                && window.dilation == 1
                && window.padding_before == 0
                && output == input * window.stride
        };
        is_whole(rows, self.input.rows, self.out_rows)
            && is_whole(cols, self.input.cols, self.out_cols)
            && (self.input.rows * self.input.cols).is_multiple_of(BLOCK as usize)
    }

    pub(super) fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    /// The greatest common divisors of stride and dilation.
    pub(super) fn divisors(&self) -> [usize; 2] {
        [0, 1].map(|axis| common_divisor(self.windows[axis].stride, self.windows[axis].dilation))
    }

    /// The distance between kernel elements of one output, along rows and columns.
    pub(super) fn kernel_steps(&self) -> [usize; 2] {
        let divisors = self.divisors();
        [0, 1].map(|axis| self.windows[axis].stride / divisors[axis])
    }

    /// The most kernel elements that an output uses.
    pub(super) fn taps(&self) -> [usize; 2] {
        let steps = self.kernel_steps();
        [0, 1].map(|axis| self.windows[axis].kernel.div_ceil(steps[axis]))
    }

    /// The number of phases with kernel elements.
    pub(super) fn phases(&self) -> usize {
        let steps = self.kernel_steps();
        [0, 1].map(|axis| self.windows[axis].kernel.min(steps[axis])).iter().product()
    }

    /// Whether every output position is in one of these phases.
    pub(super) fn are_phases_all(&self) -> bool {
        let divisors = self.divisors();
        [0, 1].iter().all(|&axis| divisors[axis] == 1 && self.windows[axis].kernel >= self.windows[axis].stride)
    }

    /// The most products in the sum of one output element.
    pub(super) fn k(&self) -> usize {
        self.input.channels / self.groups * self.taps().iter().product::<usize>()
    }

    /// The pixels of the largest phase.
    pub(super) fn phase_pixels(&self) -> usize {
        self.out_rows.div_ceil(self.windows[0].stride) * self.out_cols.div_ceil(self.windows[1].stride)
    }

    fn gemm_tiles(&self) -> GemmTiles {
        let pixels = self.input.batch * self.phase_pixels();
        let tiles = GemmTiles::new([self.groups * self.phases(), self.group_out_channels(), pixels, self.k()]);
        // `add_splits` adds for every output, so splits must leave something to add for every output.
        if self.are_phases_all() { tiles } else { GemmTiles { splits: 1, ..tiles } }
    }

    /// Whether there are enough products to fill tiles.
    fn fills_tiles(&self) -> bool {
        self.group_out_channels() >= 16 && self.k() >= 16
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The inverse of `number` modulo `modulus`, which have no common divisor, by Euclid's extended algorithm.
pub(super) fn inverse(number: usize, modulus: usize) -> usize {
    let (mut rest, mut next_rest) = (modulus as i64, (number % modulus) as i64);
    let (mut factor, mut next_factor) = (0, 1);
    while next_rest != 0 {
        let quotient = rest / next_rest;
        (rest, next_rest) = (next_rest, rest - quotient * next_rest);
        (factor, next_factor) = (next_factor, factor - quotient * next_factor);
    }
    factor.rem_euclid(modulus as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses_give_one() {
        for modulus in (1..300).chain([65_536, 65_537, 999_983, (1 << 31) - 1]) {
            for number in (1..100).chain([modulus / 2 + 1, modulus + 1, 65_535]) {
                if common_divisor(number, modulus) == 1 {
                    let inverse = inverse(number, modulus);
                    assert!(inverse < modulus, "{number} modulo {modulus}");
                    assert_eq!(number as u128 * inverse as u128 % modulus as u128, 1 % modulus as u128);
                }
            }
        }
    }
}
