//! The one error type of the crate.

use std::fmt;

/// Why a call was refused or failed.
///
/// What depends on a call's arguments is reported before anything is recorded.
///
/// `{}` and `{:?}` both print the text, since a `main` that returns an error prints `{:?}`. `{:#?}` prints the variant
/// and its fields.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The operator cannot take an argument.
    #[non_exhaustive]
    InvalidArgument {
        /// The operator, as in PyTorch: `conv2d`.
        operator: &'static str,
        /// The argument, as in PyTorch: `weight`.
        argument: &'static str,
        /// The index of the tensor, if the argument is a list of tensors.
        item: Option<usize>,
        /// What was expected.
        expected: String,
        /// What was given.
        actual: String,
    },
    /// An argument exceeds a limit of the device or of this crate, and is right otherwise.
    #[non_exhaustive]
    LimitExceeded {
        /// The operator.
        operator: &'static str,
        /// The argument that is too large.
        argument: &'static str,
        /// The index of the tensor, if the argument is a list of tensors.
        item: Option<usize>,
        /// The limit's name.
        limit: &'static str,
        /// The most that the limit allows.
        maximum: u64,
        /// What the call needs.
        actual: u64,
    },
    /// No adapter matches the options.
    NoAdapter {
        /// The name that was asked for, if any.
        wanted: Option<String>,
        /// The names of all adapters.
        found: Vec<String>,
    },
    /// The adapter gave no device.
    #[non_exhaustive]
    NoDevice {
        /// wgpu's message.
        reason: String,
    },
    /// The device is lost. Make a new one.
    #[non_exhaustive]
    DeviceLost {
        /// wgpu's message.
        reason: String,
    },
    /// The device has no memory left for the call. The device still works.
    #[non_exhaustive]
    OutOfMemory {
        /// wgpu's message.
        reason: String,
    },
    /// The device lacks an optional feature that the call needs.
    MissingFeature {
        /// The call that needs the feature.
        operation: &'static str,
        /// The feature, as in `wgpu::Features`.
        feature: &'static str,
    },
    /// A file cannot be read or written.
    #[non_exhaustive]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The system's message.
        reason: String,
    },
    /// The GPU's result differs from the CPU reference's. Only with
    /// [`Gpu::set_validation`](crate::Gpu::set_validation).
    #[non_exhaustive]
    Mismatch {
        /// The operator.
        operator: &'static str,
        /// The plan that ran.
        plan: Box<str>,
        /// The output that differs.
        output: &'static str,
        /// The shapes of its arguments, by name.
        shapes: Vec<(&'static str, Vec<usize>)>,
        /// The first element that differs.
        index: Vec<usize>,
        /// The CPU reference's value there.
        expected: f64,
        /// The GPU's value there.
        actual: f64,
        /// The largest difference that rounding explains.
        tolerance: f64,
    },
    /// wgpu refused a command: a defect of this crate, or a caller's buffer that was destroyed or mapped meanwhile.
    #[non_exhaustive]
    Validation {
        /// wgpu's message.
        reason: String,
    },
}

/// An argument's name: `weight`, or `tensors[3]` for an element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The name of the field.
    pub field: &'static str,
    /// The index in the list, if the field is a list.
    pub index: Option<usize>,
}

impl Name {
    /// An error about this argument.
    pub(crate) fn invalid(
        self,
        operator: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Error {
        let error = Error::invalid(operator, self.field, expected, actual);
        match self.index {
            None => error,
            Some(index) => error.of_item(index),
        }
    }
}

impl From<&'static str> for Name {
    fn from(field: &'static str) -> Self {
        Name { field, index: None }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => f.write_str(self.field),
            Some(index) => write!(f, "{}[{index}]", self.field),
        }
    }
}

impl Error {
    #[cfg(feature = "gpu-core")]
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Error::File { path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn invalid(
        operator: &'static str,
        argument: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Error::InvalidArgument { operator, argument, item: None, expected: expected.into(), actual: actual.into() }
    }

    /// The same error, about one tensor of a list: `tensors[3]`.
    pub(crate) fn of_item(mut self, index: usize) -> Self {
        if let Error::InvalidArgument { item, .. } | Error::LimitExceeded { item, .. } = &mut self {
            *item = Some(index);
        }
        self
    }

    /// The error for a caller's buffer that wgpu refuses, from wgpu's error.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn about_buffer(self, operator: &'static str, argument: Name) -> Self {
        match self {
            Error::Validation { reason } => {
                // The lines above only say where in wgpu it was.
                let reason = reason.trim_end().lines().last().unwrap_or_default().trim();
                argument.invalid(operator, "a buffer of this device, neither destroyed nor mapped", reason)
            }
            error => error,
        }
    }
}

