//! `ottla-operator local DIR`: the same YAML as on Kubernetes, as processes of this machine.
//!
//! ```text
//! folder ──objects──▶ objects ──specs──▶ a task per cluster ──▶ brokers
//!                        ▲                    │  └─▶ a task for its topics ──▶ admin client
//!                        └────── statuses ────┘
//! ```
//! The loop here owns the objects and is the only one that writes status files and the terminal.
//!
//! Invariant: nothing is deleted because a file could not be read: an object goes only when its
//! file is gone, or was read without a problem and no longer holds it, for [`objects::GONE_AFTER`].

pub mod board;
mod brokers;
pub mod folder;
pub mod objects;
mod session;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::folder::Folder;
use self::session::Session;

/// What `ottla-operator local` is given.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The folder of manifests (*.yaml, *.yml); it is watched
    pub dir: PathBuf,
    /// Where brokers keep their data, settings, logs and process ids
    #[arg(long, default_value = "./data")]
    pub data_dir: PathBuf,
    /// The broker's executable; by default the one beside this executable
    #[arg(long)]
    pub broker: Option<PathBuf>,
}

/// Runs until Ctrl-C or SIGTERM.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let started = std::time::Instant::now();
    let prepared = prepare(options);
    let (folder, data_dir, broker, lock) = match prepared {
        Ok(prepared) => prepared,
        Err(sentence) => {
            eprintln!("ottla-operator: {sentence}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ottla-operator: no event loop can be had: {error}.");
            return ExitCode::FAILURE;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    let session = Session::new(folder, data_dir, broker, started);
    tasks.block_on(&runtime, session.run());
    drop(lock);
    ExitCode::SUCCESS
}

type Prepared = (Folder, PathBuf, PathBuf, File);

fn prepare(options: &Options) -> Result<Prepared, String> {
    let mut folder = Folder::new(&options.dir);
    folder
        .scan()
        .map_err(|error| format!("{} cannot be read: {error}.", options.dir.display()))?;
    let broker = match &options.broker {
        Some(broker) => broker.clone(),
        None => std::env::current_exe()
            .map_err(|error| format!("the path of this executable is not known: {error}."))?
            .with_file_name("ottla-broker"),
    };
    if !broker.is_file() {
        return Err(format!(
            "{} is not there; build it with `cargo build --release -p ottla-broker`, or name \
             another with --broker.",
            broker.display()
        ));
    }
    let shown = options.data_dir.display();
    let cannot = |error: std::io::Error| format!("{shown} cannot be used for data: {error}.");
    std::fs::create_dir_all(&options.data_dir).map_err(cannot)?;
    let data_dir = options.data_dir.canonicalize().map_err(cannot)?;
    let lock = lock(&data_dir)?;
    Ok((folder, data_dir, broker, lock))
}

/// One operator for a data directory: the lock is held until the process ends.
fn lock(data_dir: &Path) -> Result<File, String> {
    let path = data_dir.join("lock");
    let file = File::create(&path)
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "{} is in use by another ottla-operator; stop it, or choose another folder with \
             --data-dir.",
            data_dir.display()
        )),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(format!("{} cannot be locked: {error}.", path.display()))
        }
    }
}
