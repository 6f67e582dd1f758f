//! Child processes: their output goes to log files, and all of them end with localnet.
//!
//! Each child runs in its own process group, so Ctrl-C in a terminal reaches only localnet, which
//! then stops the children in reverse order of their start.
//!
//! If localnet is killed, the kernel signals its children. `setpriv` (util-linux) asks the kernel
//! for that (`PR_SET_PDEATHSIG`): the call belongs between `fork` and `exec`, where Rust code is
//! `unsafe`, which this workspace forbids. Without `setpriv`, the next localnet stops the children
//! that the [`PidFile`] lists.

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
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, User},
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::pid_file::PidFile;

/// Time between the stop signal and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of output lines that an error quotes.
const QUOTED_LINES: usize = 20;

/// The children of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Children(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    logs: PathBuf,
    pid_file: PidFile,
    failures: mpsc::UnboundedSender<anyhow::Error>,
    /// In the order of their start.
    running: Mutex<Vec<RunningChild>>,
    /// Removed after all children have ended.
    temporary_directories: Mutex<Vec<TempDir>>,
}

#[derive(Debug)]
struct RunningChild {
    name: String,
    stop: CancellationToken,
    /// Finishes when the child has ended.
    supervisor: JoinHandle<()>,
}

impl Children {
    /// `failures` receives an error for each child that ends before [`Self::shutdown`].
    pub fn new(
        logs: PathBuf,
        pid_file: PidFile,
        failures: mpsc::UnboundedSender<anyhow::Error>,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
        Ok(Self(Arc::new(Inner {
            logs,
            pid_file,
            failures,
            running: Mutex::default(),
            temporary_directories: Mutex::default(),
        })))
    }

    /// Starts a program that runs until [`Self::shutdown`], with its output in `NAME.log`.
    /// `stop_signal` asks it to end.
    pub fn spawn(
        &self,
        name: &str,
        command: &Command,
        user: Option<&User>,
        stop_signal: Signal,
    ) -> anyhow::Result<()> {
        let log = self.log(name);
        let child = start(command, user, stop_signal, File::create(&log), &log)?;
        if let Some(pid) = child.id() {
            self.0.pid_file.add_process(pid, name)?;
        }
        let stop = CancellationToken::new();
        let supervisor = supervise(
            child,
            name.to_owned(),
            log,
            stop_signal,
            stop.clone(),
            self.0.failures.clone(),
        );
        lock(&self.0.running).push(RunningChild {
            name: name.to_owned(),
            stop,
            supervisor: tokio::spawn(supervisor),
        });
        Ok(())
    }

    /// Stops the child that [`Self::spawn`] started with this name, if it is running.
    pub async fn stop(&self, name: &str) {
        let child = {
            let mut running = lock(&self.0.running);
            let at = running.iter().position(|child| child.name == name);
            at.map(|at| running.remove(at))
        };
        if let Some(child) = child {
            child.stop.cancel();
            let _ = child.supervisor.await;
        }
    }

