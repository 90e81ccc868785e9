//! The English of the generated problems.
//!
//! Sentences are short and few, because a model of half a million weights has to learn all of them;
//! the reworded ones need no letter that the plain ones lack, so that a tokenizer trained on the
//! plain ones reads them.

/// One change of the running total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TotalChange {
    /// This many more.
    Add(i64),
    /// This many fewer.
    Subtract(i64),
    /// This many times as many; 2 or 3.
    Multiply(i64),
}

/// The person of the story, and the things counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoryScene {
    /// A first name.
    pub(crate) name: &'static str,
    /// The pronoun that goes with it, as a sentence begins.
    pub(crate) pronoun: &'static str,
    /// A plural.
    pub(crate) noun: &'static str,
}

/// First names with their pronouns.
pub(crate) const NAMES_AND_PRONOUNS: [(&str, &str); 8] = [
    ("Ann", "She"),
    ("Ben", "He"),
    ("Cara", "She"),
    ("Dan", "He"),
    ("Eve", "She"),
    ("Finn", "He"),
    ("Gus", "He"),
    ("Hana", "She"),
];

/// The things counted.
pub(crate) const NOUNS: [&str; 8] = [
    "apples", "balls", "beads", "books", "cards", "coins", "pens", "shells",
];

/// The ways of putting a story into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoryWording {
    /// Base models are pre-trained on it.
    Plain,
    /// Other sentences and another way of asking.
    Reworded,
}

impl StoryWording {
    /// How the story begins.
    pub(crate) fn opening(self, scene: StoryScene, start: i64) -> String {
        let StoryScene {
            name, noun: thing, ..
        } = scene;
        match self {
            Self::Plain => format!("{name} has {start} {thing}."),
            Self::Reworded => format!("{name} fills a bag with {start} {thing}."),
        }
    }

    /// A change, in the first or second phrasing.
    pub(crate) fn change_sentence(
        self,
        scene: StoryScene,
        change: TotalChange,
        second: bool,
    ) -> String {
        let who = scene.pronoun;
        match (self, change, second) {
            (Self::Plain, TotalChange::Add(y), false) => format!("{who} buys {y} more."),
            (Self::Plain, TotalChange::Add(y), true) => format!("{who} finds {y} more."),
            (Self::Plain, TotalChange::Subtract(y), false) => format!("{who} gives away {y}."),
            (Self::Plain, TotalChange::Subtract(y), true) => format!("{who} loses {y}."),
            (Self::Plain, TotalChange::Multiply(2), _) => format!("{who} doubles them."),
            (Self::Plain, TotalChange::Multiply(_), _) => format!("{who} triples them."),
            (Self::Reworded, TotalChange::Add(y), false) => format!("{who} adds {y}."),
            (Self::Reworded, TotalChange::Add(y), true) => format!("{who} puts in {y}."),
            (Self::Reworded, TotalChange::Subtract(y), false) => format!("{who} takes out {y}."),
            (Self::Reworded, TotalChange::Subtract(y), true) => format!("{who} removes {y}."),
            (Self::Reworded, TotalChange::Multiply(2), _) => {
                "Soon it holds twice as many.".to_owned()
            }
            (Self::Reworded, TotalChange::Multiply(_), _) => {
                "Soon it holds three times as many.".to_owned()
            }
        }
    }

    /// The question at the end.
    pub(crate) fn question(self, scene: StoryScene) -> String {
        let StoryScene {
            name, noun: thing, ..
        } = scene;
        match self {
            Self::Plain => format!("How many {thing} does {name} have now?"),
            Self::Reworded => format!("Give the number of {thing} in the bag."),
        }
    }
}
