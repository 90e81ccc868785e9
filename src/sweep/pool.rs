//! Worker processes: how they are started, spoken to, listened to and ended.
//!
//! Hides processes, pipes and threads behind one queue of what workers say. Must not know which
//! stage should come next or what a death means for the sweep.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{WorkerReply, WorkerRequest, receive, send};

/// How many lines of a worker's standard error are kept to explain its death.
const MAX_STDERR_LINES: usize = 4;

/// How long a process may take to end after its output has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The program that serves as a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This very program, serving the store folder `store`.
    ///
    /// # Errors
    /// If the system does not tell where this program lies.
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
            // The coordinator divides the cores between the workers, and tells each how many
            // threads it may use; burn's and gemm's own threads would compete with them.
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        apart(&mut command);
        command.spawn()
    }
}

/// Keeps a terminal's Ctrl-C away from workers: the coordinator decides what it means for them.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Keeps a terminal's Ctrl-C away from workers: the coordinator decides what it means for them.
#[cfg(windows)]
fn apart(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// What is heard from a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerMessage {
    /// It said something.
    Reply(WorkerReply),
    /// It ended; the text tells how.
    Exited(String),
}

struct WorkerProcess {
    child: Child,
    /// None once its input was closed.
    stdin: Option<ChildStdin>,
    /// Which process of this slot it is, so that a dead one's late words are not taken for those
    /// of the next.
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
    /// A pool of so many slots; processes are started when they are needed.
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

    /// Gives an order to a slot's worker, starting one if there is none. A worker that is
    /// just dying is heard of as [`WorkerMessage::SweepSummary`].
    ///
    /// # Errors
    /// If the worker program cannot be started.
    pub fn send_request(&mut self, slot: usize, order: &WorkerRequest) -> io::Result<()> {
        if self.slots[slot].is_none() {
            self.slots[slot] = Some(self.start_worker(slot)?);
        }
        if let Some(input) = self.slots[slot]
            .as_mut()
            .and_then(|worker| worker.stdin.as_mut())
        {
            // A closed pipe means that the process is dead, which its output will tell.
            let _ = send(input, order);
        }
        Ok(())
    }

    /// Waits at most `patience` for something from any worker, as (slot, what).
    pub fn recv(&mut self, patience: Duration) -> Option<(usize, WorkerMessage)> {
        loop {
            let (slot, generation, answer) = match self.receiver.recv_timeout(patience) {
                Ok(heard) => heard,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            if self.slots[slot]
                .as_ref()
                .is_none_or(|worker| worker.generation != generation)
            {
                continue;
            }
            return Some(match (answer, self.slots[slot].take()) {
                (Some(answer), worker) => {
                    self.slots[slot] = worker;
                    (slot, WorkerMessage::Reply(answer))
                }
                (None, Some(worker)) => (slot, WorkerMessage::Exited(wait_for_exit(worker))),
                (None, None) => continue,
            });
        }
    }

    /// Ends a slot's process at once. Its end is still heard of.
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
    /// No worker outlives its coordinator, whichever way the latter leaves.
    fn drop(&mut self) {
        for worker in self.slots.iter_mut().flatten() {
            drop(worker.stdin.take());
        }
        for mut worker in self.slots.iter_mut().filter_map(Option::take) {
            // Idle workers end by themselves when their input does; busy ones are told to.
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
        while let Some(answer) = receive(&mut output) {
            if sender.send((slot, generation, Some(answer))).is_err() {
                return;
            }
        }
        // Nobody listens any more when this fails, which is fine.
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

/// Waits for the end of a process whose output has ended, and tells how it came.
fn wait_for_exit(mut worker: WorkerProcess) -> String {
    drop(worker.stdin.take());
    let patience = Instant::now();
    while matches!(worker.child.try_wait(), Ok(None)) && patience.elapsed() < EXIT_TIMEOUT {
        thread::sleep(Duration::from_millis(5));
    }
    // A process that closed its output and lives on is of no use.
    let _ = worker.child.kill();
    let how = worker
        .child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string());
    let words = worker
        .stderr_lines
        .and_then(|errors| errors.join().ok())
        .unwrap_or_default();
    if words.is_empty() {
        return format!("the worker process ended ({how})");
    }
    format!(
        "the worker process ended ({how}): {}",
        Vec::from(words).join(" | ")
    )
}
