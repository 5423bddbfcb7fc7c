//! The built binary on kernels of its own: Debian's, from Linux 5.10 on, each in a
//! machine under qemu, and kernels that lack what we use.
//!
//! `scripts/test qemu` downloads the kernels; by name only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

#[path = "qemu/initramfs.rs"]
mod initramfs;
#[path = "qemu/kernels.rs"]
mod kernels;
#[path = "qemu/machine.rs"]
mod machine;
#[path = "qemu/poor.rs"]
mod poor;
