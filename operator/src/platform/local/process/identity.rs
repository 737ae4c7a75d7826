//! Processes by their id: whether they live, what they are, and signals to them.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal};

/// Sends a signal.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // A process that is gone already is what was wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Whether a process lives; one that is dead and not yet waited for does not.
pub fn is_alive(pid: i32) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        return !matches!(state, Some(b'Z' | b'X'));
    }
    !Path::new("/proc/self").exists()
        && Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// The arguments of a process: from the kernel, or from `ps` where there is no `/proc`.
pub fn command_line(pid: i32) -> Option<Vec<String>> {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        let arguments = line.split(|byte| *byte == 0);
        let text = arguments.map(|argument| String::from_utf8_lossy(argument).into_owned());
        return Some(text.collect());
    }
    let mut ps = Command::new("ps");
    ps.args(["-o", "command=", "-p", &pid.to_string()]);
    let output = ps.output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(line.split_whitespace().map(str::to_owned).collect())
}
