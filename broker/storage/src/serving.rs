//! Who may wait for a disk: not a thread that serves many, for a disk that hangs would hold up all
//! of them, and not whoever holds a lock that such a thread takes. Debug builds panic where code
//! does otherwise, whether or not the disk is slow just then; release builds have nothing of it.

#[cfg(debug_assertions)]
use crate::ranked::{self, SERVES};

/// Does `act` as a thread that serves: it touches no disk, and waits for nobody who does.
#[cfg(debug_assertions)]
pub fn serving<T>(act: impl FnOnce() -> T) -> T {
    let _before = Before {
        serves: SERVES.replace(true),
        held: None,
    };
    act()
}

/// Does `act`, which may wait for the disk: on a thread that is there for it, or in a simulation,
/// which has one thread.
#[cfg(debug_assertions)]
pub fn blocking<T>(act: impl FnOnce() -> T) -> T {
    let _before = Before {
        serves: SERVES.replace(false),
        held: Some(ranked::set_held(Vec::new())),
    };
    act()
}

/// What a thread is once it has done something in another role, also after a panic in it.
#[cfg(debug_assertions)]
struct Before {
    serves: bool,
    held: Option<Vec<u8>>,
}

#[cfg(debug_assertions)]
impl Drop for Before {
    fn drop(&mut self) {
        SERVES.set(self.serves);
        self.held.take().map(ranked::set_held);
    }
}

/// Says that this thread serves as long as it lives.
#[cfg(debug_assertions)]
pub fn serve_on_this_thread() {
    SERVES.set(true);
}

/// A call of the disk: nobody may be waiting for this thread but who waits for the disk.
#[cfg(debug_assertions)]
pub fn at_disk() {
    assert!(!SERVES.get(), "a thread that serves waits for no disk");
    ranked::check_held_at_disk();
}

/// As a debug build has it, unchecked.
#[cfg(not(debug_assertions))]
pub fn serving<T>(act: impl FnOnce() -> T) -> T {
    act()
}

/// As a debug build has it, unchecked.
#[cfg(not(debug_assertions))]
pub fn blocking<T>(act: impl FnOnce() -> T) -> T {
    act()
}

/// As a debug build has it, unchecked.
#[cfg(not(debug_assertions))]
pub fn serve_on_this_thread() {}

/// As a debug build has it, unchecked.
#[cfg(not(debug_assertions))]
pub fn at_disk() {}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use crate::ranked::{PARTITION, Ranked, WAL, lock};

    #[test]
    fn who_may_block_touches_the_disk_also_within_what_serves() {
        at_disk();
        serving(|| blocking(at_disk));
    }

    #[test]
    #[should_panic(expected = "a thread that serves waits for no disk")]
    fn who_serves_touches_no_disk() {
        serving(at_disk);
    }

    #[test]
    #[should_panic(expected = "a thread that serves waits for no disk")]
    fn who_served_before_it_blocked_serves_again() {
        serving(|| {
            blocking(at_disk);
            at_disk();
        });
    }

    #[test]
    #[should_panic(expected = "a thread that serves waits for nobody who waits for the disk")]
    fn who_serves_takes_no_lock_of_the_disk() {
        let wal = Ranked::<_, WAL>::new(());
        serving(|| drop(lock(&wal)));
    }

    #[test]
    #[should_panic(expected = "no disk is touched under it")]
    fn who_holds_what_others_serve_with_touches_no_disk() {
        let partition = Ranked::<_, PARTITION>::new(());
        let _held = lock(&partition);
        at_disk();
    }
}
