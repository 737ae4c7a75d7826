//! A real PostgreSQL, whose changes can be followed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::run;
use crate::cluster::eventually;
use crate::process::{Process, bound_to_us, tail};
use crate::setup;

/// The one that all may do everything as.
pub(super) const USER: &str = "postgres";
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running server; dropped, it is killed.
pub(super) struct Postgres {
    process: Process,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one whose files are in this folder, which is made.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let programs = setup::provided("postgres")?;
        std::fs::create_dir_all(dir)?;
        if is_root() {
            let mut own = Command::new("chown");
            own.arg(USER).arg(dir);
            run(own, b"", TIMEOUT)?.success()?;
        }
        let data = dir.join("data");
        let mut init = as_its_user(&programs.join("initdb"));
        init.args(["--username", USER, "--auth", "trust", "--no-locale"])
            .args(["--encoding", "UTF8", "--no-sync", "-D"])
            .arg(&data);
        run(init, b"", TIMEOUT)?.success()?;
        let port = setup::free_ports(1)[0];
        let mut serve = as_its_user(&programs.join("postgres"));
        serve.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "wal_level=logical",
        ] {
            serve.args(["-c", setting]);
        }
        let process = Process::start(serve, &dir.with_extension("log"))?;
        let postgres = Self {
            process,
            programs,
            port,
        };
        eventually(TIMEOUT, || postgres.sql("SELECT 1;"))
            .with_context(|| tail(&postgres.process.output()))?;
        Ok(postgres)
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements up to the first that fails; the answer is their rows, a line each, columns
    /// separated by `|`.
    pub(super) fn sql(&self, statements: &str) -> Result<String> {
        let mut psql = bound_to_us(&self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", USER, "-d", USER]);
        Ok(run(psql, statements.as_bytes(), TIMEOUT)?.success()?.stdout)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of the server: root may not run it, and so is the user that Debian has made for it.
fn as_its_user(program: &Path) -> Command {
    if !is_root() {
        return bound_to_us(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", USER, "--init-groups", "--"])
        // after the change of the user, which takes the bond away
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .arg(program);
    command
}
