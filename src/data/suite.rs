//! What must hold for every task; a new one is added to [`tasks`] and to nothing else here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::domain::{Problem, Split, Verdict};

use super::{
    AnswerForm, FileTask, JsonlTask, MathTask, MathTest, Prompt, Sizes, Splits, TaskConfig,
    WordProblems,
};

/// Every task with sizes that its problems, or its sample in `tests/fixtures`, allow.
fn tasks() -> Vec<(TaskConfig, Sizes)> {
    let fixture = |name| FileTask {
        path: Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    };
    let sizes = |corpus, train, validation, test| Sizes {
        corpus,
        train,
        validation,
        test,
        ..Sizes::none(0)
    };
    let generated = sizes(300, 200, 100, 100);
    vec![
        (
            TaskConfig::WordProblems(WordProblems::default()),
            generated.clone(),
        ),
        (
            TaskConfig::WordProblemsLarger(WordProblems::larger()),
            generated.clone(),
        ),
        (
            TaskConfig::WordProblemsLonger(WordProblems::longer()),
            generated.clone(),
        ),
        (
            TaskConfig::WordProblemsReworded(WordProblems::default()),
            generated,
        ),
        (TaskConfig::Gsm8k(fixture("gsm8k")), sizes(8, 10, 2, 10)),
        (TaskConfig::Svamp(fixture("svamp")), sizes(2, 3, 1, 6)),
        (
            TaskConfig::Math(math(fixture("math/MATH").path)),
            sizes(4, 6, 1, 7),
        ),
        (
            TaskConfig::Jsonl(jsonl(&fixture("jsonl").path)),
            sizes(4, 8, 2, 6),
        ),
    ]
}

fn math(path: PathBuf) -> MathTask {
    MathTask {
        test: MathTest::All,
        ..MathTask::new(path)
    }
}

fn jsonl(folder: &Path) -> JsonlTask {
    let settings = json!({
        "train": folder.join("train.jsonl"), "test": folder.join("test.jsonl"), "question": "prompt",
        "answer": "target", "pattern": "([0-9,]+) lamps", "solution": "meta.rationale", "id": "uid",
    });
    serde_json::from_value(settings).unwrap()
}

/// A text that states an answer in the form that the task's grader reads.
fn stated(task: &TaskConfig, answer: &str) -> String {
    match task.grader().answer_form() {
        AnswerForm::Boxed => format!("\\boxed{{{answer}}}"),
        AnswerForm::Marked | AnswerForm::Unsaid => format!("#### {answer}"),
    }
}

/// Runs a check on every task with its splits.
fn walk(check: impl Fn(&TaskConfig, &Sizes, &Splits)) {
    for (task, sizes) in tasks() {
        let splits = task
            .load(&sizes)
            .unwrap_or_else(|error| panic!("{}: {error}", task.name()));
        check(&task, &sizes, &splits);
    }
}

fn problems(splits: &Splits) -> impl Iterator<Item = &Problem> {
    Split::ALL.into_iter().flat_map(|split| splits.of(split))
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
    walk(|task, sizes, splits| {
        for split in Split::ALL {
            assert_eq!(
                splits.of(split).len(),
                sizes.of(split),
                "{} {split:?}",
                task.name()
            );
        }
    });
}

#[test]
fn ids_are_unique_and_begin_with_the_task() {
    walk(|task, _, splits| {
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
    walk(|_, _, splits| {
        let questions: BTreeSet<_> = problems(splits)
            .map(|problem| problem.question.to_lowercase())
            .collect();
        assert_eq!(questions.len(), problems(splits).count());
    });
}

#[test]
fn loading_again_gives_the_same_problems() {
    walk(|task, sizes, splits| assert_eq!(&task.load(sizes).unwrap(), splits));
}

#[test]
fn a_split_does_not_change_with_the_size_of_another() {
    walk(|task, sizes, splits| {
        for split in Split::ALL {
            let only = |wanted| if wanted == split { sizes.of(split) } else { 0 };
            let alone = Sizes {
                corpus: only(Split::Corpus),
                train: only(Split::Train),
                validation: only(Split::Validation),
                test: only(Split::Test),
                ..Sizes::none(sizes.seed)
            };
            assert_eq!(
                task.load(&alone).unwrap().of(split),
                splits.of(split),
                "{} {split:?}",
                task.name()
            );
        }
    });
}

#[test]
fn reference_solutions_are_right() {
    walk(|task, _, splits| {
        for problem in problems(splits) {
            let solution = problem
                .solution
                .as_deref()
                .expect("every task so far has solutions");
            let grade = task.grader().grade(problem, solution);
            assert_eq!(grade.verdict, Verdict::Right, "{problem:?}");
            assert_eq!(
                grade,
                task.grader().grade(problem, &stated(task, &problem.answer)),
                "{problem:?}"
            );
        }
    });
}

#[test]
fn another_answer_is_wrong_and_no_answer_is_unreadable() {
    walk(|task, _, splits| {
        for problem in problems(splits) {
            let wrong = stated(task, &format!("{}1", problem.answer));
            assert_eq!(
                task.grader().grade(problem, &wrong).verdict,
                Verdict::Wrong,
                "{problem:?}"
            );
            assert_eq!(
                task.grader().grade(problem, "").verdict,
                Verdict::Unreadable,
                "{problem:?}"
            );
            assert_eq!(
                task.grader().grade(problem, &problem.answer).verdict,
                Verdict::Unreadable,
                "{problem:?}"
            );
        }
    });
}

#[test]
fn prompts_hold_the_question_and_give_nothing_away() {
    walk(|_, _, splits| {
        for problem in problems(splits) {
            for message in Prompt::default().dialogue(&problem.question, &[""]).0 {
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
            .flat_map(move |splits| splits.of(split))
            .map(|problem| &problem.question)
    };
    let tested: BTreeSet<_> = questions(Split::Test).collect();
    assert!(
        questions(Split::Train)
            .chain(questions(Split::Corpus))
            .all(|question| !tested.contains(question))
    );
}