/// The index in a list: `[3]`.
struct Item(Option<usize>);

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument { operator, argument, item, expected, actual } => {
                let item = Item(*item);
                write!(f, "{operator}: {argument}{item}: expected {expected}, got {actual}")
            }
            Error::LimitExceeded { operator, argument, item, limit, maximum, actual } => {
                let item = Item(*item);
                write!(f, "{operator}: {argument}{item}: {actual} exceeds {limit}, which is {maximum}")
            }
            Error::NoAdapter { wanted: Some(wanted), found } => {
                write!(f, "no adapter is named like {wanted:?}; there are: {}", found.join(", "))
            }
            Error::NoAdapter { wanted: None, .. } => f.write_str(
                "no GPU adapter found: install a driver (Vulkan, Metal or DX12); \
                 on Debian and Ubuntu `apt-get install mesa-vulkan-drivers` brings a software one",
            ),
            Error::NoDevice { reason } => write!(f, "the adapter gives no device: {reason}"),
            Error::DeviceLost { reason } => write!(f, "the device is lost: {reason}"),
            Error::OutOfMemory { reason } => write!(f, "out of device memory: {reason}"),
            Error::MissingFeature { operation, feature } => {
                write!(f, "{operation}: needs the device feature {feature}, which this device was not made with")
            }
            Error::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            Error::Mismatch { operator, plan, output, shapes, index, expected, actual, tolerance } => {
                let shapes: Vec<_> = shapes.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
                write!(
                    f,
                    "{operator} of {} by {plan}: {output}{index:?} is {actual} on the GPU and {expected} on the CPU reference, \
                     where rounding explains {tolerance:.1e}",
                    shapes.join(", ")
                )
            }
            Error::Validation { reason } => write!(f, "wgpu refused the call: {reason}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(self, f);
        }
        match self {
            Error::InvalidArgument { operator, argument, item, expected, actual } => f
                .debug_struct("InvalidArgument")
                .field("operator", operator)
                .field("argument", argument)
                .field("item", item)
                .field("expected", expected)
                .field("actual", actual)
                .finish(),
            Error::LimitExceeded { operator, argument, item, limit, maximum, actual } => f
                .debug_struct("LimitExceeded")
                .field("operator", operator)
                .field("argument", argument)
                .field("item", item)
                .field("limit", limit)
                .field("maximum", maximum)
                .field("actual", actual)
                .finish(),
            Error::NoAdapter { wanted, found } => {
                f.debug_struct("NoAdapter").field("wanted", wanted).field("found", found).finish()
            }
            Error::NoDevice { reason } => f.debug_struct("NoDevice").field("reason", reason).finish(),
            Error::DeviceLost { reason } => f.debug_struct("DeviceLost").field("reason", reason).finish(),
            Error::OutOfMemory { reason } => f.debug_struct("OutOfMemory").field("reason", reason).finish(),
            Error::MissingFeature { operation, feature } => {
                f.debug_struct("MissingFeature").field("operation", operation).field("feature", feature).finish()
            }
            Error::File { path, reason } => f.debug_struct("File").field("path", path).field("reason", reason).finish(),
            Error::Mismatch { operator, plan, output, shapes, index, expected, actual, tolerance } => f
                .debug_struct("Mismatch")
                .field("operator", operator)
                .field("plan", plan)
                .field("output", output)
                .field("shapes", shapes)
                .field("index", index)
                .field("expected", expected)
                .field("actual", actual)
                .field("tolerance", tolerance)
                .finish(),
            Error::Validation { reason } => f.debug_struct("Validation").field("reason", reason).finish(),
        }
    }
}

impl std::error::Error for Error {}

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_the_text_and_its_long_form_the_fields() {
        let errors = [
            Error::invalid("conv2d", "weight", "shape [1]", "shape [2]"),
            Error::LimitExceeded {
                operator: "conv2d",
                argument: "input",
                item: None,
                limit: "a limit",
                maximum: 1,
                actual: 2,
            },
            Error::NoAdapter { wanted: Some("a".into()), found: vec!["b".into()] },
            Error::NoDevice { reason: "r".into() },
            Error::DeviceLost { reason: "r".into() },
            Error::OutOfMemory { reason: "r".into() },
            Error::MissingFeature { operation: "profile", feature: "TIMESTAMP_QUERY" },
            Error::File { path: "f".into(), reason: "r".into() },
            Error::Mismatch {
                operator: "conv2d",
                plan: "direct".into(),
                output: "output",
                shapes: vec![("input", vec![1])],
                index: vec![0],
                expected: 1.0,
                actual: 2.0,
                tolerance: 0.5,
            },
            Error::Validation { reason: "r".into() },
        ];
        for error in errors {
            assert_eq!(format!("{error:?}"), error.to_string());
            let long = format!("{error:#?}");
            assert!(long.contains(" {\n    ") && long.ends_with(",\n}"), "{long}");
        }
        // A main that returns an error prints this after "Error: ".
        let error = Error::invalid("conv2d", "weight", "shape [1]", "shape [2]");
        assert_eq!(format!("{error:?}"), "conv2d: weight: expected shape [1], got shape [2]");
        assert!(format!("{error:#?}").starts_with("InvalidArgument {\n    operator: \"conv2d\""));
        let error = Error::invalid("cat", "tensors", "shape [1]", "shape [2]").of_item(3);
        assert_eq!(error.to_string(), "cat: tensors[3]: expected shape [1], got shape [2]");
    }
}
