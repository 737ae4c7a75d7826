//! The kernel's randomness, replaced by a fixed one.
//!
//! The standard library keys its hash maps with `getrandom`, and tokio seeds the order in which
//! it wakes and selects from those keys. The library looks the symbol up so that a program may put
//! its own in place, which is done here: without it no run could be repeated.

use std::cell::Cell;

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
