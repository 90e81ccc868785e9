//! What the tests of the whole program share: a small experiment in a folder of its own, the
//! program run in it, and what it left there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use rise_lab::data::{SplitSizes, TaskConfig, WordProblems};
use rise_lab::domain::{Key, Problem, Seed};
use rise_lab::model::{
    CheckpointFolder, Decoder, ExecutionContext, LanguageModel, ModelConfig, Tokenizer, Weights,
    checkpoint,
};
use rise_lab::pipeline::Workspace;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The file of the small experiment.
pub const FILE: &str = "minirise.toml";
/// The file of the experiment that has every method.
pub const METHODS: &str = "methods.toml";
/// The file of its base model.
pub const MODEL: &str = "models/mini.toml";
/// Stages that the small experiment stands for.
pub const STAGES: u64 = 17;

/// The text of an experiment or a base model in `tests/minirise`.
fn sample(name: &str) -> String {
    fs::read_to_string(manifest("tests/minirise").join(name)).expect("the sample is there")
}

/// A place in the package.
pub fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with the small experiments, the place of a store and a place for reports. All paths
/// that the program is given are relative to it.
pub struct Lab(TempDir);

impl Lab {
    /// A folder without a store.
    pub fn new() -> Self {
        let lab = Self(tempfile::tempdir().expect("there is room for temporary files"));
        for name in [FILE, METHODS, MODEL, "gsm8k.toml", "models/reader.toml"] {
            lab.write(name, sample(name));
        }
        lab
    }

    /// A folder whose store holds the small experiment, finished.
    pub fn finished() -> Self {
        static FIRST: OnceLock<Lab> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let lab = Self::new();
            lab.sweep(&["--jobs", "2"]).expect_exit(0);
            lab
        });
        let lab = Self::new();
        for folder in ["store", "reports"] {
            copy(&first.path(folder), &lab.path(folder));
        }
        lab
    }

    /// A place in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// Replaces the one place of a file where `from` stands.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect("the file is there");
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {name}");
        self.write(name, text.replace(from, to));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rise-lab"));
        command
            .current_dir(self.0.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
            .env_remove("RISE_LAB_STORE")
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(
            self.command(arguments)
                .output()
                .expect("the program can be started"),
        )
    }

    /// The same with something on standard input.
    pub fn run_saying(&self, arguments: &[&str], said: &str) -> Ran {
        let mut command = self.command(arguments);
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("the program can be started");
        let mut input = child.stdin.take().expect("standard input is a pipe");
        input
            .write_all(said.as_bytes())
            .expect("the program listens");
        drop(input);
        Ran::from(child.wait_with_output().expect("the program ends"))
    }

    /// Runs the program to its end with some more variables in its environment.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        Ran::from(command.output().expect("the program can be started"))
    }

    /// Runs the program on this folder's store.
    pub fn on_store(&self, arguments: &[&str]) -> Ran {
        self.run(&[arguments, &["--store", "store"]].concat())
    }

    /// What a command answers to machines.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.on_store(&[arguments, &["--format", "json"]].concat());
        ran.expect_exit(0);
        serde_json::from_str(&ran.stdout).expect("the answer is JSON")
    }

    /// Runs the sweep of the small experiment, for machines.
    pub fn sweep(&self, more: &[&str]) -> Ran {
        self.on_store(&[&["sweep", FILE, "--format", "json"], more].concat())
    }

    /// Begins the sweep of the small experiment.
    pub fn begin(&self, more: &[&str]) -> Running {
        let arguments = [
            &["sweep", FILE, "--store", "store", "--format", "json"],
            more,
        ]
        .concat();
        let mut command = self.command(&arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        Running {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// The rows of a query, each cell as text.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let answer = self.json(&["query", sql, "--limit", "100000"]);
        assert_eq!(answer["more"], false);
        let text = |cell: &Value| {
            cell.as_str()
                .map_or_else(|| cell.to_string(), str::to_owned)
        };
        let rows = answer["rows"].as_array().expect("rows");
        rows.iter()
            .map(|row| row.as_array().expect("a row").iter().map(text).collect())
            .collect()
    }

    /// How often each finished stage was begun.
    pub fn done(&self) -> BTreeMap<String, u64> {
        let rows = self.query("SELECT key, attempts FROM stages WHERE status = 'done'");
        rows.into_iter()
            .map(|row| (row[0].clone(), row[1].parse().expect("a count")))
            .collect()
    }

    /// The value that the report was rendered from.
    #[track_caller]
    pub fn context(&self) -> String {
        fs::read_to_string(self.path("reports/minirise/context.json")).expect("the report is there")
    }

    /// Every file under a folder with a fingerprint of its content, leaving out what comes and goes
    /// with whoever has the database open.
    pub fn files(&self, folder: &str) -> BTreeMap<PathBuf, Key> {
        let mut files = BTreeMap::new();
        list(&self.path(folder), &mut files);
        let ends =
            |path: &Path, end: &str| path.extension().is_some_and(|extension| extension == end);
        files.retain(|path, key| {
            let empty_log = ends(path, "db-wal") && *key == Key::from_bytes(b"");
            !(path.ends_with("lock") || ends(path, "db-shm") || empty_log)
        });
        files
    }
}

/// Adds every file under a folder with a fingerprint of its content.
pub fn list(folder: &Path, files: &mut BTreeMap<PathBuf, Key>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            let bytes = fs::read(&path).expect("a file of ours can be read");
            files.insert(path, Key::from_bytes(&bytes));
        }
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// How a run of the program ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Self {
            exit: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    #[track_caller]
    pub fn expect_exit(&self, exit: i32) {
        assert_eq!(self.exit, Some(exit), "{}\n{}", self.stdout, self.stderr);
    }

    /// The news of a sweep.
    pub fn news(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("news is JSON"))
            .collect()
    }

    /// A number that the sweep ended with.
    #[track_caller]
    pub fn ended_with(&self, name: &str) -> u64 {
        let news = self.news();
        let last = news.last().expect("a sweep tells how it ended");
        assert_eq!(last["reason"], "sweep-finished");
        last[name].as_u64().expect("a number")
    }

    /// Stages that were executed.
    #[track_caller]
    pub fn executed(&self) -> u64 {
        self.ended_with("stages-executed")
    }
}

