//! The one error type of the crate.

use std::fmt;

/// Why a call was refused or failed.
///
/// Everything that depends on a call's arguments is reported before anything is recorded or allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// wgpu refused something: a defect of this crate, or a foreign buffer that is not what it was said to be.
    Validation {
        /// wgpu's own words.
        reason: String,
    },
}

impl Error {
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
            Error::Validation { reason } => write!(f, "wgpu refused the call: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
