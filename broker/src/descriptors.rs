//! Open files: how many this process may have, and who gets how many of them. Connections come and
//! go as clients like, so they have a share, and what the log needs is never theirs.

/// Segment and index files that are held open where there is no lack.
const FILES_MAX: usize = 256;

/// What is kept for the write-ahead log, peers and listeners where there is no lack.
const RESERVED_MAX: usize = 256;

/// What they need in any case.
const RESERVED_MIN: usize = 64;

/// The shares of a limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Clients' connections.
    pub connections: usize,
    /// Segment and index files held open.
    pub files: usize,
}

impl Descriptors {
    /// The shares of `limit`.
    #[must_use]
    pub fn of(limit: usize) -> Self {
        let reserved = (limit / 4).clamp(RESERVED_MIN, RESERVED_MAX);
        let rest = limit.saturating_sub(reserved);
        let files = (rest / 4).clamp(1, FILES_MAX);
        Self {
            connections: rest.saturating_sub(files),
            files,
        }
    }

    /// The shares of what this process may have at most, which is what it asks for.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn raised() -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let all = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // the system may have a limit of its own, and then the one of before holds
        let _ = setrlimit(Resource::Nofile, all);
        let current = getrlimit(Resource::Nofile).current;
        Self::of(current.map_or(usize::MAX, |current| {
            usize::try_from(current).unwrap_or(usize::MAX)
        }))
    }

    /// The shares of what systems give a process as a rule.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn raised() -> Self {
        Self::of(1024)
    }
}

#[test]
fn shares_never_come_to_more_than_the_limit() {
    for limit in [65, 100, 256, 1024, 4096, 1 << 20] {
        let shares = Descriptors::of(limit);
        assert!(
            shares.connections + shares.files + RESERVED_MIN <= limit,
            "{limit}: {shares:?}"
        );
    }
    let few = Descriptors {
        connections: 144,
        files: 48,
    };
    assert_eq!(Descriptors::of(256), few);
    assert_eq!(Descriptors::of(1 << 20).files, FILES_MAX);
}
