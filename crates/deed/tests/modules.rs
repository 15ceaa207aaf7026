//! Modules form no import cycles: reads the product files of every crate, draws the graph of their imports, and fails
//! where modules import each other, directly or through others.
//!
//! An import counts for the module that declares the item, not for those that re-export it. A parent imports a child
//! only where its own code uses the child; `mod child;` and `pub use child::Item;` alone do not count.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that still have cycles, and how many of their modules at most are part of one.
const KNOWN: &[(&str, usize)] = &[
    ("bench", 7),
    ("bus", 10),
    ("drill", 8),
    ("projector", 7),
    ("store-postgres", 14),
    ("store-sqlite", 7),
    ("store", 13),
    ("testkit", 3),
];

/// Words before the name in a declaration, besides `const`.
const KINDS: [&str; 8] = ["struct", "enum", "trait", "type", "union", "fn", "static", "macro_rules"];

/// The path of a module within its crate; empty for the root.
type ModulePath = Vec<String>;

/// What a file says about its module.
#[derive(Debug, Default)]
struct Module {
    /// Modules in files of their own; those of tests are left out.
    children: BTreeSet<String>,
    /// Names that `pub use` makes visible here, with the path of each.
    reexports: BTreeMap<String, ModulePath>,
    /// Paths of `pub use …::*`.
    globs: Vec<ModulePath>,
    /// Names of items declared here.
    declared: BTreeSet<String>,
    /// Paths that begin with `crate`, `super`, `self` or a child.
    imports: Vec<ModulePath>,
}

type Crate = BTreeMap<ModulePath, Module>;

fn path_of(text: &str) -> ModulePath {
    text.split("::").map(|segment| segment.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

/// The text without comments, texts and inline test modules.
fn product_code(text: &str) -> String {
    let (mut code, mut tests_indent) = (String::new(), None);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if let Some(start) = tests_indent {
            if indent == start && line.trim_start().starts_with('}') {
                tests_indent = None;
            }
            continue;
        }
        if line.trim() == "#[cfg(test)]" {
            let mut item = lines.next().unwrap_or_default();
            while item.trim_start().starts_with("#[") {
                item = lines.next().unwrap_or_default();
            }
            if item.trim_end().ends_with('{') {
                tests_indent = Some(indent);
            }
            continue;
        }
        let line = line.split_once("//").map_or(line, |(code, _)| code);
        // A text may contain `::` only by chance; its content is left out.
        let kept: Vec<_> = line.split('"').step_by(2).collect();
        code.push_str(&kept.join("\"\""));
        code.push('\n');
    }
    code
}

/// The paths of a `use` tree: `a::{b, c::D}` is `a::b` and `a::c::D`.
fn expand(tree: &str, above: &[String], into: &mut Vec<ModulePath>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return into.push([above, &path_of(path)].concat());
    };
    let above = [above, &path_of(head)].concat();
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&inner[start..at], &above, into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The paths that begin with one of these words.
fn paths(code: &str, beginnings: &BTreeSet<&str>) -> Vec<ModulePath> {
    let is_path = |c: char| is_word(c) || c == ':';
    let found = code.split(|c| !is_path(c)).filter(|path| path.contains("::"));
    found.map(path_of).filter(|path| path.first().is_some_and(|word| beginnings.contains(&**word))).collect()
}

/// The name that a line declares.
fn declared(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    let kind = words.iter().position(|word| KINDS.contains(word));
    let at = kind.or_else(|| words.iter().position(|word| *word == "const"))?;
    words.get(at + 1).map(|name| (*name).to_owned())
}

fn parse(code: &str, children: BTreeSet<String>) -> Module {
    let mut module = Module { children, ..Module::default() };
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let at = statement.lines().scan(0, |at, line| {
            let begin = *at;
            *at += line.len() + 1;
            Some((begin, line))
        });
        let is_use =
            |line: &str| line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "));
        let Some((begin, line)) = at.filter(|(_, line)| is_use(line)).last() else {
            rest.push_str(statement);
            continue;
        };
        rest.push_str(&statement[..begin]);
        let (_, tree) = statement[begin..].split_once("use ").expect("it begins so");
        let mut all = vec![];
        expand(tree.trim_end_matches(';'), &[], &mut all);
        let is_local = |path: &ModulePath| {
            path.first()
                .is_some_and(|w| ["crate", "super", "self"].contains(&&**w) || module.children.contains(w))
        };
        all.retain(is_local);
        if line.starts_with("use ") {
            module.imports.extend(all);
            continue;
        }
        for mut path in all {
            match path.last().cloned().as_deref() {
                Some("*") => {
                    path.pop();
                    module.globs.push(path);
                }
                Some(name) => {
                    let alias = tree
                        .split(&format!("{name} as "))
                        .nth(1)
                        .map(|rest| rest.chars().take_while(|c| is_word(*c)).collect::<String>());
                    module.reexports.insert(alias.unwrap_or_else(|| name.to_owned()), path);
                }
                None => {}
            }
        }
    }
    let beginnings: BTreeSet<&str> =
        module.children.iter().map(String::as_str).chain(["crate", "super", "self"]).collect();
    let mut used = paths(&rest, &beginnings);
    let words: BTreeSet<&str> = rest.split(|c| !is_word(c)).collect();
    used.extend(
        module.reexports.iter().filter(|(name, _)| words.contains(&***name)).map(|(_, path)| path.clone()),
    );
    module.imports.extend(used);
    module.declared = rest.lines().filter_map(declared).collect();
    module
}

