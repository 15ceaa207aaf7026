//! The page that explains every cause of a failed check is made of the model itself.
#![expect(clippy::unwrap_used, reason = "a page that cannot be written fails its test")]
mod given;

use std::{fmt::Write as _, path::PathBuf};

use deed_claims::{Code, Note, Outcome, judge_within};
use given::seen::{challenge, context, of_every_cause};

const HEAD: &str = "\
# What a failed check says

<!-- Made by `make generate` of the model: crates/claims/tests/diagnoses.rs. -->

A check of a record ends with proof, or with exactly one cause: a stable code, a class, a message that says what was seen,
and a fix that says what to do. Names and values in messages are escaped to printable ASCII and cut.

## Classes

| class | meaning | what happens |
|---|---|---|
| `waiting` | waits for whoever runs the DNS | watching goes on; with \"absent\" below, a held name is at risk and lapses after the grace |
| `transient` | network or servers fail for now | watching goes on; never counts as absence |
| `permanent` | nothing can mend it for this claim | the claim is refused, or the holding is at risk |
| `internal` | our own trouble | no claim changes; the check is made again |

A record is proven when enough of the zone's servers that answer show the whole value, byte for byte (`verifier.agreement`:
more than half, or all), and a second look agrees: a signed answer, or the servers once more over TCP and as many vantages as
`dns.vantage_quorum` asks for. An absence that may cost somebody a name needs a second look as well.

## Which cause is told

The first of these that applies:

1. The name is refused, the aliases do not end, the domain is not delegated, or our own way into the DNS is broken.
2. Servers show the value: what kept that from being proof. Broken signatures; too few servers; a resolver that remembers
   older answers; a second look that failed or disagrees; places that do not see it.
3. Something ended the look: that.
4. No server answers: the prevailing reason. `blocked_address` and `ns_without_address` only when that is true of all.
5. Servers answer that it is not there: broken signatures; an answer too big to be read; the exact value at another place; a
   value at the name that is nearly right; a value at another place that is nearly right; any record at the doubled name; a
   DNAME; an alias; a wildcard; other values; no value.
";

const JSON: &str = "\
## `deed check --json`

One object: `domain` and `rootDomain` (what was asked about, as A-labels), `recordName`, `expected` (with `--expect`), `verdict`
(`proven`, `records_found` without `--expect`, `not_proven`), `diagnosis` (with `not_proven`: `code`, `class`, `message`, `fix`,
`observed`, and `clearsIn` where it is known after how many seconds the cause may have passed by itself), and `evidence`: what
every check keeps, as described by `Evidence` in `proto/deed/events/v1/events.proto`. Exit codes: 0 proven or found, 2 usage or
configuration, 3 not proven, 4 nothing can be said because of trouble on our side.
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
        "\n\"absent\": servers that know say that the record is not there, which alone may cost a holding.\n",
    );
    page.push_str("\n## Notes\n\nSaid in the evidence besides the verdict, whatever that is.\n\n| note | meaning |\n|---|---|\n");
    for note in NOTES {
        writeln!(page, "| `{}` | {} |", note.as_str(), note.about()).unwrap();
    }
    page.push_str("\n## Messages and fixes\n\nOne example of each, for a claim of `acme.com`.\n");
    let examples = of_every_cause();
    for code in Code::ALL {
        let (_, seen) = examples.iter().find(|(of, _)| of == code).unwrap();
        let Outcome::NotProven(told) = judge_within(&challenge(), &context(), seen) else {
            panic!("{code:?}")
        };
        write!(page, "\n### {}\n{}\n\nFix: {}\n", code.as_str(), told.message, told.fix).unwrap();
    }
    page.push('\n');
    page.push_str(JSON);
    page
}

#[test]
fn the_page_is_what_the_model_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/DIAGNOSES.md");
    let now = page();
    if std::env::var_os("DEED_GENERATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "docs/DIAGNOSES.md is not what it would be made as now: run `make generate`");
}
