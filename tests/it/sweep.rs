//! A whole sweep through the program: what it leaves, what it says, and what it does again.

use crate::support::{FILE, Lab, MODEL, STAGES};

#[test]
fn a_sweep_leaves_a_report() {
    let lab = Lab::new();
    let ran = lab.on_store(&["sweep", FILE, "--jobs", "2"]);
    ran.expect_exit(0);
    assert!(
        ran.stdout.contains("report: reports/minirise/index.html"),
        "{}",
        ran.stdout
    );
    let report = lab.path("reports/minirise");
    let figures = [
        "accuracy-by-turn",
        "training-curves",
        "ablation-weighting",
        "ablation-method",
    ];
    let tables = ["main-all-problems", "ablation-weighting", "ablation-method"];
    let files = ["index.html", "index.md", "context.json"]
        .map(str::to_owned)
        .into_iter();
    let files = files.chain(
        figures
            .iter()
            .flat_map(|name| ["svg", "png"].map(|end| format!("figures/{name}.{end}"))),
    );
    let files = files.chain(
        tables
            .iter()
            .flat_map(|name| ["tex", "csv"].map(|end| format!("tables/{name}.{end}"))),
    );
    for file in files {
        let size = report.join(&file).metadata().map_or(0, |data| data.len());
        assert!(size > 100, "{file}: {size} bytes");
    }
}

