//! The real binary evaluates claims on the stored runs and writes their report.

use std::fs;

use rise_lab::claims::{CLAIM_GROUPS, ClaimsFile, ClaimsReport, render};

use crate::support::{Lab, manifest};

const FILE: &str = "claims.toml";

fn lab() -> Lab {
    let lab = Lab::finished();
    lab.write(
        FILE,
        fs::read(manifest("tests/minirise/claims.toml")).unwrap(),
    );
    lab
}

#[test]
fn claims_get_their_verdicts_and_a_report() {
    let lab = lab();
    let ran = lab.on_store(&["claims", "--file", FILE]);
    ran.expect_exit(0);
    // The verdicts depend on the tiny models; each claim has one.
    for id in [
        "E1-improves",
        "E5-weighted-above-uniform",
        "E14-oracle",
        "E11-transfer",
    ] {
        assert!(ran.stdout.contains(id), "{}", ran.stdout);
    }
    assert!(
        ran.stdout.contains("experiment `ood` is not in this store"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("no claim: E2, E3"), "{}", ran.stdout);
    let json = fs::read_to_string(lab.path("reports/claims/claims.json")).unwrap();
    let verdicts: ClaimsReport = serde_json::from_str(&json).unwrap();
    assert_eq!(
        verdicts.groups[13].claims[0].outcomes.len(),
        2,
        "one per method"
    );
    for file in render(&verdicts).unwrap() {
        let written = fs::read(lab.path("reports/claims").join(&file.path)).unwrap();
        assert!(written == file.bytes, "{} differs", file.path);
    }
    // A second run writes the same bytes in place of the first report.
    let before = lab.files("reports/claims");
    lab.on_store(&["claims", "--file", FILE]).expect_exit(0);
    assert_eq!(lab.files("reports/claims"), before);
    assert!(before.len() >= 5, "{before:?}");
}

#[test]
fn the_output_may_be_limited_to_an_experiment() {
    let lab = lab();
    let all = lab.json(&["claims", "--file", FILE]);
    let some = lab.json(&["claims", "--file", FILE, "minirise.toml"]);
    assert_eq!(
        all["verdicts"]["rows"][10]["claims"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        some["verdicts"]["rows"][10]["claims"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(some["verdicts"]["rows"][0], all["verdicts"]["rows"][0]);
    let run =
        &some["verdicts"]["rows"][0]["claims"][0]["outcomes"][0]["parts"][0]["left"]["runs"][0];
    assert_eq!(
        (run["scored"].as_bool(), run["key"].as_str().unwrap().len()),
        (Some(true), 64)
    );
}

#[test]
fn a_mistake_is_an_error_and_writes_nothing() {
    let lab = lab();
    lab.edit(FILE, "weighting = \"uniform\"", "weighting = \"unifrom\"");
    let ran = lab.on_store(&["claims", "--file", FILE]);
    ran.expect_exit(2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: claims.toml:18:33: `claim[1].right.where.weighting`: no run of `minirise` has `weighting` = `unifrom`
       |
    18 | right = { where = { weighting = "unifrom" } }
       |                                 ^^^^^^^^^
       = did you mean `uniform`?
       = valid here: `exp(0.4)`, `uniform`.
    "#);
    assert!(!lab.path("reports/claims").exists());
    let ran = lab.on_store(&["claims", "--file", FILE, "minirice"]);
    ran.expect_exit(2);
    insta::assert_snapshot!(ran.stderr, @"error: no claim is about the experiment `minirice` (did you mean `minirise`?); claims name: minirise, ood");
    let ran = lab.on_store(&["claims"]);
    ran.expect_exit(2);
    insta::assert_snapshot!(ran.stderr, @"error: experiments/claims.toml: No such file or directory (os error 2); is this the right path?");
}

#[test]
fn every_group_has_a_claim_in_the_committed_file() {
    let file = ClaimsFile::read(&manifest("experiments/claims.toml")).unwrap();
    for (group, _) in CLAIM_GROUPS {
        assert!(
            file.claims.iter().any(|claim| claim.group == group),
            "{group}"
        );
    }
    for claim in &file.claims {
        assert!(
            claim.id.starts_with(&format!("{}-", claim.group)),
            "{}",
            claim.id
        );
        assert!(
            claim.statement.ends_with('.') && !claim.source.is_empty(),
            "{}",
            claim.id
        );
    }
}

#[test]
fn the_committed_report_follows_from_its_verdicts() {
    let folder = manifest("reports/claims");
    // It exists only after the experiments have run.
    let Ok(json) = fs::read_to_string(folder.join("claims.json")) else {
        return;
    };
    let verdicts: ClaimsReport = serde_json::from_str(&json).unwrap();
    for file in render(&verdicts)
        .unwrap()
        .iter()
        .filter(|file| !file.path.contains("figures"))
    {
        if file.path != "index.html" {
            assert!(
                fs::read(folder.join(&file.path)).unwrap() == file.bytes,
                "{}",
                file.path
            );
        }
    }
}
