//! What a refusal at start means: which option the kernel lacks. Pure.

use super::DataplaneError;
use super::netlink::batch::CommitError;

/// Why the kernel refused to try our tables.
pub(super) fn preflight_error(error: CommitError) -> DataplaneError {
    match error.errno() {
        Some(nix::libc::EPERM) => DataplaneError::Privilege,
        Some(_) | None => {
            let missing = match &error {
                CommitError::Refused(refused) => missing_option(&refused.what),
                CommitError::Io(_) | CommitError::TooLarge { .. } => "CONFIG_NF_TABLES",
            };
            DataplaneError::Unsupported { missing, source: error }
        }
    }
}

/// The kernel option that the refused operation needs.
fn missing_option(what: &str) -> &'static str {
    let rule = |chain: &str| what.starts_with("add rule") && what.contains(&format!(" {chain}"));
    if what.starts_with("add table") {
        "CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6"
    } else if what.starts_with("add chain") {
        "CONFIG_NFT_NAT, CONFIG_NF_NAT"
    } else if rule("refuse") {
        "CONFIG_NFT_REJECT, CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6"
    } else if rule("masquerading") {
        "CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6"
    } else if rule("dispatch") {
        "CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6"
    } else if rule("n-") || rule("r-") {
        "CONFIG_NFT_NUMGEN, CONFIG_NFT_NAT"
    } else if rule("remember") || rule("postrouting") || rule("redirects") {
        "CONFIG_NFT_CT, CONFIG_NF_CONNTRACK"
    } else {
        "CONFIG_NF_TABLES of Linux 5.9 or later"
    }
}
