//! The setting of what must be given up.

use serde::{Deserialize, Serialize};

/// What happens where the kernel cannot confine the broker to its own files and system calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardeningMode {
    /// It serves all the same, and says so: in the log, in `doctor`, in the metrics.
    #[default]
    BestEffort,
    /// It does not start.
    Require,
}
