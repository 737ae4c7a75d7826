//! The broker process.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_memory();
    ottla_broker::command::main()
}

/// Has the C library's allocator keep what it is given back. Buffers of requests come and go at the
/// rate of the traffic; by default each larger one goes back to the kernel and comes again page by
/// page, which takes a seventh of the CPU time of a broker under load. What is kept is bounded by
/// what was in use at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(
    unsafe_code,
    reason = "a setting of the C library, before any other thread runs"
)]
fn keep_memory() {
    const ALLOCATION_OF_ITS_OWN_BYTES_MIN: i32 = 32 << 20;
    const TRIM_BYTES_MIN: i32 = 64 << 20;
    // more arenas each keep memory of their own
    const ARENAS_MAX: i32 = 1;
    // SAFETY: mallopt takes plain numbers; one that it does not know changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, ALLOCATION_OF_ITS_OWN_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES_MIN);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
    }
}
