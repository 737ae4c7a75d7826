//! The kernel's randomness and its clock, replaced by fixed ones.
//!
//! The standard library keys its hash maps with `getrandom`, and tokio seeds the order in which
//! it wakes and selects from those keys. The library looks the symbol up so that a program may put
//! its own in place, which is done here: without it no run could be repeated. Nor could it where
//! libraries go by the machine's clock, as h2 does to forget streams that were reset.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far the sequence goes from one number to the next.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    /// Of each thread: what others draw (the one that starts the log) changes nothing here.
    static STATE: Cell<u64> = const { Cell::new(STEP) };
}

/// Fills `buffer` with numbers that are the same in every process.
///
/// # Safety
/// `buffer` must be writable for `length` bytes, as the kernel's call asks for.
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the C library's signature")]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for place in 0..length {
        // a thread that ends has no state any more, and draws nothing that matters
        let step = STATE.try_with(|state| state.replace(state.get().wrapping_add(STEP)));
        let step = step.unwrap_or(STEP);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // SAFETY: the caller says that `length` bytes are writable.
        unsafe { buffer.add(place).write((mixed >> 56) as u8) };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// What all clocks show in milliseconds; 0: the machine's.
static CLOCK_MS: AtomicU64 = AtomicU64::new(0);

/// What they show where a simulation begins, so that whoever looks back has a time to look at.
const CLOCK_START_MS: u64 = 1_000_000_000;

/// All clocks show a time of the simulation from now on.
pub fn set_clock(now_ms: u64) {
    CLOCK_MS.store(CLOCK_START_MS + now_ms, Ordering::Relaxed);
}

/// The time, by whatever clock.
///
/// # Safety
/// `time` must be writable, as the kernel's call asks for.
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the C library's signature")]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    let now_ms = CLOCK_MS.load(Ordering::Relaxed);
    if now_ms == 0 {
        // SAFETY: it is the kernel's own call, and the caller says that `time` is writable.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int };
    }
    let shown = libc::timespec {
        tv_sec: (now_ms / 1000) as libc::time_t,
        tv_nsec: (now_ms % 1000 * 1_000_000) as libc::c_long,
    };
    // SAFETY: the caller says that `time` is writable.
    unsafe { time.write(shown) };
    0
}
