//! Processes of the system under test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait::wait_for;

const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of output lines that a failing test prints.
const PRINTED_LINES: usize = 60;

/// A running process. Stopped when dropped, with SIGKILL if SIGTERM does not suffice.
pub struct Service {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Service {
    /// Starts `command` with its output in `DIRECTORY/NAME.log`.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self {
            name: name.to_owned(),
            log,
            child,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGKILL, which gives the process no time to clean up.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, and SIGKILL after [`STOP_TIMEOUT`]. Returns whether SIGTERM sufficed and the
    /// process exited with success.
    pub fn stop(&mut self) -> bool {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.kill();
        false
    }

    /// Waits until the process exits by itself. Returns the exit code, or -1 if a signal ended the
    /// process.
    pub async fn exit_code(&mut self, timeout: Duration) -> i32 {
        let what = format!("the exit of {}", self.name);
        let status = wait_for(&what, timeout, async || self.child.try_wait().unwrap()).await;
        status.code().unwrap_or(-1)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Panics with the process's output if the process has ended.
    pub fn assert_running(&mut self) {
        assert!(
            self.is_running(),
            "{} has ended: {}",
            self.name,
            self.output()
        );
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_running() {
            self.stop();
        }
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(PRINTED_LINES)..];
            eprintln!("--- last lines of {}:\n{}", self.name, last.join("\n"));
        }
    }
}
