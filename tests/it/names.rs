//! Names that a reader can find: one name stands for one type, and no type is a participle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::layers::sources;

/// Names that several types may share, because each is the only word of its field.
const SHARED: [&str; 0] = [];

/// Participles that are nouns of the field.
const NOUNS: [&str; 0] = [];

/// The type names that one file defines.
fn defined(text: &str) -> Vec<&str> {
    text.lines().filter_map(type_name).collect()
}

/// The name behind `struct`, `enum` or `trait`, if a line begins a definition.
fn type_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(rest, |(_, rest)| rest)
            .trim_start()
    });
    let keywords = ["struct ", "enum ", "trait "];
    let rest = keywords.iter().find_map(|word| line.strip_prefix(word))?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric());
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// Whether a name is one word that ends like a participle (`Drawn`, `Encoded`, `Rescoring`).
fn is_participle(name: &str) -> bool {
    let is_one_word = name.chars().filter(|letter| letter.is_uppercase()).count() == 1;
    let irregular = [
        "Begun", "Bought", "Built", "Drawn", "Found", "Given", "Heard", "Held", "Kept", "Known",
        "Left", "Made", "Meant", "Read", "Said", "Seen", "Sent", "Shown", "Spent", "Spoken",
        "Taken", "Thought", "Told", "Written",
    ];
    let is_regular = (name.ends_with("ed") || name.ends_with("ing")) && name.len() > 4;
    is_one_word && (is_regular || irregular.contains(&name)) && !NOUNS.contains(&name)
}

fn all_types() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources(&root) {
        let path = file.strip_prefix(&root).expect("below the root");
        let text = fs::read_to_string(&file).expect("a source file is text");
        for name in defined(&text) {
            let places = types.entry(name.to_owned()).or_default();
            places.push(path.display().to_string());
        }
    }
    assert!(types.len() > 300, "only {} types were found", types.len());
    types
}

#[test]
fn one_name_stands_for_one_type() {
    let shared: Vec<String> = all_types()
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, places)| format!("`{name}` is defined in {}", places.join(" and ")))
        .collect();
    assert!(shared.is_empty(), "{}", shared.join("\n"));
}

#[test]
fn no_type_is_a_participle() {
    let participles: Vec<String> = all_types()
        .into_iter()
        .filter(|(name, _)| is_participle(name))
        .map(|(name, places)| format!("`{name}` in {}", places.join(" and ")))
        .collect();
    assert!(participles.is_empty(), "{}", participles.join("\n"));
}

#[test]
fn definitions_are_found_and_participles_told_from_nouns() {
    let text = "pub(super) struct RolloutBatch<'a> {\n    enum Made;\npub trait Stage {\nlet structure = 1;\n// struct No";
    assert_eq!(defined(text), ["RolloutBatch", "Made", "Stage"]);
    for (name, expected) in [
        ("Made", true),
        ("Encoded", true),
        ("Rescoring", true),
        ("EncodedDialogue", false),
        ("Seed", false),
        ("Decoder", false),
        ("Embedding", true),
    ] {
        assert_eq!(is_participle(name), expected, "{name}");
    }
}
