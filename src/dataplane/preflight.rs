//! What a refusal at start means.

use super::DataplaneError;
use super::netlink::batch::CommitError;
use super::probe;

/// Why the kernel refused to try our tables. Which option it lacks is asked of it,
/// expression by expression: what was refused first says too little, one module stands on
/// another.
pub(super) fn preflight_error(error: CommitError) -> DataplaneError {
    if error.errno() == Some(nix::libc::EPERM) {
        return DataplaneError::Privilege;
    }
    let lacking = probe::lacking();
    let missing = if lacking.is_empty() { "CONFIG_NF_TABLES of Linux 5.9 or later".to_owned() } else { lacking };
    DataplaneError::Unsupported { missing, source: error }
}
