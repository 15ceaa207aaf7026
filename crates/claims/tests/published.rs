//! Names against the published test files of the Public Suffix List and of Unicode, read from their packages.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;
use deed_claims::name::DomainName;

fn read(path: &Path, package: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; {package}", path.display()))
}

/// The Public Suffix List's own test: `checkPublicSuffix('a.b.com', 'b.com')` for each name.
#[test]
fn registrable_domains_match_the_psl_test_file() {
    let path = Path::new("/usr/share/doc/publicsuffix/examples/test_psl.txt");
    let text = read(path, "`apt-get install --yes publicsuffix` installs it");
    let (mut right, mut misses) = (0, vec![]);
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("checkPublicSuffix(")) {
        let (given, meant) = arguments(line);
        let Some(given) = given else { continue };
        let found = DomainName::parse(&given).ok().and_then(|name| name.registrable_domain());
        // The test file has U-labels; a `DomainName` has A-labels.
        let meant = meant.map(|meant| DomainName::parse(&meant).expect("a registrable domain is a name"));
        if found == meant { right += 1 } else { misses.push((given, meant, found)) }
    }
    assert!(misses.is_empty(), "{misses:#?}");
    assert!(right >= 70, "only {right} names were tested");
}

fn arguments(line: &str) -> (Option<String>, Option<String>) {
    let inside = line.trim_start_matches("checkPublicSuffix(").split(')').next().unwrap_or_default();
    let mut words = inside.split(',').map(|word| {
        let word = word.trim();
        (word != "null").then(|| word.trim_matches('\'').to_owned())
    });
    (words.next().flatten(), words.next().flatten())
}

/// One line of Unicode's IdnaTestV2.txt (UTS 46 §8).
struct IdnaCase {
    source: String,
    ascii: String,
    /// The status codes of `toASCIIN`; empty for a valid name.
    faults: String,
}

/// The file is in the source package of the crate `idna`.
fn idna_tests() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Packages for other platforms may not be downloaded.
    let options = ["--offline".to_owned(), "--filter-platform".to_owned(), host()];
    let metadata = MetadataCommand::new().manifest_path(manifest).other_options(options).exec();
    let packages = metadata.expect("`cargo metadata` reads this workspace").packages;
    let idna = packages.into_iter().find(|package| package.name.as_str() == "idna");
    let folder = idna.expect("idna is a dependency").manifest_path;
    folder.parent().expect("a manifest is in a folder").join("tests/IdnaTestV2.txt").into()
}

/// The host triple of the compiler.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc speaks ASCII");
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

fn cases(text: &str) -> Vec<IdnaCase> {
    let mut cases = vec![];
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let columns: Vec<&str> = line.split(';').map(str::trim).collect();
        let &[source, unicode, unicode_faults, ascii, ascii_faults, ..] = &columns[..] else { continue };
        // An empty column repeats the one before it.
        let or = |column: &str, before: &str| {
            if column.is_empty() { before.to_owned() } else { unescaped(column) }
        };
        let source = unescaped(source);
        let unicode = or(unicode, &source);
        let faults = if ascii_faults.is_empty() { unicode_faults } else { ascii_faults };
        cases.push(IdnaCase { ascii: or(ascii, &unicode), faults: faults.to_owned(), source });
    }
    cases
}

/// `""` is the empty string; `\uXXXX` and `\x{XXXX}` are characters.
fn unescaped(text: &str) -> String {
    if text == "\"\"" {
        return String::new();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\u").into_iter().chain(rest.find("\\x{")).min() {
        out.push_str(&rest[..at]);
        let (digits, end) = match rest[at..].strip_prefix("\\x{") {
            Some(inside) => {
                let size = inside.find('}').expect("a brace that opens closes");
                (&inside[..size], at + 4 + size)
            }
            None => (&rest[at + 2..at + 6], at + 6),
        };
        let code = u32::from_str_radix(digits, 16).expect("hexadecimal digits");
        // A Rust string cannot have lone surrogates.
        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
        rest = &rest[end..];
    }
    out + rest
}

/// Why Deed refuses a name that UTS 46 alone allows.
fn stricter(case: &IdnaCase) -> Option<&'static str> {
    let ascii = case.ascii.as_str();
    let dots = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];
    if !ascii.trim_end_matches('.').contains('.') {
        Some("a single label is no domain that can be claimed")
    } else if ascii.bytes().any(|b| !matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
        Some("only letters, digits and hyphens (STD3)")
    } else if ascii.rsplit('.').find(|label| !label.is_empty()).is_some_and(is_number) {
        Some("it ends in a number, as an address does")
    } else if case.source.chars().any(|c| c.is_control() || (c.is_whitespace() && !dots.contains(&c))) {
        Some("white space and control characters are typing errors and not mapped away")
    } else if case.source.contains(['/', ':', '@', '%', '\\', '[', ']', '?', '#', '*']) {
        Some("part of a URL or a pattern")
    } else {
        None
    }
}

fn is_number(label: &str) -> bool {
    let hexadecimal =
        label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

/// Names with characters that the Unicode version of the file (16.0) does not assign and that of the mapping does.
const NEWER: [&str; 3] =
    ["xn--5cb172r175fug38a.xn--mlj", "xn--9-i0j5967eg3qz.ss", "xn--t92s.xn--znb.xn--5-y88f"];

/// Whether the only fault is an empty label at the end: the trailing dot, which Deed accepts.
fn is_trailing_dot(case: &IdnaCase) -> bool {
    case.ascii.ends_with('.') && !case.ascii.ends_with("..")
}

#[test]
fn names_match_the_unicode_idna_test_file() {
    let cases = cases(&read(&idna_tests(), "the crate's source package holds it"));
    let (mut right, mut refused, mut stricter_count, mut newer, mut misses) = (0, 0, 0, 0, vec![]);
    for case in &cases {
        let found = DomainName::parse(&case.source);
        let sound = case.faults.is_empty() || case.faults == "[]";
        match (sound, found) {
            (true, Ok(name)) if name.as_str() == case.ascii.trim_end_matches('.') => right += 1,
            (true, Err(_)) if stricter(case).is_some() => stricter_count += 1,
            (false, Err(_)) => refused += 1,
            (false, Ok(_)) if is_trailing_dot(case) => stricter_count += 1,
            (false, Ok(_)) if case.faults == "[V7]" && NEWER.contains(&case.ascii.as_str()) => newer += 1,
            (_, found) => {
                misses.push(format!("{:?} {} -> {found:?}, not {}", case.source, case.faults, case.ascii));
            }
        }
    }
    assert_eq!(
        newer, 5,
        "the Unicode versions of the file or the mapping have changed: check which names differ"
    );
    assert!(misses.is_empty(), "{} of {}: {misses:#?}", misses.len(), cases.len());
    assert!(
        right > 400 && refused > 5000,
        "{right} right, {refused} refused, {stricter_count} by stricter rules"
    );
}