#[test]
fn a_finished_sweep_answers_questions() {
    let lab = Lab::finished();
    let human = |arguments: &[&str]| {
        let ran = lab.on_store(arguments);
        ran.expect_exit(0);
        assert_eq!(ran.stderr, "");
        ran.stdout
    };
    insta::assert_snapshot!(human(&["status"]), @r"
    experiment          done  running  queued  interrupted  failed
    ----------  ------  ----  -------  ------  -----------  ------
    minirise    runs       3        -       -            -       -
    minirise    stages    17        -       -            -       -
    ");
    let runs = human(&["runs"]);
    assert_eq!(runs.matches(" done").count(), 3, "{runs}");
    let chosen = human(&["runs", "--where", "method=sft"]);
    assert!(
        chosen.contains("method=sft seed=0") && !chosen.contains("baseline"),
        "{chosen}"
    );
    let shown = human(&["show", "baseline seed=0"]);
    for part in [
        "Scores",
        "round 1",
        "train mini round 1",
        "weighting.exp.temperature = 0.4",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let sql = "SELECT kind, count(*) AS stages FROM stages GROUP BY kind ORDER BY kind";
    insta::assert_snapshot!(human(&["query", sql]), @r"
    kind      stages
    --------  ------
    base           1
    collect        1
    evaluate       4
    improve        1
    prepare        3
    tokenize       1
    train          3
    weigh          3
    ");
    assert_eq!(human(&["runs", "--status", "failed"]).lines().count(), 2);

    assert_eq!(lab.json(&["status"])[0]["stages"]["done"], STAGES);
    let runs = lab.json(&["runs"]);
    assert_eq!(runs.as_array().map(Vec::len), Some(3));
    let key = runs[1]["key"].as_str().expect("a run has a key");
    let shown = lab.json(&["show", &key[..12]]);
    assert_eq!(shown["run"], runs[1]);
    assert_eq!(shown["checkpoints"][1]["checkpoint"]["name"], "round 1");
    assert_eq!(
        lab.json(&["query", sql])["rows"][0],
        serde_json::json!(["base", 1])
    );
}

#[test]
fn only_what_a_change_touches_is_executed_again() {
    let lab = Lab::finished();
    let executed = || {
        let ran = lab.sweep(&[]);
        ran.expect_exit(0);
        assert_eq!(ran.ended_with("runs-done"), ran.ended_with("runs"));
        ran.executed()
    };
    assert_eq!(executed(), 0, "nothing changed");
    lab.edit(FILE, "whole loop run?", "loop run as a whole?");
    lab.edit(MODEL, "A base model that is", "A model");
    assert_eq!(executed(), 0, "words for people changed");
    lab.edit(FILE, "temperature = 0.4", "temperature = 0.5");
    assert_eq!(
        executed(),
        3,
        "the weights, training and evaluation of one run"
    );
    lab.edit(FILE, "samples = 2", "samples = 3");
    assert_eq!(
        executed(),
        4,
        "the evaluations of the base, two rounds and SFT"
    );
    lab.edit(FILE, "epochs = 2", "epochs = 3");
    assert_eq!(executed(), 6, "three trainings and their evaluations");
    lab.edit(FILE, r#"["uniform"]"#, r#"["uniform", "success-only"]"#);
    assert_eq!(executed(), 3, "one more run");
    lab.edit(FILE, "test = 20", "test = 21");
    assert_eq!(
        executed(),
        6,
        "the test problems, and five evaluations on them"
    );
    lab.edit(MODEL, "slices = 10", "slices = 2");
    assert_eq!(
        executed(),
        15,
        "all but the problems, the tokenizer, and SFT's examples"
    );
    lab.edit(MODEL, "slices = 2", "slices = 10");
    assert_eq!(executed(), 0, "as it was before the last change");
}

#[test]
fn one_worker_and_two_give_the_same() {
    let [one, two] = ["1", "2"].map(|jobs| {
        let lab = Lab::new();
        let ran = lab.sweep(&["--jobs", jobs]);
        ran.expect_exit(0);
        assert_eq!(ran.executed(), STAGES);
        assert_eq!(ran.news()[0]["workers"].to_string(), jobs);
        let spread = ran
            .news()
            .iter()
            .any(|line| line["reason"] == "worker-threads" && line["threads"] == 2);
        assert_eq!(
            spread,
            jobs == "2",
            "a stage that is alone works on every core"
        );
        lab
    });
    let equal = |sql: &str, least: usize| {
        let rows = one.query(sql);
        assert!(rows.len() >= least, "{} rows: {sql}", rows.len());
        assert!(rows == two.query(sql), "{sql}");
    };
    equal(
        "SELECT stage, problem, sample, turn, candidate, text, verdict FROM attempts ORDER BY 1, 2, 3, 4, 5",
        200,
    );
    equal("SELECT stage, name, sha256 FROM files ORDER BY 1, 2", 30);
    equal(
        "SELECT sha256 FROM files WHERE name = 'model.safetensors' ORDER BY stage",
        4,
    );
    equal(
        "SELECT stage, series, step, value FROM curves ORDER BY 1, 2, 3",
        50,
    );
    assert_eq!(one.context(), two.context());
    let solved = one.query("SELECT mean FROM run_scores WHERE metric = 'm1@t1'");
    assert!(
        solved.iter().any(|row| row[0] != "0.0"),
        "a comparison of nothing but zeros shows little"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn every_stage_is_recorded_with_its_peak_of_memory_and_no_report_is() {
    let lab = Lab::finished();
    // Where the system does not let a process reset its peak, none is recorded.
    let measured = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let rows = lab.query("SELECT label, peak_bytes FROM stage_costs");
    assert_eq!(rows.len() as u64, STAGES);
    for row in rows {
        let peak: Option<u64> = row[1].parse().ok();
        let sound = |bytes| (1 << 20..1 << 34).contains(&bytes);
        assert_eq!(peak.map(sound), measured.then_some(true), "{row:?}");
    }
    let shown = lab.json(&["show", "baseline seed=0"]);
    assert_eq!(shown["stages"][0]["peak_bytes"].is_u64(), measured);
    assert!(!lab.context().contains("peak"));
}

#[test]
fn a_plan_touches_nothing() {
    let lab = Lab::new();
    let before = lab.files(".");
    let plan = lab.json(&["plan", FILE]);
    assert_eq!(
        (&plan["different"], &plan["done"]),
        (&STAGES.into(), &0.into())
    );
    lab.on_store(&["sweep", FILE, "--dry-run", "--no-report"])
        .expect_exit(0);
    assert_eq!(lab.files("."), before);

    let lab = Lab::finished();
    let before = lab.files(".");
    let ran = lab.on_store(&["plan", FILE]);
    ran.expect_exit(0);
    assert!(
        ran.stdout.ends_with("Nothing is left to execute.\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(lab.json(&["plan", FILE])["done"], STAGES);
    assert_eq!(lab.files("."), before);
}

#[test]
fn a_real_data_set_goes_through_the_whole_loop() {
    let lab = Lab::new();
    crate::bad_input::gsm8k(&lab);
    let ran = lab.on_store(&["sweep", "gsm8k.toml", "--jobs", "2"]);
    ran.expect_exit(0);
    let page =
        std::fs::read_to_string(lab.path("reports/gsm8k/index.md")).expect("the report is there");
    for text in [&ran.stdout, &page] {
        assert!(
            text.contains("othing is solved: 0.0 %") && text.contains("10 test problems"),
            "{text}"
        );
    }
    let ids = lab.query("SELECT DISTINCT problem FROM attempts ORDER BY problem");
    assert_eq!(ids.len(), 18, "{ids:?}");
    assert!(ids.iter().all(|id| id[0].starts_with("gsm8k/")), "{ids:?}");
}
