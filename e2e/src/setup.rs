//! Where things are: the checkout, the binaries under test, what `e2e/setup` keeps in the cache,
//! and a folder for what a run leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// The top of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("e2e lies in the checkout")
        .to_path_buf()
}

/// A binary of this workspace: in `OTTLA_BIN_DIR`, or built beside the program that asks.
///
/// # Errors
/// It is in neither place.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = match std::env::var_os("OTTLA_BIN_DIR") {
        Some(dir) => checkout().join(dir),
        None => {
            let own = std::env::current_exe()?;
            let dir = own.parent().context("a program lies in a folder")?;
            let in_deps = dir.file_name().is_some_and(|name| name == "deps");
            if in_deps {
                dir.join("..")
            } else {
                dir.to_path_buf()
            }
        }
    };
    let path = dir.join(name);
    ensure!(
        path.exists(),
        "{} is not built: run make release, then set OTTLA_BIN_DIR=target/release",
        path.display()
    );
    Ok(path)
}

/// What a script of `e2e/setup` provides, fetched or built where it is missing.
///
/// # Errors
/// The script failed; its own words are on stderr.
pub fn provided(script: &str) -> Result<PathBuf> {
    let path = checkout().join("e2e/setup").join(script);
    let output = Command::new(&path)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", path.display()))?;
    ensure!(output.status.success(), "e2e/setup/{script} failed");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The folder of Apache Kafka's jars.
///
/// # Panics
/// They cannot be had: no test that needs them makes sense.
pub fn kafka_jars() -> &'static Path {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| provided("kafka").expect("Apache Kafka's jars"))
}

/// A Python that has the clients of the tests.
///
/// # Panics
/// It cannot be had: no test that needs it makes sense.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| provided("python").expect("Python with its clients"))
}

/// A new empty folder for one cluster or client. It stays when its run fails.
///
/// # Panics
/// The temporary folder is not writable.
pub fn scratch(name: &str) -> PathBuf {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let runs = match std::env::var_os("OTTLA_E2E_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::temp_dir().join("ottla-e2e"),
        };
        remove_old_runs(&runs);
        runs.join(std::process::id().to_string())
    });
    let dir = base.join(format!(
        "{:02}-{name}",
        SERIAL.fetch_add(1, Ordering::Relaxed)
    ));
    std::fs::create_dir_all(&dir).expect("a scratch folder can be made");
    dir
}

/// Folders are named for the process that made them; whose process is gone may go.
fn remove_old_runs(runs: &Path) {
    let Ok(entries) = std::fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_alive = Path::new("/proc").join(&name).exists();
        let is_pid = name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        if is_pid && !is_alive {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Ports of 127.0.0.1 that nobody listens on now, below the range the kernel hands out by itself.
///
/// # Panics
/// None of ten thousand is free.
#[must_use]
pub fn free_ports(count: usize) -> Vec<u16> {
    const FIRST: u16 = 20_000;
    const RANGE: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(61) % u32::from(RANGE)) as u16;
    let mut ports = Vec::new();
    for _ in 0..RANGE {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % RANGE;
        let port = FIRST + (start + step) % RANGE;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
        if ports.len() == count {
            return ports;
        }
    }
    panic!("no {count} free ports on 127.0.0.1");
}
