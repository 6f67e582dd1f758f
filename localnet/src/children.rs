//! The other programs, run as child processes.
//!
//! Each is in a process group of its own, so that a terminal's Ctrl-C reaches localnet alone,
//! which then ends them in order. Where `setpriv` (util-linux) is installed, the kernel ends them
//! if localnet is killed; elsewhere the next start does, by the [`Record`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::record::Record;

const PATIENCE: Duration = Duration::from_secs(5);
const TOLD_LINES: usize = 20;

/// A user to run a program as.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// How a program is asked to end.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    Terminate,
    /// What Postgres takes for a fast shutdown.
    Interrupt,
}

impl Ask {
    fn signal(self) -> Signal {
        match self {
            Self::Terminate => Signal::TERM,
            Self::Interrupt => Signal::INT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Children(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    logs: PathBuf,
    record: Record,
    failures: mpsc::UnboundedSender<anyhow::Error>,
    /// In the order of their starts.
    running: Mutex<Vec<Running>>,
    /// Removed when all children have ended.
    folders: Mutex<Vec<TempDir>>,
}

#[derive(Debug)]
struct Running {
    name: String,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Children {
    /// A child that ends without being asked to is told to `failures`.
    pub fn new(
        logs: PathBuf,
        record: Record,
        failures: mpsc::UnboundedSender<anyhow::Error>,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self(Arc::new(Inner {
            logs,
            record,
            failures,
            running: Mutex::default(),
            folders: Mutex::default(),
        })))
    }

    /// Starts a program that runs until localnet ends; what it says goes to `NAME.log`.
    pub fn spawn(
        &self,
        name: &str,
        command: &Command,
        user: Option<User>,
        ask: Ask,
    ) -> anyhow::Result<()> {
        let log = self.log(name);
        let child = start(command, user, ask, File::create(&log), &log)?;
        if let Some(pid) = child.id() {
            self.0.record.add_process(pid, name)?;
        }
        let stop = CancellationToken::new();
        let failures = self.0.failures.clone();
        let watch = watch(child, name.to_owned(), log, ask, stop.clone(), failures);
        lock(&self.0.running).push(Running {
            name: name.to_owned(),
            stop,
            ended: tokio::spawn(watch),
        });
        Ok(())
    }

    /// Runs a program to its end and returns what it said, which is added to `LOG.log` too.
    /// Anything but success is an error that tells its last lines.
    pub async fn run(
        &self,
        log: &str,
        command: &Command,
        user: Option<User>,
    ) -> anyhow::Result<String> {
        let program = Path::new(command.as_std().get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let own = tempfile::NamedTempFile::new_in(&self.0.logs).context("making a log")?;
        let mut child = start(command, user, Ask::Terminate, own.reopen(), own.path())?;
        let status = child.wait().await.with_context(|| name.to_string())?;
        let log = self.log(log);
        add_to(&log, command, own.path()).with_context(|| format!("writing {}", log.display()))?;
        match status.success() {
            true => Ok(fs::read_to_string(own.path())?),
            false => Err(ended(&name, status, own.path(), &log)),
        }
    }

    /// Fails where a program has ended that should not.
    pub fn check(&self) -> anyhow::Result<()> {
        match lock(&self.0.running)
            .iter()
            .find(|child| child.ended.is_finished())
        {
            Some(child) => bail!(
                "{} has ended: see {}",
                child.name,
                self.log(&child.name).display()
            ),
            None => Ok(()),
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.0.logs.join(format!("{name}.log"))
    }

    /// Removes a folder when all children have ended.
    pub fn keep(&self, folder: TempDir) -> anyhow::Result<()> {
        self.0.record.add_folder(folder.path())?;
        lock(&self.0.folders).push(folder);
        Ok(())
    }

    /// Ends all children, the last one first.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *lock(&self.0.running));
        for child in running.into_iter().rev() {
            child.stop.cancel();
            let _ = child.ended.await;
        }
        lock(&self.0.folders).clear();
        self.0.record.end();
    }
}

fn start(
    command: &Command,
    user: Option<User>,
    ask: Ask,
    log: io::Result<File>,
    log_path: &Path,
) -> anyhow::Result<Child> {
    let command = command.as_std();
    let program = Path::new(command.get_program());
    if program.is_absolute() && !program.exists() {
        bail!(
            "{} is not there: build it with `cargo build --workspace`",
            program.display()
        );
    }
    let (out, error) = log
        .and_then(|file| Ok((file.try_clone()?, file)))
        .with_context(|| format!("writing {}", log_path.display()))?;
    Command::from(bound_to_us(command, user, ask))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(error)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

/// The command, as the user, and ended by the kernel if we are.
fn bound_to_us(command: &process::Command, user: Option<User>, ask: Ask) -> process::Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut bound = if setpriv.exists() {
        let mut bound = process::Command::new(setpriv);
        bound.args(["--pdeathsig", ask.name()]);
        if let Some(User { uid, gid }) = user {
            bound.arg(format!("--reuid={uid}"));
            bound.arg(format!("--regid={gid}"));
            bound.arg("--clear-groups");
        }
        bound.arg(command.get_program());
        bound
    } else {
        let mut bound = process::Command::new(command.get_program());
        if let Some(User { uid, gid }) = user {
            bound.uid(uid).gid(gid);
        }
        bound
    };
    bound.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        bound.current_dir(dir);
    }
    bound
}

/// Waits for the child to end, or ends it.
async fn watch(
    mut child: Child,
    name: String,
    log: PathBuf,
    ask: Ask,
    stop: CancellationToken,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) {
    let unasked = tokio::select! {
        status = child.wait() => Some(status),
        () = stop.cancelled() => None,
    };
    match unasked {
        Some(Ok(status)) => {
            let _ = failures.send(ended(&name, status, &log, &log));
        }
        Some(Err(error)) => {
            let _ = failures.send(anyhow!(error).context(name));
        }
        None => end(&mut child, ask).await,
    }
}

async fn end(child: &mut Child, ask: Ask) {
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let Some(pid) = pid else {
        return;
    };
    let _ = kill_process(pid, ask.signal());
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait().await;
    }
}

/// Adds what a command said to a log that it shares with others.
fn add_to(log: &Path, command: &Command, said: &Path) -> io::Result<()> {
    let said = fs::read(said)?;
    // Not its environment: a database's URL may hold a password.
    let command = command.as_std();
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let mut entry = format!("$ {}\n", words.join(" ")).into_bytes();
    entry.extend(said);
    let mut log = OpenOptions::new().create(true).append(true).open(log)?;
    log.write_all(&entry)
}

/// Tells the last lines of what a program `said`, and the log where all of it is.
fn ended(name: &str, status: ExitStatus, said: &Path, log: &Path) -> anyhow::Error {
    let text = fs::read(said).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TOLD_LINES)..];
    anyhow!(
        "{name} ended with {status}; the end of {}:\n{}",
        log.display(),
        last.join("\n")
    )
}

