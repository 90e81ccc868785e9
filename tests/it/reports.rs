//! Reports follow from their `context.json` and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rise_lab::claims::{self, ClaimsReport};
use rise_lab::domain::Key;
use rise_lab::report::{ReportContext, ReportFile, render};

use crate::support::{Lab, list, manifest};

/// The kinds of files that git ignores in `reports/`, since the program writes them again.
const IGNORED: [&str; 4] = ["png", "html", "csv", "tex"];

fn rendered(report: &Path) -> Vec<ReportFile> {
    let context = ReportContext::read(&report.join("context.json")).expect("a readable context");
    render(&context).expect("the context can be rendered")
}

#[test]
fn a_report_is_rendered_again_from_its_context() {
    let lab = Lab::finished();
    let report = lab.path("reports/minirise");
    let files = rendered(&report);
    for file in &files {
        let written = fs::read(report.join(&file.path)).expect("the file was written");
        assert!(written == file.bytes, "{} differs", file.path);
    }
    assert_eq!(files.len(), lab.files("reports/minirise").len());
}

#[test]
fn a_report_is_written_again_from_the_database() {
    let lab = Lab::finished();
    let before = lab.files("reports");
    fs::remove_dir_all(lab.path("reports")).expect("the report was there");
    lab.on_store(&["report", "minirise"]).expect_exit(0);
    assert_eq!(lab.files("reports"), before);
}

#[test]
fn a_report_is_written_from_its_context_without_a_store() {
    let lab = Lab::new();
    let committed = manifest("reports/quickstart/context.json");
    let context = committed.to_str().expect("the path is text");
    lab.run(&["report", "--from", context, "--out", "again"])
        .expect_exit(0);
    let written = lab.files("again");
    assert!(written.len() > 20, "{written:?}");
    // The folder of the context is the default.
    for folder in ["figures", "tables"] {
        fs::remove_dir_all(lab.path("again").join(folder)).expect("the folder was written");
    }
    lab.run(&["report", "--from", "again/context.json"])
        .expect_exit(0);
    assert_eq!(lab.files("again"), written);
}

#[test]
fn a_context_that_cannot_be_used_is_one_error() {
    let lab = Lab::new();
    for (text, problem) in [("{\"version\":99}", "version 99"), ("{", "EOF")] {
        lab.write("context.json", text);
        let ran = lab.run(&["report", "--from", "context.json"]);
        ran.expect_exit(2);
        assert!(ran.stderr.contains(problem), "{}", ran.stderr);
        assert_eq!(
            ran.stderr
                .matches("error: cannot read context.json")
                .count(),
            1
        );
    }
    // A folder that holds something else stays as it is.
    lab.write("thesis/thesis.tex", "precious");
    let committed = manifest("reports/quickstart/context.json");
    let context = committed.to_str().expect("the path is text");
    lab.run(&["report", "--from", context, "--out", "thesis"])
        .expect_exit(6);
    assert_eq!(lab.files("thesis").len(), 1);
}

#[test]
fn committed_reports_are_what_their_contexts_say() {
    let reports = fs::read_dir(manifest("reports")).expect("the folder of reports is there");
    let mut seen = 0;
    for report in reports.flatten().map(|entry| entry.path()) {
        if report.join("context.json").exists() {
            assert_committed(&report, &rendered(&report));
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} reports");
    let report = manifest("reports/claims");
    let json = fs::read_to_string(report.join("claims.json")).expect("the verdicts are committed");
    let verdicts: ClaimsReport = serde_json::from_str(&json).expect("the verdicts can be read");
    assert_committed(
        &report,
        &claims::render(&verdicts).expect("the verdicts can be rendered"),
    );
}

/// Every file that git keeps of a report is there with these bytes, and no other file.
#[track_caller]
fn assert_committed(report: &Path, files: &[ReportFile]) {
    let kept = |path: &Path| {
        let kind = path.extension().and_then(|kind| kind.to_str());
        !kind.is_some_and(|kind| IGNORED.contains(&kind))
    };
    let mut committed = BTreeMap::new();
    list(report, &mut committed);
    committed.retain(|path, _| kept(path));
    let expected: BTreeMap<_, _> = files
        .iter()
        .map(|file| (report.join(&file.path), Key::from_bytes(&file.bytes)))
        .filter(|(path, _)| kept(path))
        .collect();
    let differing: Vec<_> = committed
        .iter()
        .filter(|(path, bytes)| expected.get(*path) != Some(bytes))
        .map(|(path, _)| path)
        .chain(
            expected
                .keys()
                .filter(|path| !committed.contains_key(*path)),
        )
        .collect();
    assert!(
        differing.is_empty(),
        "run `rise-lab report --from` (or `claims`) again; these differ: {differing:?}"
    );
}