/// The stages named in news of one kind.
pub fn stages(news: &[Value], reason: &str) -> BTreeSet<String> {
    let told = news.iter().filter(|line| line["reason"] == reason);
    told.map(|line| line["stage"].as_str().expect("a stage's key").to_owned())
        .collect()
}

/// A sweep that is under way.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    heard: Vec<Value>,
}

impl Running {
    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Listens until something is told that is awaited; none if the sweep ends before.
    pub fn listen(&mut self, awaited: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut line = String::new();
        while self
            .lines
            .read_line(&mut line)
            .expect("the program can be heard")
            > 0
        {
            let news: Value = serde_json::from_str(&line).expect("news is JSON");
            line.clear();
            self.heard.push(news.clone());
            if awaited(&news) {
                return Some(news);
            }
        }
        None
    }

    /// Listens until something is told that must come.
    #[track_caller]
    pub fn wait_for(&mut self, reason: &str, kind: Option<&str>) -> Value {
        let awaited =
            |news: &Value| news["reason"] == reason && kind.is_none_or(|kind| news["kind"] == kind);
        match self.listen(awaited) {
            Some(news) => news,
            None => panic!("the sweep ended before `{reason}`: {:?}", self.heard),
        }
    }

    /// Ends the process as `kill -9` does.
    pub fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("the process is ours");
        while self.listen(|_| false).is_some() {}
        self.child.wait().expect("the process is ours");
        self.heard
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Ran {
        self.listen(|_| false);
        let mut stderr = String::new();
        let errors = self
            .child
            .stderr
            .as_mut()
            .expect("standard error is a pipe");
        errors
            .read_to_string(&mut stderr)
            .expect("the program can be heard");
        let status = self.child.wait().expect("the process is ours");
        let stdout = self
            .heard
            .iter()
            .map(|line| line.to_string() + "\n")
            .collect();
        Ran {
            exit: status.code(),
            stdout,
            stderr,
        }
    }
}

/// Short word problems, the same ones every time.
pub fn problems(count: usize) -> Vec<Problem> {
    let task = WordProblems {
        steps: [1, 2],
        corpus_steps: [1, 2],
        largest: 9,
    };
    let sizes = SplitSizes {
        train: count,
        ..SplitSizes::empty(0)
    };
    TaskConfig::WordProblems(task)
        .load(&sizes)
        .expect("there are enough problems")
        .train
}

/// A model of two layers with random weights that knows the words of some problems.
pub fn random_model(problems: &[Problem]) -> LanguageModel {
    let solutions = problems
        .iter()
        .filter_map(|problem| problem.solution.as_deref());
    let texts = problems
        .iter()
        .map(|problem| problem.question.as_str())
        .chain(solutions);
    let tokenizer = Tokenizer::train(texts, 300).expect("the vocabulary is large enough");
    let config = ModelConfig {
        width: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 64,
        positions: 512,
        ..ModelConfig::default()
    };
    let place = place();
    let weights =
        Weights::init_random(&config, tokenizer.vocabulary_size(), Seed(7), &place.device);
    LanguageModel {
        decoder: Decoder::new(config, weights, &place),
        tokenizer,
    }
}

/// Puts a model into a workspace as a finished stage.
pub fn finished_base(workspace: &Workspace, model: &LanguageModel) -> Key {
    let key = Key::from_bytes(b"start");
    let place = workspace.working_folder(&key).unwrap();
    CheckpointFolder::save(&model.decoder, &place).unwrap();
    model
        .tokenizer
        .save(&place.join(checkpoint::TOKENIZER_FILE))
        .unwrap();
    workspace
        .publish(
            &key,
            &checkpoint::CHECKPOINT_FILES,
            (0.0, None),
            json!({}),
            json!({}),
        )
        .unwrap();
    key
}

/// Puts some rows into a workspace as a finished stage with one file.
pub fn finished_rows<T: Serialize>(
    workspace: &Workspace,
    name: &str,
    file: &'static str,
    rows: &[T],
) -> Key {
    let key = Key::from_bytes(name.as_bytes());
    let lines: String = rows
        .iter()
        .map(|row| serde_json::to_string(row).unwrap() + "\n")
        .collect();
    fs::write(workspace.working_folder(&key).unwrap().join(file), lines).unwrap();
    workspace
        .publish(&key, &[file], (0.0, None), json!({}), json!({}))
        .unwrap();
    key
}

/// The embedded backend.
pub fn place() -> ExecutionContext {
    ExecutionContext::open("flex").expect("the embedded backend is always there")
}
