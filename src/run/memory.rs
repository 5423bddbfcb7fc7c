//! Memory that a start took and does not need any more.

/// Gives freed memory back to the kernel. A start with ten thousand Services holds
/// for a moment everything the kernel holds too, to compare; glibc would keep
/// these pages for ever, though nothing needs them again.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "malloc_trim takes no pointer and may be called at any time from any thread")]
    // SAFETY: malloc_trim only walks the allocator's own lists, under its own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
