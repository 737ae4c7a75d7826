//! `ottla-operator local DIR`: the same YAML as on Kubernetes, as processes of this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::time::Instant;

use crate::cluster::reconcile::Reconciler;
use crate::condition::now;
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::platform::local::Processes;
use crate::secrets::{self, Secrets};
use crate::session::Session;
use crate::signals::Signals;
use crate::validated::CERTIFICATES;
use crate::world::folder::Folder;
use crate::world::folder::manifests::Manifests;

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
    let started = Instant::now();
    let prepared = prepare(options);
    let (manifests, data_dir, broker, lock) = match prepared {
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
    let operate = async {
        let world = Folder::new(manifests, &data_dir, started);
        operate(world, &options.dir, &data_dir, &broker).await;
    };
    tasks.block_on(&runtime, operate);
    drop(lock);
    ExitCode::SUCCESS
}

/// Runs until a signal, then stops all brokers in order; a second signal kills them.
async fn operate(world: Folder, folder: &Path, data_dir: &Path, broker: &Path) {
    let mut signals = Signals::listen();
    let all = Secrets::Folder(data_dir.to_owned());
    let reconciler = |key: &ObjectKey| {
        let certificates = secrets::beside(key, CERTIFICATES);
        let certificates = secrets::path(data_dir, secrets::CLUSTER, &certificates);
        let processes = Processes::take_over(&key.name, data_dir, broker, certificates);
        Reconciler::new(processes, all.clone())
    };
    let mut session = Session::new(world, reconciler, Metrics::default(), now);
    let (folder, data) = (folder.display(), data_dir.display());
    let greeting = format!("{folder} → {data}; Ctrl-C stops all brokers");
    session.world.lines.write(&greeting);
    tokio::select! {
        () = session.run() => {}
        () = signals.next() => {}
    }
    let lines = &mut session.world.lines;
    lines.terminal.draw(Vec::new());
    lines.write("brokers are stopping, the last one first; Ctrl-C again kills them");
    session.stop(signals.next()).await;
}

type Prepared = (Manifests, PathBuf, PathBuf, File);

fn prepare(options: &Options) -> Result<Prepared, String> {
    let mut manifests = Manifests::new(&options.dir);
    manifests
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
    Ok((manifests, data_dir, broker, lock))
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
