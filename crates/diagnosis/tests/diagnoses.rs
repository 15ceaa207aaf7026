//! Generates `docs/DIAGNOSES.md`, which explains every cause of a failed check, from the model.
#![expect(clippy::unwrap_used, reason = "a page that cannot be written fails its test")]
mod given;

use std::{fmt::Write as _, path::PathBuf};

use deed_diagnosis::{Code, Note, Observation, Outcome, judge_within};
use given::{context, further_examples, of_every_code, record};

const HEAD: &str = "\
# What a failed check says

<!-- Made by `make generate` of the model: crates/diagnosis/tests/diagnoses.rs. -->

A check of a record ends with proof, or with exactly one cause: a stable code, a class, a message that says what was seen and by
which servers, and a fix that says what to do. Where values were seen, the message shows them beside the expected one. Positions
are counted in characters, from 1. Names and values in messages are printable ASCII and cut.

## Classes

| class | meaning | what happens |
|---|---|---|
| `waiting` | waits for the people who run the domain's DNS | watching goes on; with \"absent\" below, a held name is at risk and lapses after the grace |
| `transient` | network or servers fail for now | watching goes on; never counts as absence |
| `permanent` | this claim can never succeed | the claim is refused, or the holding is at risk |
| `internal` | a problem of ours | no claim changes; the check is made again |

A record is proven when enough of the zone's servers that answer show the whole value, byte for byte (`verifier.agreement`:
more than half, or all), and a second look agrees: a signed answer, or the servers once more over TCP and as many vantages as
`dns.vantage_quorum` asks for. An absence that can cost a tenant a name needs a second look as well.

Every record of an answer is compared; only what is shown and kept of it is limited. A cause does not depend on the order of
records or servers.

## Which cause is told

The first of these that applies:

1. The name is refused, the aliases do not end, the domain is not delegated, or our own way into the DNS is broken.
2. Servers show the value, and something keeps that from being proof: broken signatures; too few servers; a resolver with an
   older answer; a second look that failed or disagrees; places that do not see it.
3. Something ended the look early: that.
4. No server answers: the prevailing reason. `blocked_address` and `ns_without_address` only when that is true of all.
5. Servers answer that it is not there: broken signatures; the exact value at another place; a value at the name that is nearly
   right; a value at another place that is nearly right; any record at the doubled name; a DNAME; an alias; an unusually
   large set of records; a wildcard; other values, of which that of another claim is recognised; no value.

Of several values that are nearly right the nearest is told: the kind of the mistake decides, in the order two halves, quotation
marks, white space, case, doubled, beginning, codes, cut off, something around it, wrong characters, earlier claim; then the number
of characters that differ; then the order of the bytes.
";

const JSON: &str = "\
## `deed check --json`

One object: `domain` and `rootDomain` (what was asked about, as A-labels), `recordName`, `expected` (with `--expect`), `verdict`
(`proven`, `records_found` without `--expect`, `not_proven`), `diagnosis` (with `not_proven`: `code`, `class`, `message`, `fix`,
`observed`, and `clearsIn` where it is known after how many seconds the cause may have passed by itself), and `evidence`: what
every check keeps, as described by `Evidence` in `proto/deed/events/v1/events.proto`. Exit codes: 0 proven or found, 2 usage or
configuration, 3 not proven, 4 nothing can be said because of a problem on our side.
";

const NOTES: [Note; 7] = [
    Note::WildcardAnswer,
    Note::PartiallyLame,
    Note::BlockedAddress,
    Note::Alias,
    Note::NotValidated,
    Note::StaleSignatures,
    Note::InconsistentServers,
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Causes\n\n| code | class | absent | recognised by |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let absent = if code.is_absence() { "yes" } else { "" };
        let (word, class) = (code.as_str(), code.class().as_str());
        writeln!(page, "| [`{word}`](#{word}) | {class} | {absent} | {} |", code.detection().trim()).unwrap();
    }
    page.push_str(
        "\n\"absent\": authoritative servers say that the record is not there. Only this can cost a holding.\n",
    );
    page.push_str("\n## Notes\n\nSaid in the evidence besides the verdict, whatever that is.\n\n| note | meaning |\n|---|---|\n");
    for note in NOTES {
        writeln!(page, "| `{}` | {} |", note.as_str(), note.about()).unwrap();
    }
    page.push_str("\n## Messages and fixes\n\nExamples of each, for a claim of `acme.com`.\n");
    let examples: Vec<(Code, Observation)> = of_every_code().into_iter().chain(further_examples()).collect();
    for code in Code::ALL {
        write!(page, "\n### {}\n", code.as_str()).unwrap();
        let of_code: Vec<String> =
            examples.iter().filter(|(of, _)| of == code).map(|(_, seen)| example(*code, seen)).collect();
        page.push_str(&of_code.join("\n"));
    }
    page.push('\n');
    page.push_str(JSON);
    page
}

/// A message and its fix.
fn example(code: Code, seen: &Observation) -> String {
    match judge_within(record(), &context(), seen) {
        Outcome::NotProven(diagnosis) if diagnosis.code == code => {
            format!("{}\n\nFix: {}\n", diagnosis.message(), diagnosis.fix())
        }
        other => panic!("{code:?}: {other:?}"),
    }
}

#[test]
fn page_matches_the_model() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/DIAGNOSES.md");
    let now = page();
    if std::env::var_os("DEED_GENERATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "docs/DIAGNOSES.md is not what it would be made as now: run `make generate`");
}
