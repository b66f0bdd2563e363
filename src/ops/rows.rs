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

    /// The elements before the dimension.
    #[cfg(feature = "gpu-core")]
    pub fn items(&self) -> usize {
        self.shape.iter().take(self.dim).product()
    }
}

/// Defines an operator on rows of scores, by its type and the names of it and of its backward pass. `shaders/NAME.wgsl` has
/// the part `softmax_rows`, and `shaders/NAME_backward.wgsl` the part `softmax_gradient`.
///
/// `term` is what the gradient of a row has a sum of, and `size` the magnitudes that an element of the gradient adds up, given
/// the sum of those of the terms; both get an element of `grad_output` and of the output.
macro_rules! row_operator {
    (
        $(#[$meta:meta])* pub struct $operator:ident = $name:literal;
        backward = $backward:literal;
        term = $term:expr;
        size = $size:expr;
    ) => {
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

            fn gradients(&self) -> Option<&dyn $crate::operator::AnyDifferentiable> {
                Some(self)
            }
        }

        impl $crate::operator::Differentiable for $operator {
            const BACKWARD: &'static str = $backward;
            type BackwardInputs = $crate::UnaryBackwardInputs<()>;
            type Gradients = $crate::UnaryGradients<()>;

            fn gradient_shapes(&self) -> $crate::UnaryGradients<Vec<usize>> {
                $crate::UnaryGradients { grad_input: Some(self.rows.shape.clone()) }
            }

            fn backward_shapes(
                &self,
                backward: &$crate::operator::Backward<Self>,
            ) -> $crate::UnaryBackwardInputs<Vec<usize>> {
                $crate::UnaryBackwardInputs {
                    grad_output: self.rows.shape.clone(),
                    input: None,
                    output: Some(self.rows.shape.clone()),
                    grad_input: backward.added("grad_input", &self.rows.shape),
                }
            }
        }

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use super::$operator;
            use crate::gpu::capabilities::Capabilities;
            use crate::gpu::kernel::{Dispatch, Kernel, kernel};
            use crate::gpu::work::Part;
            use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slots, Tolerance};
            use crate::ops::rows::{RowGradientParams, RowParams, RowsPlan, gradient_tolerance, tolerance};
            use crate::{Tensor, UnaryBackwardInputs};

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
                    self.rows.dispatches(&KERNELS, plan, part.items, bound.inputs.input, bound.outputs.output, add);
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

            /// For rows, for rows in blocks, and for columns.
            static BACKWARD: [Kernel; 3] = [
                kernel!(
                    $backward,
                    "rows",
                    RowGradientParams,
                    [(1, Read), (2, Read), (3, ReadWrite)]
                ),
                kernel!(
                    $backward with "classes_in_blocks" "gradients_in_blocks"
                    as concat!($backward, "_in_blocks"),
                    "rows",
                    RowGradientParams,
                    [(1, Read), (2, Read), (3, ReadWrite)]
                ),
                kernel!(
                    $backward,
                    "columns",
                    RowGradientParams,
                    [(1, Read), (2, Read), (3, ReadWrite)]
                ),
            ];

            impl Operator for Backward<$operator> {
                type Plan = RowsPlan;
                const KERNELS: &'static [&'static [Kernel]] = &[&BACKWARD];

                fn plan(&self, on: &Capabilities) -> RowsPlan {
                    self.forward.rows.plan(on)
                }

                fn declare(&self, _: &RowsPlan) -> Slots<Self> {
                    let rows = &self.forward.rows;
                    self.slots(|_| Some(rows.classes * rows.inner)).cut(rows.items())
                }

                fn dispatches(&self, plan: &RowsPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
                    let UnaryBackwardInputs { grad_output, output, grad_input, .. } = bound.inputs;
                    let grad_input = bound.outputs.grad_input.or(grad_input);
                    let (Some(output), Some(grad_input)) = (output, grad_input) else { return };
                    let arguments = [output, grad_output, grad_input];
                    let adds = self.adds("grad_input");
                    self.forward.rows.gradient_dispatches(&BACKWARD, plan, part.items, adds, arguments, add);
                }

                fn rounding<'a>(
                    &'a self,
                    _: &RowsPlan,
                    inputs: &'a ArraysOf<Self>,
                    computed: &'a Computed<Self>,
                ) -> $crate::Result<Tolerance<'a>> {
                    let saved = inputs.output.as_ref().unwrap_or(&inputs.grad_output);
                    let results = self.results(computed);
                    Ok(gradient_tolerance(&self.forward.rows, [&inputs.grad_output, saved], results, $term, $size))
                }
            }

            /// Calls the backward pass, given the output of the operator.
            pub(super) fn backward(forward: &$operator, grad_output: &Tensor, output: &Tensor) -> $crate::Result<Tensor> {
                let inputs = UnaryBackwardInputs { output: Some(output), ..UnaryBackwardInputs::new(grad_output) };
                Ok(forward.backward_of_all()?.call(&inputs)?.grad_input.expect("it is wanted"))
            }
        }
    };
}
pub(crate) use row_operator;

#[cfg(feature = "gpu-core")]
pub use on_gpu::RowsPlan;
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{RowGradientParams, RowParams, gradient_tolerance, tolerance};

#[cfg(feature = "gpu-core")]
mod on_gpu;
