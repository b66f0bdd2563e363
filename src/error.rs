//! The one error type of the crate.

use std::fmt;

/// Why a call was refused or failed.
///
/// Everything that depends on a call's arguments is reported before anything is recorded.
///
/// `{}` and `{:?}` both give the text, since a `main` that returns an error prints the latter; `{:#?}` gives the variant
/// and its fields.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An argument that the operator cannot take.
    InvalidArgument {
        /// The operator, as in PyTorch: `conv2d`.
        operator: &'static str,
        /// The argument, as in PyTorch: `weight`.
        argument: &'static str,
        /// What would have been right.
        expected: String,
        /// What came.
        actual: String,
    },
    /// An argument that is right in itself, but more than a limit of the device or of this crate allows.
    LimitExceeded {
        /// The operator.
        operator: &'static str,
        /// The argument that is too large.
        argument: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// The most that the limit allows.
        maximum: u64,
        /// What the call asks for.
        actual: u64,
    },
    /// No adapter fits what was asked for.
    NoAdapter {
        /// The name that was asked for, if one was.
        wanted: Option<String>,
        /// The names of the adapters that there are.
        found: Vec<String>,
    },
    /// The adapter would not give a device.
    NoDevice {
        /// wgpu's own words.
        reason: String,
    },
    /// The device is lost; a new one is needed.
    DeviceLost {
        /// wgpu's own words.
        reason: String,
    },
    /// The device has no memory left for the call. It can still be used.
    OutOfMemory {
        /// wgpu's own words.
        reason: String,
    },
    /// The device lacks an optional feature that the call needs.
    MissingFeature {
        /// What was asked for.
        operation: &'static str,
        /// The feature, as in `wgpu::Features`.
        feature: &'static str,
    },
    /// A file that cannot be read or written.
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The system's own words.
        reason: String,
    },
    /// With [`Gpu::set_validation`](crate::Gpu::set_validation): the GPU's result is not the CPU reference's.
    Mismatch {
        /// The operator.
        operator: &'static str,
        /// Which of its outputs.
        output: &'static str,
        /// The shapes of its arguments, by name.
        shapes: Vec<(&'static str, Vec<usize>)>,
        /// The first element that differs.
        index: Vec<usize>,
        /// What the CPU reference gives there.
        expected: f64,
        /// What the GPU gave.
        actual: f64,
        /// How far apart rounding may bring them.
        tolerance: f64,
    },
    /// wgpu refused something: a defect of this crate, or a foreign buffer that was destroyed or mapped meanwhile.
    Validation {
        /// wgpu's own words.
        reason: String,
    },
}

impl Error {
    #[cfg(feature = "gpu")]
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Error::File { path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn invalid(
        operator: &'static str,
        argument: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Error::InvalidArgument { operator, argument, expected: expected.into(), actual: actual.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument { operator, argument, expected, actual } => {
                write!(f, "{operator}: {argument}: expected {expected}, got {actual}")
            }
            Error::LimitExceeded { operator, argument, limit, maximum, actual } => {
                write!(f, "{operator}: {argument}: {actual} exceeds {limit}, which is {maximum}")
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
            Error::Mismatch { operator, output, shapes, index, expected, actual, tolerance } => {
                let shapes: Vec<_> = shapes.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
                write!(
                    f,
                    "{operator} of {}: {output}{index:?} is {actual} on the GPU and {expected} on the CPU reference, \
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
            Error::InvalidArgument { operator, argument, expected, actual } => f
                .debug_struct("InvalidArgument")
                .field("operator", operator)
                .field("argument", argument)
                .field("expected", expected)
                .field("actual", actual)
                .finish(),
            Error::LimitExceeded { operator, argument, limit, maximum, actual } => f
                .debug_struct("LimitExceeded")
                .field("operator", operator)
                .field("argument", argument)
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
            Error::Mismatch { operator, output, shapes, index, expected, actual, tolerance } => f
                .debug_struct("Mismatch")
                .field("operator", operator)
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
            Error::LimitExceeded { operator: "conv2d", argument: "input", limit: "a limit", maximum: 1, actual: 2 },
            Error::NoAdapter { wanted: Some("a".into()), found: vec!["b".into()] },
            Error::NoDevice { reason: "r".into() },
            Error::DeviceLost { reason: "r".into() },
            Error::OutOfMemory { reason: "r".into() },
            Error::MissingFeature { operation: "profile", feature: "TIMESTAMP_QUERY" },
            Error::File { path: "f".into(), reason: "r".into() },
            Error::Mismatch {
                operator: "conv2d",
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
        // What a main that returns one prints behind "Error: ".
        let error = Error::invalid("conv2d", "weight", "shape [1]", "shape [2]");
        assert_eq!(format!("{error:?}"), "conv2d: weight: expected shape [1], got shape [2]");
        assert!(format!("{error:#?}").starts_with("InvalidArgument {\n    operator: \"conv2d\""));
    }
}
