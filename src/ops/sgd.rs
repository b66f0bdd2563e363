//! sgd: a step of stochastic gradient descent.

use crate::error::{Error, Result};
use crate::operator::{Definition, NoOutputs, arguments};
use crate::ops::optimizer::{expect_not_negative, expect_optional, expect_shape};
use crate::shape;

/// Parameters of [`sgd`](crate::sgd), as in `torch.optim.SGD`. The learning rate is an input: it may change with every step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SgdParams {
    /// The share of the last direction in the next. Default: 0.
    pub momentum: f64,
    /// How much less than all of the gradient is added to the momentum. Default: 0.
    pub dampening: f64,
    /// The share of the parameter that is added to its gradient. Default: 0.
    pub weight_decay: f64,
    /// Nesterov's momentum. It needs momentum, and no dampening. Default: false.
    pub nesterov: bool,
    /// Whether to follow the gradient, rather than to go against it. Default: false.
    pub maximize: bool,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(SgdParams: default(), momentum, dampening, weight_decay, nesterov, maximize);

arguments! {
    /// The inputs of [`sgd`](crate::sgd): shapes, arrays, tensors or buffers. `param`, `momentum_buffer` and `step` are
    /// updated in place.
    #[derive(Copy, Eq)]
    pub struct SgdInputs<F> {
        /// f32, any shape: the parameter, or all of them in one array.
        param: float,
        /// f32, of that shape: the gradient.
        grad: float,
        /// f32, (): the learning rate.
        lr: float,
        /// f32, of the parameter's shape: the last direction. Its contents do not matter at the first step. Present exactly
        /// with momentum.
        momentum_buffer: optional float,
        /// f32, (): how many steps were made, which each step counts. Begin with 0. Present exactly with momentum.
        step: optional float,
    }
}

/// A validated [`sgd`](crate::sgd) of a parameter of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    pub(crate) shape: Vec<usize>,
    pub(crate) params: SgdParams,
}

impl Sgd {
    /// Checks the parameters, for an array of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a number that is not finite in float32, a `momentum` or `weight_decay` below 0, and
    /// `nesterov` without momentum or with dampening; [`Error::LimitExceeded`] for more elements than can be counted.
    pub fn new(param: &[usize], params: &SgdParams) -> Result<Self> {
        shape::element_count(Self::NAME, "param", param)?;
        expect_not_negative(Self::NAME, "momentum", params.momentum)?;
        expect_not_negative(Self::NAME, "weight_decay", params.weight_decay)?;
        if !(params.dampening as f32).is_finite() {
            return Err(Error::invalid(Self::NAME, "dampening", "a finite float32", params.dampening.to_string()));
        }
        if params.nesterov && (params.momentum == 0.0 || params.dampening != 0.0) {
            let actual = format!("momentum {} and dampening {}", params.momentum, params.dampening);
            return Err(Error::invalid(Self::NAME, "nesterov", "a momentum above 0 and no dampening", actual));
        }
        Ok(Sgd { shape: param.to_vec(), params: *params })
    }

    pub(crate) fn has_momentum(&self) -> bool {
        self.params.momentum != 0.0
    }
}

impl Definition for Sgd {
    const NAME: &'static str = "sgd";
    type Params = SgdParams;
    type Inputs = SgdInputs<()>;
    type Outputs = NoOutputs;