    /// Runs a program to its end, returns its output and appends it to `LOG.log`. Any exit status
    /// but success is an error that quotes the last lines of the output.
    pub async fn run(
        &self,
        log: &str,
        command: &Command,
        user: Option<&User>,
    ) -> anyhow::Result<String> {
        let program = Path::new(command.as_std().get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let output = tempfile::NamedTempFile::new_in(&self.0.logs).context("creating a log")?;
        let mut child = start(
            command,
            user,
            Signal::SIGTERM,
            output.reopen(),
            output.path(),
        )?;
        let status = child.wait().await.with_context(|| name.to_string())?;
        let log = self.log(log);
        append_to_log(&log, command, output.path())
            .with_context(|| format!("writing {}", log.display()))?;
        match status.success() {
            true => Ok(fs::read_to_string(output.path())?),
            false => Err(exit_error(&name, status, output.path(), &log)),
        }
    }

    /// Fails if a child that [`Self::spawn`] started has ended.
    pub fn check_running(&self) -> anyhow::Result<()> {
        match lock(&self.0.running)
            .iter()
            .find(|child| child.supervisor.is_finished())
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

    /// Keeps a directory until all children have ended, then removes it.
    pub fn keep_directory(&self, directory: TempDir) -> anyhow::Result<()> {
        self.0.pid_file.add_directory(directory.path())?;
        lock(&self.0.temporary_directories).push(directory);
        Ok(())
    }

    /// Stops all children, the last started first, and removes the temporary directories.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *lock(&self.0.running));
        for child in running.into_iter().rev() {
            child.stop.cancel();
            let _ = child.supervisor.await;
        }
        lock(&self.0.temporary_directories).clear();
        self.0.pid_file.remove();
    }
}

fn start(
    command: &Command,
    user: Option<&User>,
    stop_signal: Signal,
    log: io::Result<File>,
    log_path: &Path,
) -> anyhow::Result<Child> {
    let command = command.as_std();
    let program = Path::new(command.get_program());
    if program.is_absolute() && !program.exists() {
        bail!(
            "{} does not exist: build it with scripts/build-services",
            program.display()
        );
    }
    let (stdout, stderr) = log
        .and_then(|file| Ok((file.try_clone()?, file)))
        .with_context(|| format!("writing {}", log_path.display()))?;
    Command::from(wrap(command, user, stop_signal))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

/// Returns the command run as `user`, and signalled by the kernel if this process dies.
fn wrap(command: &process::Command, user: Option<&User>, death_signal: Signal) -> process::Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut wrapped = if setpriv.exists() {
        let mut wrapped = process::Command::new(setpriv);
        wrapped.args(["--pdeathsig", death_signal.as_str()]);
        if let Some(user) = user {
            wrapped.arg(format!("--reuid={}", user.uid));
            wrapped.arg(format!("--regid={}", user.gid));
            wrapped.arg("--clear-groups");
        }
        wrapped.arg(command.get_program());
        wrapped
    } else {
        let mut wrapped = process::Command::new(command.get_program());
        if let Some(user) = user {
            wrapped.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        wrapped
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// Waits until the child ends, which is a failure, or stops it once `stop` is cancelled.
async fn supervise(
    mut child: Child,
    name: String,
    log: PathBuf,
    stop_signal: Signal,
    stop: CancellationToken,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) {
    let unexpected_end = tokio::select! {
        status = child.wait() => Some(status),
        () = stop.cancelled() => None,
    };
    match unexpected_end {
        Some(Ok(status)) => {
            let _ = failures.send(exit_error(&name, status, &log, &log));
        }
        Some(Err(error)) => {
            let _ = failures.send(anyhow!(error).context(name));
        }
        None => stop_child(&mut child, stop_signal).await,
    }
}

/// Signals the child, and kills its process group if it still runs after [`STOP_TIMEOUT`].
async fn stop_child(child: &mut Child, stop_signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.map(Pid::from_raw) else {
        return;
    };
    let _ = kill(pid, stop_signal);
    if tokio::time::timeout(STOP_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

/// Appends a command line and its output to a log of several commands.
fn append_to_log(log: &Path, command: &Command, output: &Path) -> io::Result<()> {
    let output = fs::read(output)?;
    // Without the environment: a database URL may contain a password.
    let command = command.as_std();
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let mut entry = format!("$ {}\n", words.join(" ")).into_bytes();
    entry.extend(output);
    let mut log = OpenOptions::new().create(true).append(true).open(log)?;
    log.write_all(&entry)
}

/// An error that quotes the last lines of a program's output and names its log.
fn exit_error(name: &str, status: ExitStatus, output: &Path, log: &Path) -> anyhow::Error {
    let text = fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
    anyhow!(
        "{name} ended with {status}; last lines of {}:\n{}",
        log.display(),
        last.join("\n")
    )
}

/// Locks despite poisoning: no code panics halfway through a change to these lists.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        children: Children,
        failures: mpsc::UnboundedReceiver<anyhow::Error>,
        directory: TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (sender, failures) = mpsc::unbounded_channel();
            let pid_file = PidFile::create(directory.path()).unwrap();
            Self {
                children: Children::new(directory.path().join("logs"), pid_file, sender).unwrap(),
                failures,
                directory,
            }
        }

        fn spawn(&self, name: &str, command: &Command) {
            self.children
                .spawn(name, command, None, Signal::SIGTERM)
                .unwrap();
        }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn an_unexpected_end_is_reported_with_the_last_lines_of_output() {
        let mut fixture = Fixture::new();
        let script = shell("seq 30; echo oh >&2; exit 3");
        fixture.spawn("counter", &script);
        let failure = fixture.failures.recv().await.unwrap().to_string();
        assert!(failure.starts_with("counter ended with exit status: 3"));
        assert!(failure.ends_with("29\n30\noh"));
        assert!(!failure.contains("\n11\n"));
    }

    #[tokio::test]
    async fn a_stopped_child_ends_and_the_others_go_on() {
        let mut fixture = Fixture::new();
        let script = shell("while :; do sleep 0.05; done");
        fixture.spawn("stays", &script);
        fixture.spawn("stops", &script);
        fixture.children.stop("stops").await;
        fixture.children.check_running().unwrap();
        assert!(fixture.failures.try_recv().is_err());
        let running = lock(&fixture.children.0.running);
        assert!(running.iter().map(|child| &child.name).eq(["stays"]));
    }

    #[tokio::test]
    async fn shutdown_stops_the_last_child_first_and_removes_directories() {
        let mut fixture = Fixture::new();
        let order = fixture.directory.path().join("order");
        let temporary = tempfile::tempdir().unwrap();
        let temporary_path = temporary.path().to_owned();
        fixture.children.keep_directory(temporary).unwrap();
        for name in ["first", "second"] {
            let started = fixture.directory.path().join(name);
            let script = format!(
                "trap 'echo {name} >> {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
                order.display(),
                started.display()
            );
            fixture.spawn(name, &shell(&script));
            while !started.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        fixture.children.shutdown().await;
        assert_eq!(fs::read_to_string(order).unwrap(), "second\nfirst\n");
        assert!(!temporary_path.exists());
        assert!(fixture.failures.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_failed_run_reports_the_output_or_the_missing_program() {
        let fixture = Fixture::new();
        let script = shell("echo no; exit 1");
        let error = fixture.children.run("once", &script, None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("once.log:\nno"), "{error}");
        let missing = Command::new("/no/such");
        let error = fixture.children.run("gone", &missing, None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("/no/such does not exist"));
    }
}
