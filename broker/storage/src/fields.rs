//! Fields of fixed width in what was read from a disk.

/// Four bytes from `at` on, which are there.
pub(crate) fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    field
}

/// Eight bytes from `at` on, which are there.
pub(crate) fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    field
}