    fn of_shapes(inputs: &SgdInputs<Vec<usize>>, params: &SgdParams) -> Result<Self> {
        let sgd = Sgd::new(&inputs.param, params)?;
        let shape = sgd.has_momentum().then_some(&sgd.shape[..]);
        expect_shape(Self::NAME, "grad", &sgd.shape, &inputs.grad)?;
        expect_shape(Self::NAME, "lr", &[], &inputs.lr)?;
        let when = "with momentum";
        expect_optional(Self::NAME, "momentum_buffer", shape, inputs.momentum_buffer.as_ref(), when)?;
        expect_optional(Self::NAME, "step", shape.map(|_| &[][..]), inputs.step.as_ref(), when)?;
        Ok(sgd)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::{Sgd, SgdInputs, SgdParams};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::rounding;
    use crate::operator::{ArraysOf, Bound, Computed, NoOutputs, Operator, Slot, Slots, Tolerance};
    use crate::ops::elementwise::Elementwise;

    uniform! {
        struct Params {
            count: u32,
            base: u32,
            sign: f32,
            weight_decay: f32,
            momentum: f32,
            undamped: f32,
            nesterov: u32,
        }
    }

    static PLAIN: [Kernel; 2] = [
        kernel!("sgd", "elements", Params, [(1, ReadWrite), (2, Read), (3, Read)]),
        kernel!("sgd", "blocks", Params, [(1, ReadWrite), (2, Read), (3, Read)]),
    ];
    static MOMENTUM: [Kernel; 3] = [
        kernel!("sgd" with "momentum" as "sgd_momentum", "elements", Params, [(1, ReadWrite), (2, Read), (3, Read), (4, ReadWrite)]),
        kernel!("sgd" with "momentum" as "sgd_momentum", "blocks", Params, [(1, ReadWrite), (2, Read), (3, Read), (4, ReadWrite)]),
        kernel!("sgd" with "momentum" as "sgd_momentum", "advance", Params, [(5, Read), (6, ReadWrite), (7, ReadWrite)]),
    ];

    /// lr, and whether this is the first step: see shaders/parts/momentum.wgsl.
    const RATES: usize = 2;

    impl Operator for Sgd {
        type Plan = Elementwise;
        const KERNELS: &'static [&'static [Kernel]] = &[&PLAIN, &MOMENTUM];

        fn plan(&self, _: &Capabilities) -> Elementwise {
            Elementwise
        }

        fn declare(&self, _: &Elementwise) -> Slots<Self> {
            let updated = || Slot::update(&self.shape).cut(1);
            let inputs = SgdInputs {
                param: updated(),
                grad: Slot::read(&self.shape).cut(1),
                lr: Slot::read(&[]),
                momentum_buffer: self.has_momentum().then(updated),
                step: self.has_momentum().then(|| Slot::update(&[])),
            };
            let rates = if self.has_momentum() { RATES } else { 0 };
            Slots::new(inputs, NoOutputs {}).cut(self.shape.iter().product()).with_workspace(rates)
        }

        fn dispatches(&self, _: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let SgdInputs { param, grad, lr, momentum_buffer, step } = bound.inputs;
            let of = &self.params;
            let mut params = Params {
                count: 0,
                base: param.base,
                sign: if of.maximize { -1.0 } else { 1.0 },
                weight_decay: of.weight_decay as f32,
                momentum: of.momentum as f32,
                undamped: (1.0 - of.dampening) as f32,
                nesterov: u32::from(of.nesterov),
            };
            let [elements, blocks, advance] = &MOMENTUM;
            let (kernels, arguments) = match (momentum_buffer, step) {
                (Some(buffer), Some(step)) => {
                    // All parts follow the same number of steps.
                    if part.begin() == 0 {
                        add(Dispatch::per_workgroup(advance, params.to_bytes(), &[lr, step, bound.workspace], 1));
                    }
                    ([elements, blocks], &[param, grad, bound.workspace, buffer][..])
                }
                _ => (PLAIN.each_ref(), &[param, grad, lr][..]),
            };
            for (kernel, count, first) in blocks_and_rest(Some(kernels[1]), kernels[0], param.base, part.items) {
                (params.count, params.base) = (count, param.base + first);
                add(Dispatch::per_element(kernel, params.to_bytes(), arguments, count as usize));
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &Elementwise,
            inputs: &'a ArraysOf<Self>,
            _: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let of = &self.params;
            let lr = f64::from(inputs.lr[[]].abs());
            let sizes: Vec<_> = (inputs.param.iter().zip(&inputs.grad).enumerate())
                .map(|(index, (param, grad))| {
                    let before = inputs.momentum_buffer.as_ref().and_then(|buffer| buffer.as_slice()?.get(index));
                    let before = before.map_or(0.0, |x| f64::from(x.abs()));
                    let param = f64::from(param.abs());
                    let gradient = f64::from(grad.abs()) + of.weight_decay * param;
                    let buffer = of.momentum * before + (1.0 + of.dampening.abs()) * gradient;
                    (param + lr * (gradient + (1.0 + of.momentum) * buffer), buffer)
                })
                .collect();
            Ok(Box::new(move |name, index| match name {
                "param" => rounding(8, sizes[index].0),
                "momentum_buffer" => rounding(6, sizes[index].1),
                _ => 0.0,
            }))
        }
    }

    /// One step of stochastic gradient descent, as
    /// [`torch.optim.SGD`](https://pytorch.org/docs/2.11/generated/torch.optim.SGD.html).
    ///
    /// `param`, and with momentum `momentum_buffer` and `step`, are updated in place. PyTorch has no `step`: its first step
    /// is one whose buffer is not there yet. All parameters of a network take one call, in
    /// [`FlatTensors`](crate::FlatTensors).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, SgdInputs, SgdParams, Tensor, sgd};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let (param, grad) = (Tensor::zeros(&gpu, &[3])?, Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0], &[3])?);
    /// let (buffer, step) = (Tensor::zeros(&gpu, &[3])?, Tensor::zeros(&gpu, &[])?);
    /// let lr = Tensor::from_slice(&gpu, &[0.1], &[])?;
    /// let inputs =
    ///     SgdInputs { momentum_buffer: Some(&buffer), step: Some(&step), ..SgdInputs::new(&param, &grad, &lr) };
    /// sgd(&inputs, &SgdParams { momentum: 0.9, ..Default::default() })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Sgd::new`] and [`Operator::call`].
    pub fn sgd(inputs: &SgdInputs<&Tensor>, params: &SgdParams) -> Result<()> {
        Sgd::new(inputs.param.shape(), params)?.call(inputs).map(drop)
    }
}
