//! Which module may use which, and which crate may be named where: the picture in the crate's
//! documentation, kept by a test.

use std::fs;
use std::path::{Path, PathBuf};

/// Every module with the modules it may use.
const EDGES: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("stats", &[]),
    ("data", &["domain"]),
    ("model", &["domain"]),
    ("eval", &["domain"]),
    ("api", &["domain"]),
    // The settings of a model behind an API only; it is handed in as a policy.
    ("rollout", &["domain", "data", "api"]),
    ("train", &["domain", "data", "model"]),
    // The types of settings only.
    (
        "config",
        &["domain", "data", "model", "api", "rollout", "train", "eval"],
    ),
    ("store", &["domain"]),
    (
        "pipeline",
        &[
            "domain", "data", "model", "api", "rollout", "train", "eval", "config", "store",
        ],
    ),
    // Graders, precisions and thread counts only; the pipeline does the work.
    (
        "sweep",
        &["domain", "data", "model", "config", "pipeline", "store"],
    ),
    ("report", &["domain", "stats", "store"]),
    ("claims", &["domain", "config", "stats", "store", "report"]),
    // `rise-lab model` is about a model alone, without runs.
    (
        "cli",
        &[
            "domain", "data", "model", "config", "sweep", "pipeline", "report", "store", "claims",
        ],
    ),
];

/// What may be named only under certain paths of `src/`.
const HOMES: [(&str, &[&str]); 16] = [
    ("burn::", &["model/", "train/"]),
    ("rusqlite::", &["store/"]),
    ("tokenizers::", &["model/tokenizer.rs", "model/tokenizer/"]),
    ("clap::", &["cli/"]),
    ("indicatif::", &["cli/"]),
    ("println!", &["cli/"]),
    ("eprintln!", &["cli/"]),
    ("print!", &["cli/"]),
    ("eprint!", &["cli/"]),
    ("process::exit", &["cli/"]),
    ("ureq::", &["api/"]),
    ("httpdate::", &["api/"]),
    ("plotters::", &["report/"]),
    ("resvg::", &["report/"]),
    ("regex::", &["data/tasks/jsonl/"]),
    (
        "minijinja::",
        &["report/", "data/prompt.rs", "model/chat_template.rs"],
    ),
];

/// What one source file does against the rules, as sentences; `path` is relative to `src/`.
fn faults(path: &str, text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut faults = Vec::new();
    // `lib.rs` and `main.rs` hold the modules together.
    if let Some((module, _)) = path.split_once('/') {
        faults.extend(wrong_edges(module, &code));
    }
    for (name, homes) in HOMES {
        let at_home = homes.iter().any(|home| path.starts_with(home));
        if !at_home && names(&code, name) {
            faults.push(format!(
                "names `{name}`, which belongs in {}",
                homes.join(" and ")
            ));
        }
    }
    faults
        .into_iter()
        .map(|fault| format!("src/{path}: {fault}"))
        .collect()
}

/// What is used through the crate's root against the table.
fn wrong_edges(module: &str, code: &str) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == module) else {
        return vec![format!("`{module}` has no line in the table of edges")];
    };
    let uses = code.split("crate::").skip(1).zip(code.split("crate::"));
    let uses = uses.filter(|(_, before)| !before.ends_with(word));
    uses.filter_map(
        |(rest, _)| match rest.split(|next| !word(next)).next().unwrap_or_default() {
            "" => Some(
                "imports a group or everything from the crate's root, which hides edges".to_owned(),
            ),
            used if used == module || allowed.contains(&used) => None,
            used => Some(format!("`{module}` may not use `{used}`")),
        },
    )
    .collect()
}

/// Whether code holds a name that is not the end of a longer one.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name)
        .any(|(start, _)| !code[..start].ends_with(word))
}

fn word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Every Rust file under a folder.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder of sources can be read");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let files = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
        .chain(folders.iter().flat_map(|folder| sources(folder)))
        .collect()
}

#[test]
fn modules_use_only_what_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.len() > 100, "only {} files were found", files.len());
    let mut found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file
                .strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy()
                .replace('\\', "/");
            faults(
                &path,
                &fs::read_to_string(file).expect("a source file is text"),
            )
        })
        .collect();
    found.sort();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_line_in_the_table() {
    let text = include_str!("../../src/lib.rs");
    let mut declared: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut listed: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
}

#[test]
fn the_table_has_no_rings() {
    // Modules are listed after everything that they may use.
    for (place, (name, uses)) in EDGES.iter().enumerate() {
        let earlier = |used: &&str| EDGES[..place].iter().any(|(name, _)| name == used);
        assert!(
            uses.iter().all(earlier),
            "{name} uses something that is listed after it"
        );
    }
}

#[test]
fn wrong_edges_and_names_are_found() {
    let clean = "//! See crate::store.\nuse crate::domain::Key;\nuse super::Other;\nlet a = mycrate::store;";
    assert_eq!(faults("data/file.rs", clean), Vec::<String>::new());
    let one = |path, text| {
        let mut found = faults(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    assert_eq!(
        one("domain/key.rs", "use crate::store::Store;"),
        "src/domain/key.rs: `domain` may not use `store`"
    );
    assert_eq!(
        one(
            "report/mod.rs",
            "fn f() -> Option<crate::pipeline::StageNode> {}"
        ),
        "src/report/mod.rs: `report` may not use `pipeline`"
    );
    let grouped = "imports a group or everything from the crate's root, which hides edges";
    assert_eq!(
        one("cli/mod.rs", "use crate::{domain, data};"),
        format!("src/cli/mod.rs: {grouped}")
    );
    assert_eq!(
        one("cli/mod.rs", "use crate::*;"),
        format!("src/cli/mod.rs: {grouped}")
    );
    assert_eq!(
        one("new/mod.rs", ""),
        "src/new/mod.rs: `new` has no line in the table of edges"
    );
    assert_eq!(
        one("eval/vote.rs", "    eprintln!(\"{vote}\");"),
        "src/eval/vote.rs: names `eprintln!`, which belongs in cli/"
    );
    assert_eq!(
        one("data/task.rs", "use minijinja::Environment;"),
        "src/data/task.rs: names `minijinja::`, which belongs in report/ and data/prompt.rs and model/chat_template.rs"
    );
    assert_eq!(
        one("sweep/pool.rs", "std::process::exit(1)"),
        "src/sweep/pool.rs: names `process::exit`, which belongs in cli/"
    );
    assert_eq!(
        faults(
            "model/tokenizer.rs",
            "use tokenizers::Tokenizer;\nburn::tensor::Tensor"
        ),
        Vec::<String>::new()
    );
}
