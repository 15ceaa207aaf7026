//! One term per concept: reads the declarations of all crates and fails where a type's name stands for too many things.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names that say nothing about what a type is.
const NON_WORDS: [&str; 6] = ["Told", "Seen", "Asked", "Trouble", "Wish", "Parcel"];

/// Words before the name in a declaration.
const KINDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

/// How many crates may use one name, each for a type of its own.
const CRATES: usize = 2;

/// The name that a line declares. Associated types are indented, and are named by their trait.
fn declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        None => line,
        Some(rest) => match rest.strip_prefix('(') {
            None => rest.trim_start(),
            Some(scope) => scope.split_once(')')?.1.trim_start(),
        },
    };
    let (kind, rest) = line.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
    (KINDS.contains(&kind) && !name.is_empty()).then_some(name)
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Each name, and the crates that declare it in one of these folders.
fn names(folders: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(crates).expect("the folder of crates can be read") {
        let entry = entry.expect("the folder of crates can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        // The two backends of the store have the same parts on purpose.
        let name = if name.starts_with("store-") { "store backends".to_owned() } else { name };
        let mut files = vec![];
        for folder in folders {
            sources(&entry.path().join(folder), &mut files);
        }
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source file can be read");
            for declared in text.lines().filter_map(declared) {
                names.entry(declared.to_owned()).or_default().insert(name.clone());
            }
        }
    }
    names
}

#[test]
fn type_name_is_used_in_at_most_two_crates() {
    let names = names(&["src"]);
    assert!(names.contains_key("Ownership"), "no declaration was found");
    let crowded: Vec<_> = names.iter().filter(|(_, crates)| crates.len() > CRATES).collect();
    assert!(crowded.is_empty(), "{crowded:#?}");
}

#[test]
fn type_names_are_words_of_the_field() {
    let names = names(&["src", "tests", "targets"]);
    let found: Vec<_> = NON_WORDS.iter().filter_map(|word| names.get_key_value(*word)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn declarations_are_recognised() {
    for (line, name) in [
        ("struct Plan;", Some("Plan")),
        ("pub(super) enum Told<'a> {", Some("Told")),
        ("pub type Seen = u8;", Some("Seen")),
        ("    type Answer = u8;", None),
        ("// struct Plan", None),
        ("let structure = 1;", None),
    ] {
        assert_eq!(declared(line), name, "{line}");
    }
}
