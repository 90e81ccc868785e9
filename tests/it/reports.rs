//! Reports follow from their `context.json` and nothing else.

use std::fs;
use std::path::Path;

use rise_lab::report::{ReportContext, ReportFile, render};

use crate::support::{Lab, manifest};

fn rendered(report: &Path) -> Vec<ReportFile> {
    let text = fs::read_to_string(report.join("context.json")).expect("a report has its context");
    let context: ReportContext = serde_json::from_str(&text).expect("the context can be read back");
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
fn committed_reports_are_what_their_contexts_say() {
    let reports = fs::read_dir(manifest("reports")).expect("the folder of reports is there");
    let reports = reports.flatten().map(|entry| entry.path());
    for report in reports.filter(|path| path.join("context.json").exists()) {
        for name in ["index.md", "context.json"] {
            let again = rendered(&report)
                .into_iter()
                .find(|file| file.path == name)
                .expect("both are rendered");
            let committed = fs::read(report.join(name)).expect("both are committed");
            assert!(
                committed == again.bytes,
                "{} is not what the templates make today",
                report.join(name).display()
            );
        }
    }
}
