//! Starts worker processes, sends them requests, and collects their replies in one queue.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{WorkerReply, WorkerRequest, receive, send};

/// Lines of a worker's standard error to keep as an explanation of its death.
const MAX_STDERR_LINES: usize = 4;

/// Time for a process to exit after its output has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The program of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This program as a worker on the store folder `store`.
    ///
    /// # Errors
    /// If the system does not know this program's path.
    pub fn this_program(store: &Path) -> io::Result<Self> {
        let args = vec![
            "worker".into(),
            "--store".into(),
            store.as_os_str().to_owned(),
        ];
        Ok(Self {
            program: std::env::current_exe()?,
            args,
        })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            // The coordinator divides the cores between the workers; burn's and gemm's own
            // threads would compete with theirs.
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        isolate_from_ctrl_c(&mut command);
        command.spawn()
    }
}

/// Keeps a terminal's Ctrl-C away from workers; the coordinator decides how they stop.
#[cfg(unix)]
fn isolate_from_ctrl_c(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Keeps a terminal's Ctrl-C away from workers; the coordinator decides how they stop.
#[cfg(windows)]
fn isolate_from_ctrl_c(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// A message from a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerMessage {
    /// A reply.
    Reply(WorkerReply),
    /// Its end, and how it came.
    Exited(String),
}

struct WorkerProcess {
    child: Child,
    /// None after its input was closed.
    stdin: Option<ChildStdin>,
    /// The number of this process, so that a dead one's late replies do not count for the next.
    generation: u64,
    stderr_lines: Option<thread::JoinHandle<VecDeque<String>>>,
}

/// A fixed number of slots, each with at most one worker process.
pub struct WorkerPool {
    command: WorkerCommand,
    slots: Vec<Option<WorkerProcess>>,
    sender: Sender<(usize, u64, Option<WorkerReply>)>,
    receiver: Receiver<(usize, u64, Option<WorkerReply>)>,
    last_generation: u64,
}

impl WorkerPool {
    /// A pool of `slots` slots; requests start the processes.
    #[must_use]
    pub fn new(command: WorkerCommand, slots: usize) -> Self {
        let (sender, receiver) = channel();
        let slots = (0..slots).map(|_| None).collect();
        Self {
            command,
            slots,
            sender,
            receiver,
            last_generation: 0,
        }
    }

    /// Sends a request to a slot's worker, which is started if there is none. A dying worker
    /// answers with [`WorkerMessage::Exited`].
    ///
    /// # Errors
    /// If the worker program cannot be started.
    pub fn send_request(&mut self, slot: usize, request: &WorkerRequest) -> io::Result<()> {
        if self.slots[slot].is_none() {
            self.slots[slot] = Some(self.start_worker(slot)?);
        }
        if let Some(input) = self.slots[slot]
            .as_mut()
            .and_then(|worker| worker.stdin.as_mut())
        {
            // A closed pipe means that the process is dead; its output ends as well.
            let _ = send(input, request);
        }
        Ok(())
    }

    /// Waits at most `timeout` for a message of any worker, as (slot, message).
    pub fn recv(&mut self, timeout: Duration) -> Option<(usize, WorkerMessage)> {
        loop {
            let (slot, generation, reply) = match self.receiver.recv_timeout(timeout) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            if self.slots[slot]
                .as_ref()
                .is_none_or(|worker| worker.generation != generation)
            {
                continue;
            }
            if let Some(reply) = reply {
                return Some((slot, WorkerMessage::Reply(reply)));
            }
            if let Some(worker) = self.slots[slot].take() {
                return Some((slot, WorkerMessage::Exited(wait_for_exit(worker))));
            }
        }
    }

    /// Kills a slot's process; [`WorkerMessage::Exited`] still follows.
    pub fn kill(&mut self, slot: usize) {
        if let Some(worker) = &mut self.slots[slot] {
            // It fails only if the process has ended already.
            let _ = worker.child.kill();
        }
    }

    fn start_worker(&mut self, slot: usize) -> io::Result<WorkerProcess> {
        let mut child = self.command.spawn()?;
        self.last_generation += 1;
        let generation = self.last_generation;
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            read_replies(output, slot, generation, self.sender.clone());
        }
        let errors = child
            .stderr
            .take()
            .map(|errors| thread::spawn(move || last_stderr_lines(errors)));
        Ok(WorkerProcess {
            child,
            stdin: input,
            generation,
            stderr_lines: errors,
        })
    }
}

impl Drop for WorkerPool {
    /// Ends every worker, so that none outlives its coordinator.
    fn drop(&mut self) {
        for worker in self.slots.iter_mut().flatten() {
            drop(worker.stdin.take());
        }
        for mut worker in self.slots.iter_mut().filter_map(Option::take) {
            // Idle workers end when their input does; busy ones need a kill.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

fn read_replies(
    output: ChildStdout,
    slot: usize,
    generation: u64,
    sender: Sender<(usize, u64, Option<WorkerReply>)>,
) {
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        while let Some(reply) = receive(&mut output) {
            if sender.send((slot, generation, Some(reply))).is_err() {
                return;
            }
        }
        // It fails only when nobody listens any more.
        let _ = sender.send((slot, generation, None));
    });
}

fn last_stderr_lines(errors: ChildStderr) -> VecDeque<String> {
    let mut lines = VecDeque::new();
    for line in BufReader::new(errors)
        .lines()
        .map_while(Result::ok)
        .filter(|line| !line.trim().is_empty())
    {
        if lines.len() == MAX_STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    lines
}

/// Waits for the end of a process after that of its output; returns the exit status and last words.
fn wait_for_exit(mut worker: WorkerProcess) -> String {
    drop(worker.stdin.take());
    let start = Instant::now();
    while matches!(worker.child.try_wait(), Ok(None)) && start.elapsed() < EXIT_TIMEOUT {
        thread::sleep(Duration::from_millis(5));
    }
    // A process without output is useless, even if it is still alive.
    let _ = worker.child.kill();
    let status = worker
        .child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string());
    let words = worker
        .stderr_lines
        .and_then(|errors| errors.join().ok())
        .unwrap_or_default();
    let mut message = format!("the worker process ended ({status})");
    if !words.is_empty() {
        message += ": ";
        message += &Vec::from(words).join(" | ");
    }
    message
}
