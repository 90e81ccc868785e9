//! The English of the generated problems.
//!
//! Responsible for how a change of the running total is put into words. Hides the words. Must
//! not know how stories are drawn. Sentences are short and few, because a model of half a
//! million weights has to learn all of them; the reworded ones need no letter that the plain
//! ones lack, so that a tokenizer trained on the plain ones reads them.

/// One change of the running total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many more.
    Add(i64),
    /// So many fewer.
    Take(i64),
    /// So many times as many; 2 or 3.
    Times(i64),
}

/// Who the story is about, and what is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// A first name.
    pub(crate) name: &'static str,
    /// The pronoun that goes with it, as a sentence begins.
    pub(crate) pronoun: &'static str,
    /// A plural.
    pub(crate) thing: &'static str,
}

/// First names with their pronouns.
pub(crate) const PEOPLE: [(&str, &str); 8] = [
    ("Ann", "She"),
    ("Ben", "He"),
    ("Cara", "She"),
    ("Dan", "He"),
    ("Eve", "She"),
    ("Finn", "He"),
    ("Gus", "He"),
    ("Hana", "She"),
];

/// What is counted.
pub(crate) const THINGS: [&str; 8] = [
    "apples", "balls", "beads", "books", "cards", "coins", "pens", "shells",
];

/// The ways of putting a story into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    /// What base models are pre-trained on.
    Plain,
    /// Other sentences and another way of asking.
    Reworded,
}

impl Wording {
    /// How the story begins.
    pub(crate) fn opening(self, scene: Scene, start: i64) -> String {
        let Scene { name, thing, .. } = scene;
        match self {
            Self::Plain => format!("{name} has {start} {thing}."),
            Self::Reworded => format!("{name} fills a bag with {start} {thing}."),
        }
    }

    /// A change, in the first or second phrasing.
    pub(crate) fn change(self, scene: Scene, change: Change, second: bool) -> String {
        let who = scene.pronoun;
        match (self, change, second) {
            (Self::Plain, Change::Add(y), false) => format!("{who} buys {y} more."),
            (Self::Plain, Change::Add(y), true) => format!("{who} finds {y} more."),
            (Self::Plain, Change::Take(y), false) => format!("{who} gives away {y}."),
            (Self::Plain, Change::Take(y), true) => format!("{who} loses {y}."),
            (Self::Plain, Change::Times(2), _) => format!("{who} doubles them."),
            (Self::Plain, Change::Times(_), _) => format!("{who} triples them."),
            (Self::Reworded, Change::Add(y), false) => format!("{who} adds {y}."),
            (Self::Reworded, Change::Add(y), true) => format!("{who} puts in {y}."),
            (Self::Reworded, Change::Take(y), false) => format!("{who} takes out {y}."),
            (Self::Reworded, Change::Take(y), true) => format!("{who} removes {y}."),
            (Self::Reworded, Change::Times(2), _) => "Soon it holds twice as many.".to_owned(),
            (Self::Reworded, Change::Times(_), _) => {
                "Soon it holds three times as many.".to_owned()
            }
        }
    }

    /// What is asked in the end.
    pub(crate) fn question(self, scene: Scene) -> String {
        let Scene { name, thing, .. } = scene;
        match self {
            Self::Plain => format!("How many {thing} does {name} have now?"),
            Self::Reworded => format!("Give the number of {thing} in the bag."),
        }
    }
}
