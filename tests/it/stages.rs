//! What single stages make of files that are put before them, by what they count.

use rise_lab::data::PromptConfig;
use rise_lab::domain::{
    Candidate, CandidateAuthor, Episode, Grade, GradeVerdict, NoopObserver, PreferencePair,
    Problem, Seed, TrainingExample, Turn,
};
use rise_lab::model::Threads;
use rise_lab::pipeline::{
    BuildExamplesStage, ExampleSource, PreferStage, StageError, StageNode, StageSpec, TrainStage,
    Workspace, execute_stage,
};
use rise_lab::train::{RewardWeighting, TrainConfig, TurnSelection};
use serde_json::Value;

use crate::keys;
use crate::support::{finished_base, finished_rows, problems, random_model};

/// The counts of a stage.
fn counts(
    workspace: &Workspace,
    name: &str,
    stage: impl Into<StageSpec>,
) -> Result<Value, StageError> {
    let stage = StageNode::new(name.to_owned(), stage, 1.0);
    execute_stage(&stage, workspace, &Threads::default(), &mut NoopObserver)
        .map(|manifest| manifest.counts)
}

/// An episode of these texts; those that end in `!` are right.
fn episode(problem: &str, texts: &[&str]) -> Episode {
    let turn = |text: &&str| {
        let verdict = if text.ends_with('!') {
            GradeVerdict::Right
        } else {
            GradeVerdict::Wrong
        };
        let (grade, text) = (
            Grade {
                answer: None,
                verdict,
            },
            (*text).to_owned(),
        );
        Turn::single(Candidate {
            author: CandidateAuthor::Policy,
            text,
            tokens: 1,
            prompt_tokens: 1,
            finished: true,
            grade,
        })
    };
    Episode {
        problem: problem.to_owned(),
        sample: 0,
        turns: texts.iter().map(turn).collect(),
    }
}

#[test]
fn repeats_and_unsolved_problems_are_left_out_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let problem = |id: &str| {
        let [id, question, answer] = [id, "How many?", "1"].map(str::to_owned);
        Problem {
            id,
            question,
            answer,
            solution: None,
        }
    };
    let problems = finished_rows(
        &workspace,
        "problems",
        "problems.jsonl",
        &["p", "q"].map(problem),
    );
    let all = [
        episode("p", &["a", "a", "b!"]),
        episode("q", &["c", "d", "c", "d"]),
    ];
    let episodes = finished_rows(&workspace, "episodes", "episodes.jsonl", &all);
    let weighed = |deduplicate, only_solved| {
        let episodes = episodes.clone();
        let (selection, weighting) = (TurnSelection::All, RewardWeighting::Uniform);
        let source = ExampleSource::Episodes {
            episodes,
            deduplicate,
            only_solved,
            selection,
            weighting,
            continues_after_success: false,
            several_trajectories: false,
        };
        let stage = BuildExamplesStage {
            problems: problems.clone(),
            source,
            prompt: PromptConfig::default(),
        };
        let name = format!("{deduplicate} {only_solved}");
        let counts = counts(&workspace, &name, stage).unwrap();
        ["examples", "targets", "right", "wrong"].map(|name| counts[name].as_u64().unwrap())
    };
    assert_eq!(weighed(false, false), [2, 7, 1, 6]);
    assert_eq!(weighed(true, false), [2, 4, 1, 3]);
    assert_eq!(weighed(false, true), [1, 3, 1, 2]);
    assert_eq!(weighed(true, true), [1, 2, 1, 1]);
}

#[test]
fn what_an_experiment_leaves_out_is_left_out_by_its_stages() {
    let plan = keys::plan("selection.toml", &[]);
    let flags = |spec: &StageSpec| {
        let StageSpec::BuildExamples(stage) = spec else {
            return None;
        };
        match stage.source {
            ExampleSource::Episodes {
                deduplicate,
                only_solved,
                ..
            } => Some([deduplicate, only_solved]),
            _ => None,
        }
    };
    for (label, expected) in [
        ("data=all", [false, false]),
        ("data=without repeats", [true, false]),
        ("data=solved problems only", [false, true]),
    ] {
        let runs = plan
            .runs
            .iter()
            .filter(|cell| cell.cell.label.contains(label));
        let found: Vec<[bool; 2]> = runs
            .flat_map(|cell| &cell.stages.stages)
            .filter_map(|key| flags(&plan.graph.get(key).expect("a planned stage").spec))
            .collect();
        assert!(
            !found.is_empty() && found.iter().all(|flags| *flags == expected),
            "{label}: {found:?}"
        );
    }
}

/// A question and its answer, of which nothing is a target.
fn untaught() -> TrainingExample {
    let mut example = TrainingExample::single_turn("How many?", "1");
    example.weights.fill(0.0);
    example
}

#[test]
fn an_example_without_a_target_is_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let start = finished_base(&workspace, &random_model(&problems(4)));
    let trained = |name: &str, examples: &[TrainingExample]| {
        let examples = vec![finished_rows(&workspace, name, "examples.jsonl", examples)];
        let train = TrainConfig {
            epochs: 1,
            ..TrainConfig::default()
        };
        let (start, seed, backend) = (start.clone(), Seed(1), "flex".to_owned());
        counts(
            &workspace,
            name,
            TrainStage {
                start,
                examples,
                train,
                seed,
                backend,
            },
        )
    };
    let taught = TrainingExample::single_turn("How many?", "2");
    let some = trained("some", &[untaught(), taught.clone(), untaught()]).unwrap();
    let counted =
        ["examples", "targets", "without_target"].map(|name| some[name].as_u64().unwrap());
    assert_eq!(counted, [1, 1, 2]);
    let alone = trained("alone", &[taught]).unwrap();
    assert_eq!(alone["without_target"], 0);
    assert_eq!(alone["trained_tokens"], some["trained_tokens"]);
    let none = trained("none", &[untaught()]).unwrap_err().to_string();
    assert!(
        none.starts_with("there is no example with a target to train on"),
        "{none}"
    );
}

#[test]
fn a_pair_that_compares_nothing_is_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let start = finished_base(&workspace, &random_model(&problems(4)));
    let answered = |answer| TrainingExample::single_turn("How many?", answer);
    let pairs = [
        PreferencePair {
            chosen: answered("1"),
            rejected: answered("2"),
        },
        PreferencePair {
            chosen: answered("1"),
            rejected: untaught(),
        },
    ];
    let preferred = |name: &str, pairs: &[PreferencePair]| {
        let pairs = vec![finished_rows(&workspace, name, "pairs.jsonl", pairs)];
        let train = TrainConfig {
            epochs: 1,
            ..TrainConfig::default()
        };
        let (start, seed, backend) = (start.clone(), Seed(1), "flex".to_owned());
        let stage = PreferStage {
            start,
            pairs,
            beta: 0.1,
            train,
            seed,
            backend,
        };
        counts(&workspace, name, stage)
    };
    let some = preferred("some", &pairs).unwrap();
    assert_eq!(
        (some["pairs"].as_u64(), some["without_target"].as_u64()),
        (Some(1), Some(1))
    );
    let none = preferred("none", &pairs[1..]).unwrap_err().to_string();
    assert!(
        none.starts_with("there is no example with a target to train on"),
        "{none}"
    );
}