/// Nothing that holds these locks leaves things half changed, so a panic does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nursery {
        children: Children,
        failures: mpsc::UnboundedReceiver<anyhow::Error>,
        dir: TempDir,
    }

    fn nursery() -> Nursery {
        let dir = tempfile::tempdir().unwrap();
        let (sender, failures) = mpsc::unbounded_channel();
        let record = Record::begin(dir.path()).unwrap();
        Nursery {
            children: Children::new(dir.path().join("logs"), record, sender).unwrap(),
            failures,
            dir,
        }
    }

    fn spawn(nursery: &Nursery, name: &str, command: &Command) {
        let spawned = nursery.children.spawn(name, command, None, Ask::Terminate);
        spawned.unwrap();
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_child_that_dies_is_named_with_its_last_lines() {
        let mut nursery = nursery();
        let script = shell("seq 30; echo oh >&2; exit 3");
        spawn(&nursery, "counter", &script);
        let failure = nursery.failures.recv().await.unwrap().to_string();
        assert!(failure.starts_with("counter ended with exit status: 3"));
        assert!(failure.ends_with("29\n30\noh"));
        assert!(!failure.contains("\n11\n"));
    }

    #[tokio::test]
    async fn shutdown_asks_the_last_one_first_and_removes_folders() {
        let mut nursery = nursery();
        let order = nursery.dir.path().join("order");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        nursery.children.keep(folder).unwrap();
        for name in ["first", "second"] {
            let said = nursery.dir.path().join(name);
            let script = format!(
                "trap 'echo {name} >> {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
                order.display(),
                said.display()
            );
            spawn(&nursery, name, &shell(&script));
            while !said.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        nursery.children.shutdown().await;
        assert_eq!(fs::read_to_string(order).unwrap(), "second\nfirst\n");
        assert!(!path.exists());
        assert!(nursery.failures.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_fails_to_run_tells_why() {
        let nursery = nursery();
        let script = shell("echo no; exit 1");
        let failed = nursery.children.run("once", &script, None).await;
        let failed = failed.unwrap_err().to_string();
        assert!(failed.ends_with("once.log:\nno"), "{failed}");
        let missing = Command::new("/no/such");
        let missing = nursery.children.run("gone", &missing, None).await;
        let missing = missing.unwrap_err().to_string();
        assert!(missing.starts_with("/no/such is not there"));
    }
}
