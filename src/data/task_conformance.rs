//! Rules for every task; a new task has a line in [`tasks`] and nothing else here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::domain::{GradeVerdict, Problem, Split};

use super::{
    AnswerForm, FileTaskConfig, JsonlTaskConfig, MathTaskConfig, MathTestSet, PromptConfig,
    SplitSizes, TaskConfig, TaskSplits, WordProblems,
};

/// Every task with sizes that its problems, or its sample in `tests/fixtures`, allow.
fn tasks() -> Vec<(TaskConfig, SplitSizes)> {
    let fixture = |name| FileTaskConfig {
        path: Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    };
    let sizes = |corpus, train, validation, test| SplitSizes {
        corpus,
        train,
        validation,
        test,
        ..SplitSizes::empty(0)
    };
    let generated = [
        TaskConfig::WordProblems(WordProblems::default()),
        TaskConfig::WordProblemsLarger(WordProblems::larger()),
        TaskConfig::WordProblemsLonger(WordProblems::longer()),
        TaskConfig::WordProblemsReworded(WordProblems::default()),
    ];
    let math = TaskConfig::Math(math(fixture("math/MATH").path));
    let jsonl = TaskConfig::Jsonl(jsonl(&fixture("jsonl").path));
    let read = [
        (TaskConfig::Gsm8k(fixture("gsm8k")), sizes(8, 10, 2, 10)),
        (TaskConfig::Svamp(fixture("svamp")), sizes(2, 3, 1, 6)),
        (math, sizes(4, 6, 1, 7)),
        (jsonl, sizes(4, 8, 2, 6)),
    ];
    let generated = generated.map(|task| (task, sizes(300, 200, 100, 100)));
    generated.into_iter().chain(read).collect()
}

fn math(path: PathBuf) -> MathTaskConfig {
    MathTaskConfig {
        test: MathTestSet::All,
        ..MathTaskConfig::new(path)
    }
}

fn jsonl(folder: &Path) -> JsonlTaskConfig {
    let settings = json!({
        "train": folder.join("train.jsonl"), "test": folder.join("test.jsonl"), "question": "prompt",
        "answer": "target", "pattern": "([0-9,]+) lamps", "solution": "meta.rationale", "id": "uid",
    });
    serde_json::from_value(settings).unwrap()
}

/// A text that states an answer in the form that the task's grader reads.
fn answer_text(task: &TaskConfig, answer: &str) -> String {
    match task.grader().answer_form() {
        AnswerForm::Boxed => format!("\\boxed{{{answer}}}"),
        AnswerForm::Marked | AnswerForm::Unsaid => format!("#### {answer}"),
    }
}

/// Runs a check on every task with its splits.
fn for_each_task(check: impl Fn(&TaskConfig, &SplitSizes, &TaskSplits)) {
    for (task, sizes) in tasks() {
        let splits = task
            .load(&sizes)
            .unwrap_or_else(|error| panic!("{}: {error}", task.name()));
        check(&task, &sizes, &splits);
    }
}

fn problems(splits: &TaskSplits) -> impl Iterator<Item = &Problem> {
    Split::ALL
        .into_iter()
        .flat_map(|split| splits.problems(split))
}

#[test]
fn names_are_unique_and_those_of_experiment_files() {
    let names: BTreeSet<_> = tasks().iter().map(|(task, _)| task.kind()).collect();
    assert_eq!(names.len(), tasks().len());
    for (task, _) in tasks() {
        let written = serde_json::to_value(&task).unwrap();
        assert_eq!(
            written.as_object().unwrap().keys().collect::<Vec<_>>(),
            [task.kind()]
        );
        assert_eq!(serde_json::from_value::<TaskConfig>(written).unwrap(), task);
    }
}

#[test]
fn splits_have_the_sizes_asked_for() {
    for_each_task(|task, sizes, splits| {
        for split in Split::ALL {
            assert_eq!(
                splits.problems(split).len(),
                sizes.get(split),
                "{} {split:?}",
                task.name()
            );
        }
    });
}