/// Reads a module and those below it.
fn read(file: &Path, folder: &Path, path: ModulePath, into: &mut Crate) {
    let text = fs::read_to_string(file).expect("a source file can be read");
    let code = product_code(&text);
    let mut children = BTreeSet::new();
    for line in code.lines() {
        let Some(name) = line.trim().strip_suffix(';').and_then(|line| line.split_once("mod ")) else {
            continue;
        };
        let (before, name) = (name.0.trim(), name.1.trim());
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        if let Some(file) = candidates.iter().find(|file| file.is_file()) {
            children.insert(name.to_owned());
            read(file, &folder.join(name), [&path[..], &[name.to_owned()]].concat(), into);
        }
    }
    into.insert(path, parse(&code, children));
}

/// The module that declares what a path from `from` leads to.
fn resolve(all: &Crate, from: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
    let mut at = from.to_vec();
    for (index, segment) in path.iter().enumerate() {
        let module = all.get(&at)?;
        match segment.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name if module.children.contains(name) => at.push(name.to_owned()),
            name if module.declared.contains(name) || depth > 8 => return Some(at),
            name => {
                let target = module.reexports.get(name).cloned().or_else(|| {
                    let mut globs = module.globs.iter().map(|glob| [&glob[..], &[name.to_owned()]].concat());
                    globs.find(|path| {
                        let found = resolve(all, &at, path, depth + 1).and_then(|found| all.get(&found));
                        found.is_some_and(|found| found.declared.contains(name))
                    })
                });
                let Some(target) = target else { return Some(at) };
                let rest = [&target[..], &path[index + 1..]].concat();
                return resolve(all, &at, &rest, depth + 1);
            }
        }
    }
    Some(at)
}

type Graph = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

fn graph(all: &Crate) -> Graph {
    let edges = |(from, module): (&ModulePath, &Module)| {
        let to = module.imports.iter().filter_map(|path| resolve(all, from, path, 0));
        (from.clone(), to.filter(|to| to != from).collect())
    };
    all.iter().map(edges).collect()
}

fn reachable(graph: &Graph, from: &ModulePath) -> BTreeSet<ModulePath> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(next) = open.pop() {
        for to in graph.get(next).into_iter().flatten() {
            if seen.insert(to.clone()) {
                open.push(to);
            }
        }
    }
    seen
}

/// The groups of modules that import each other.
fn cycles(graph: &Graph) -> BTreeSet<BTreeSet<ModulePath>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|from| (from, reachable(graph, from))).collect();
    let in_cycle = graph.keys().filter(|from| reach[from].contains(*from));
    in_cycle.map(|from| reach[from].iter().filter(|to| reach[to].contains(from)).cloned().collect()).collect()
}

