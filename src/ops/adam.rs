//! adam: a step of Adam or AdamW.

use crate::error::{Error, Result};
use crate::operator::{Definition, NoOutputs, arguments};
use crate::ops::optimizer::{expect_not_negative, expect_shape};
use crate::shape;

/// Parameters of [`adam`](crate::adam), as in `torch.optim.Adam` and `torch.optim.AdamW`. The learning rate is an input: it
/// may change with every step. There is no `amsgrad`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamParams {
    /// The shares of the old averages of the gradient and of its square. Default: 0.9 and 0.999.
    pub betas: [f64; 2],
    /// What is added to the root of the average square. Default: 1e-8.
    pub eps: f64,
    /// The share of the parameter that is added to its gradient, or, if it is decoupled, how much of lr the parameter loses.
    /// Default: 0.
    pub weight_decay: f64,
    /// Whether to follow the gradient, rather than to go against it. Default: false.
    pub maximize: bool,
    /// Whether the decay is apart from the gradient, as in AdamW. Default: false.
    pub decoupled_weight_decay: bool,
}

impl Default for AdamParams {
    fn default() -> Self {
        let (betas, eps) = ([0.9, 0.999], 1e-8);
        AdamParams { betas, eps, weight_decay: 0.0, maximize: false, decoupled_weight_decay: false }
    }
}

impl AdamParams {
    /// The defaults of `torch.optim.AdamW`: a decoupled weight decay of 0.01.
    pub fn adamw() -> Self {
        AdamParams { weight_decay: 0.01, decoupled_weight_decay: true, ..Default::default() }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(AdamParams: default(), betas, eps, weight_decay, maximize, decoupled_weight_decay);

arguments! {
    /// The inputs of [`adam`](crate::adam): shapes, arrays, tensors or buffers. All but `grad` and `lr` are updated in place.
    #[derive(Copy, Eq)]
    pub struct AdamInputs<F> {
        /// f32, any shape: the parameter, or all of them in one array.
        param: float,
        /// f32, of that shape: the gradient.
        grad: float,
        /// f32, of that shape: the average of the gradient. Begin with 0.
        exp_avg: float,
        /// f32, of that shape: the average of its square. Begin with 0.
        exp_avg_sq: float,
        /// f32, (): the learning rate.
        lr: float,
        /// f32, (): how many steps were made, which each step counts. Begin with 0.
        step: float,
    }
}

/// A validated [`adam`](crate::adam) of a parameter of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    pub(crate) shape: Vec<usize>,
    pub(crate) params: AdamParams,
}

impl Adam {
    /// Checks the parameters, for an array of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for `betas` that are not from 0 to below 1, and for an `eps` or `weight_decay` below 0 or
    /// not finite in float32; [`Error::LimitExceeded`] for more elements than can be counted.
    pub fn new(param: &[usize], params: &AdamParams) -> Result<Self> {
        shape::element_count(Self::NAME, "param", param)?;
        if params.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            let actual = format!("{:?}", params.betas);
            return Err(Error::invalid(Self::NAME, "betas", "two numbers from 0 to below 1", actual));
        }
        expect_not_negative(Self::NAME, "eps", params.eps)?;
        expect_not_negative(Self::NAME, "weight_decay", params.weight_decay)?;
        Ok(Adam { shape: param.to_vec(), params: *params })
    }
}

impl Definition for Adam {
    const NAME: &'static str = "adam";
    type Params = AdamParams;
    type Inputs = AdamInputs<()>;
    type Outputs = NoOutputs;