#[test]
fn ids_are_unique_and_begin_with_the_task() {
    for_each_task(|task, _, splits| {
        let ids: BTreeSet<_> = problems(splits)
            .map(|problem| problem.id.as_str())
            .collect();
        assert_eq!(ids.len(), problems(splits).count());
        assert!(
            ids.iter()
                .all(|id| id.starts_with(&format!("{}/", task.name()))),
            "{ids:?}"
        );
    });
}

#[test]
fn no_question_is_in_two_splits() {
    for_each_task(|_, _, splits| {
        let questions: BTreeSet<_> = problems(splits)
            .map(|problem| problem.question.to_lowercase())
            .collect();
        assert_eq!(questions.len(), problems(splits).count());
    });
}

#[test]
fn loading_again_gives_the_same_problems() {
    for_each_task(|task, sizes, splits| assert_eq!(&task.load(sizes).unwrap(), splits));
}

#[test]
fn a_split_does_not_change_with_the_size_of_another() {
    for_each_task(|task, sizes, splits| {
        for split in Split::ALL {
            let only = |wanted| if wanted == split { sizes.get(split) } else { 0 };
            let alone = SplitSizes {
                corpus: only(Split::Corpus),
                train: only(Split::Train),
                validation: only(Split::Validation),
                test: only(Split::Test),
                ..SplitSizes::empty(sizes.seed)
            };
            assert_eq!(
                task.load(&alone).unwrap().problems(split),
                splits.problems(split),
                "{} {split:?}",
                task.name()
            );
        }
    });
}

#[test]
fn reference_solutions_are_right() {
    for_each_task(|task, _, splits| {
        for problem in problems(splits) {
            let solution = problem
                .solution
                .as_deref()
                .expect("every task so far has solutions");
            let grade = task.grader().grade(problem, solution);
            assert_eq!(grade.verdict, GradeVerdict::Right, "{problem:?}");
            assert_eq!(
                grade,
                task.grader()
                    .grade(problem, &answer_text(task, &problem.answer)),
                "{problem:?}"
            );
        }
    });
}

#[test]
fn another_answer_is_wrong_and_no_answer_is_unreadable() {
    for_each_task(|task, _, splits| {
        for problem in problems(splits) {
            let wrong = answer_text(task, &format!("{}1", problem.answer));
            assert_eq!(
                task.grader().grade(problem, &wrong).verdict,
                GradeVerdict::Wrong,
                "{problem:?}"
            );
            assert_eq!(
                task.grader().grade(problem, "").verdict,
                GradeVerdict::Unreadable,
                "{problem:?}"
            );
            assert_eq!(
                task.grader().grade(problem, &problem.answer).verdict,
                GradeVerdict::Unreadable,
                "{problem:?}"
            );
        }
    });
}

#[test]
fn prompts_hold_the_question_and_give_nothing_away() {
    for_each_task(|_, _, splits| {
        for problem in problems(splits) {
            for message in PromptConfig::default().dialogue(&problem.question, &[""]).0 {
                assert!(!message.text.contains("####"), "{message:?}");
                assert!(
                    message.text.is_empty() || message.text.contains(&problem.question),
                    "{message:?}"
                );
                for line in problem
                    .solution
                    .iter()
                    .flat_map(|solution| solution.lines())
                {
                    assert!(!message.text.contains(line), "{message:?}");
                }
            }
        }
    });
}

#[test]
fn tasks_of_one_family_never_train_on_what_another_tests() {
    let loaded: Vec<_> = tasks()
        .into_iter()
        .map(|(task, sizes)| task.load(&sizes).unwrap())
        .collect();
    let questions = |split| {
        loaded
            .iter()
            .flat_map(move |splits| splits.problems(split))
            .map(|problem| &problem.question)
    };
    let tested: BTreeSet<_> = questions(Split::Test).collect();
    assert!(
        questions(Split::Train)
            .chain(questions(Split::Corpus))
            .all(|question| !tested.contains(question))
    );
}