fn shown(cycles: &BTreeSet<BTreeSet<ModulePath>>, graph: &Graph) -> String {
    let name = |path: &ModulePath| if path.is_empty() { "crate".to_owned() } else { path.join("::") };
    let mut text = String::new();
    for cycle in cycles {
        for from in cycle {
            let to: Vec<_> = graph[from].intersection(cycle).map(name).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {} -> {}", name(from), to.join(", "));
        }
        text.push('\n');
    }
    text
}

fn crates() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries = fs::read_dir(folder).expect("the folder of crates can be read");
    let mut crates = vec![];
    for entry in entries {
        let entry = entry.expect("the folder of crates can be read");
        let source = entry.path().join("src");
        let root =
            ["lib.rs", "main.rs"].map(|root| source.join(root)).into_iter().find(|root| root.is_file());
        crates.extend(root.map(|root| (entry.file_name().to_string_lossy().into_owned(), root)));
    }
    crates
}

#[test]
fn modules_form_no_cycles() {
    let (mut failed, mut modules) = (String::new(), 0);
    for (name, root) in crates() {
        let mut all = Crate::new();
        read(&root, root.parent().expect("a file is in a folder"), vec![], &mut all);
        modules += all.len();
        let graph = graph(&all);
        let cycles = cycles(&graph);
        let (count, known) =
            (cycles.iter().map(BTreeSet::len).sum::<usize>(), KNOWN.iter().find(|(k, _)| *k == name));
        if count > known.map_or(0, |(_, known)| *known) {
            // Writing to a string cannot fail.
            let _ =
                writeln!(failed, "{name}: {count} modules are part of cycles\n{}", shown(&cycles, &graph));
        }
    }
    assert!(modules > 100, "no modules were found");
    assert!(failed.is_empty(), "{failed}");
}

/// The cycles of a crate of these modules.
fn cycles_of(files: &[(&str, &[&str], &str)]) -> usize {
    let module = |(path, children, code): &(&str, &[&str], &str)| {
        let children = children.iter().map(|child| (*child).to_owned()).collect();
        (path_of(path), parse(&product_code(code), children))
    };
    cycles(&graph(&files.iter().map(module).collect())).len()
}

#[test]
fn finds_cycles_and_follows_reexports() {
    let root = ("", &["a", "b"][..], "mod a;\nmod b;\npub use a::A;\npub use b::*;\n");
    let a = |code| ("a", &[][..], code);
    let b = |code| ("b", &[][..], code);
    // Through the declaring module, a re-export, a glob and a path in code.
    let b_uses_a = b("use crate::A;\npub struct B;\n");
    assert_eq!(cycles_of(&[root, a("use crate::b::B;\npub struct A;\n"), b_uses_a]), 1);
    assert_eq!(cycles_of(&[root, a("use super::{B};\npub struct A;\n"), b_uses_a]), 1);
    assert_eq!(cycles_of(&[root, a("pub struct A;\nfn f() { crate::b::g() }\n"), b_uses_a]), 1);
    // Not by tests, comments, or re-exports alone.
    let quiet = "// crate::b::B\npub struct A;\n#[cfg(test)]\nmod tests {\n    use crate::B;\n}\n";
    assert_eq!(cycles_of(&[root, a(quiet), b_uses_a]), 0);
    // A parent that uses a child which uses the parent.
    let parent = ("", &["a"][..], "mod a;\nuse a::A;\npub struct R;\n");
    assert_eq!(cycles_of(&[parent, a("use super::R;\npub struct A;\n")]), 1);
    let parent = ("", &["a"][..], "mod a;\npub use a::A;\npub struct R;\n");
    assert_eq!(cycles_of(&[parent, a("use super::R;\npub struct A;\n")]), 0);
    let parent = ("", &["a"][..], "mod a;\npub use a::A;\npub struct R(A);\n");
    assert_eq!(cycles_of(&[parent, a("use super::R;\npub struct A;\n")]), 1);
}