    fn of_shapes(inputs: &AdamInputs<Vec<usize>>, params: &AdamParams) -> Result<Self> {
        let adam = Adam::new(&inputs.param, params)?;
        for (argument, shape) in
            [("grad", &inputs.grad), ("exp_avg", &inputs.exp_avg), ("exp_avg_sq", &inputs.exp_avg_sq)]
        {
            expect_shape(Self::NAME, argument, &adam.shape, shape)?;
        }
        expect_shape(Self::NAME, "lr", &[], &inputs.lr)?;
        expect_shape(Self::NAME, "step", &[], &inputs.step)?;
        Ok(adam)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::{Adam, AdamInputs, AdamParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::{rounding, unless_overflown};
    use crate::operator::{ArraysOf, Bound, Computed, NoOutputs, Operator, Slot, Slots, Tolerance};

    uniform! {
        struct Params {
            count: u32,
            base: u32,
            beta_1: f32,
            beta_1_rest: f32,
            beta_2: f32,
            beta_2_rest: f32,
            weight_1: f32,
            weight_2: f32,
            eps: f32,
            sign: f32,
            weight_decay: f32,
            decoupled: u32,
            hidden_zero: u32,
        }
    }

    static KERNELS: [Kernel; 5] = [
        kernel!("adam", "elements", Params, [(1, ReadWrite), (2, Read), (3, ReadWrite), (4, ReadWrite), (5, Read)]),
        kernel!("adam", "blocks", Params, [(1, ReadWrite), (2, Read), (3, ReadWrite), (4, ReadWrite), (5, Read)]),
        kernel!("adam", "advance", Params, [(6, Read), (7, ReadWrite), (8, ReadWrite)]),
        kernel!("adam", "average", Params, [(1, ReadWrite), (2, Read), (3, ReadWrite), (4, ReadWrite)]),
        kernel!("adam", "update", Params, [(1, ReadWrite), (3, ReadWrite), (4, ReadWrite), (5, Read)]),
    ];

    /// What of a step depends on its number alone: see shaders/adam.wgsl.
    const FACTORS: usize = 3;

    /// How the averages and the parameter are computed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum AdamPlan {
        /// In one pass.
        OnePass,
        /// In two, where a kernel cannot bind more than 4 buffers.
        TwoPasses,
    }

    impl fmt::Display for AdamPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                AdamPlan::OnePass => "one pass, in blocks of 4 elements, and the rest",
                AdamPlan::TwoPasses => "averages, then parameters, by element",
            })
        }
    }

    impl Operator for Adam {
        type Plan = AdamPlan;
        const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

        fn plan(&self, on: &Capabilities) -> AdamPlan {
            if on.limits.max_storage_buffers_per_shader_stage >= 5 { AdamPlan::OnePass } else { AdamPlan::TwoPasses }
        }

        fn declare(&self, _: &AdamPlan) -> Slots<Self> {
            let updated = || Slot::update(&self.shape).cut(1);
            let inputs = AdamInputs {
                param: updated(),
                grad: Slot::read(&self.shape).cut(1),
                exp_avg: updated(),
                exp_avg_sq: updated(),
                lr: Slot::read(&[]),
                step: Slot::update(&[]),
            };
            Slots::new(inputs, NoOutputs {}).cut(self.shape.iter().product()).with_workspace(FACTORS)
        }

        fn dispatches(&self, plan: &AdamPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let AdamInputs { param, grad, exp_avg, exp_avg_sq, lr, step } = bound.inputs;
            let (of, factors) = (&self.params, bound.workspace);
            let rest = |number: f64| (number - f64::from(number as f32)) as f32;
            let [beta_1, beta_2] = of.betas;
            let mut params = Params {
                count: 0,
                base: param.base,
                beta_1: beta_1 as f32,
                beta_1_rest: rest(beta_1),
                beta_2: beta_2 as f32,
                beta_2_rest: rest(beta_2),
                weight_1: (1.0 - beta_1) as f32,
                weight_2: (1.0 - beta_2) as f32,
                eps: of.eps as f32,
                sign: if of.maximize { -1.0 } else { 1.0 },
                weight_decay: of.weight_decay as f32,
                decoupled: u32::from(of.decoupled_weight_decay),
                hidden_zero: 0,
            };
            let [elements, blocks, advance, average, update] = &KERNELS;
            // All parts follow the same number of steps.
            if part.begin() == 0 {
                add(Dispatch::per_workgroup(advance, params.to_bytes(), &[lr, step, factors], 1));
            }
            if *plan == AdamPlan::TwoPasses {
                params.count = part.items as u32;
                let arguments = [param, grad, exp_avg, exp_avg_sq];
                add(Dispatch::per_element(average, params.to_bytes(), &arguments, part.items));
                let arguments = [param, exp_avg, exp_avg_sq, factors];
                add(Dispatch::per_element(update, params.to_bytes(), &arguments, part.items));
                return;
            }
            let arguments = [param, grad, exp_avg, exp_avg_sq, factors];
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, param.base, part.items) {
                (params.count, params.base) = (count, param.base + first);
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize));
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &AdamPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let of = &self.params;
            let [beta_1, beta_2] = of.betas;
            let updated = |name: &str| {
                let of_name = computed.updated.iter().find(|(updated, _)| updated.field == name);
                of_name.and_then(|(_, array)| array.clone().float()).map(|array| array.into_iter().map(f64::from))
            };
            let (Some(averages), Some(squares), Some(mut steps)) =
                (updated("exp_avg"), updated("exp_avg_sq"), updated("step"))
            else {
                return Ok(Box::new(|_, _| 0.0));
            };
            let step = steps.next().unwrap_or(1.0);
            let corrections = of.betas.map(|beta| 1.0 - beta.powf(step));
            let lr = f64::from(inputs.lr[[]].abs());
            let decay = if of.decoupled_weight_decay { [0.0, lr * of.weight_decay] } else { [of.weight_decay, 0.0] };
            let (params, grads) = (inputs.param.iter().zip(&inputs.grad), inputs.exp_avg.iter());
            let terms = params.zip(grads).zip(averages.zip(squares));
            let sizes: Vec<_> = terms
                .map(|(((param, grad), before), (average, square))| {
                    let [param, grad, before] = [param, grad, before].map(|x| f64::from(x.abs()));
                    let gradient = grad + decay[0] * param;
                    let of_average = before + gradient;
                    // How far both averages may be off, and so the root.
                    let [average_off, square_off] = [
                        rounding(8, of_average),
                        rounding(8, square.abs()) + rounding(8, (1.0 - beta_2) * gradient * gradient),
                    ];
                    let root = |square: f64| (square.max(0.0) / corrections[1]).sqrt() + of.eps;
                    let rate = lr / corrections[0];
                    let update = rate * average.abs() / root(square);
                    let most = rate * (average.abs() + average_off) / root(square - square_off).max(1e-45);
                    let param_off = (most - update) + rounding(16, param * (1.0 + decay[1]) + most);
                    // A square may overflow on the way.
                    let peak = gradient * gradient + beta_1 * of_average;
                    [param_off, average_off, square_off].map(|off| unless_overflown(peak, off))
                })
                .collect();
            Ok(Box::new(move |name, index| match name {
                "param" => sizes[index][0],
                "exp_avg" => sizes[index][1],
                "exp_avg_sq" => sizes[index][2],
                _ => 0.0,
            }))
        }
    }

    /// One step of Adam, or of AdamW, as [`torch.optim.Adam`](https://pytorch.org/docs/2.11/generated/torch.optim.Adam.html)
    /// and [`torch.optim.AdamW`](https://pytorch.org/docs/2.11/generated/torch.optim.AdamW.html).
    ///
    /// `param`, `exp_avg`, `exp_avg_sq` and `step` are updated in place; their names are those of PyTorch's state. What `lr` and
    /// `step` hold is on the device, and not checked: a `step` below 0 or NaN makes parameters NaN. All
    /// parameters of a network take one call, in [`FlatTensors`](crate::FlatTensors).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AdamInputs, AdamParams, Gpu, Tensor, adam};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let (param, grad) = (Tensor::zeros(&gpu, &[3])?, Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0], &[3])?);
    /// let (exp_avg, exp_avg_sq) = (Tensor::zeros(&gpu, &[3])?, Tensor::zeros(&gpu, &[3])?);
    /// let (lr, step) = (Tensor::from_slice(&gpu, &[0.001], &[])?, Tensor::zeros(&gpu, &[])?);
    /// adam(&AdamInputs::new(&param, &grad, &exp_avg, &exp_avg_sq, &lr, &step), &AdamParams::adamw())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Adam::new`] and [`Operator::call`].
    pub fn adam(inputs: &AdamInputs<&Tensor>, params: &AdamParams) -> Result<()> {
        Adam::new(inputs.param.shape(), params)?.call(inputs).map(drop)
    }
}
