//! The report of `deed check`, as text and as JSON: observation, outcome and fix.
use std::fmt::Write as _;

use deed_claims::Challenge;
use deed_diagnosis::{
    Agreement, Class, Code, Context, Diagnosis, Evidence, Note, Observation, Outcome, Routing, RoutingState,
    Security, ServerEvidence, Signatures, Transport, ValidationEvidence, VantageEvidence, Vote, judge_within,
    notes, printable, votes,
};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::table;

/// The input of a check.
pub(super) struct CheckInput {
    pub domain: String,
    pub root_domain: String,
    /// The expected value, if given.
    pub expected: Option<String>,
    pub agreement: Agreement,
    /// Whether an alias from a wildcard may prove the name.
    pub accept_wildcard: bool,
}

/// The report on a domain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    domain: String,
    root_domain: String,
    record_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<DiagnosisReport>,
    /// The votes of the name servers; empty without an expected value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    votes: Vec<ServerVote>,
    evidence: Evidence,
    #[serde(skip)]
    notes: Vec<Note>,
}

/// The cause, in sentences.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DiagnosisReport {
    code: Code,
    class: Class,
    message: String,
    fix: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clears_in: Option<u32>,
}

impl From<Diagnosis> for DiagnosisReport {
    fn from(diagnosis: Diagnosis) -> Self {
        let (message, fix) = (diagnosis.message(), diagnosis.fix());
        let Diagnosis { code, class, observed, clears_in, .. } = diagnosis;
        Self { code, class, message, fix, observed, clears_in }
    }
}

/// The vote of a name server.
#[derive(Debug, Serialize)]
struct ServerVote {
    server: String,
    vote: Vote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The expected value was found and confirmed.
    Proven,
    /// No value is expected, and TXT records were found.
    RecordsFound,
    /// The record is not proven; the diagnosis has the cause.
    NotProven,
}

impl Report {
    pub(super) fn of(input: CheckInput, challenge: &Challenge, seen: &Observation) -> Self {
        let context = Context {
            agreement: input.agreement,
            accept_wildcard: input.accept_wildcard,
            ..Context::default()
        };
        let notes = notes(challenge, seen);
        let evidence = Evidence::from(seen)
            .noting(challenge, seen)
            .with_suffix_list(deed_claims::name::suffix_list_version());
        let votes = match &input.expected {
            Some(_) => votes(challenge, seen),
            None => vec![],
        };
        let votes = votes.into_iter().map(|(server, vote)| ServerVote { server, vote }).collect();
        let found =
            input.expected.is_none() && evidence.servers.iter().any(|server| !server.values.is_empty());
        let (verdict, diagnosis) = match judge_within(challenge, &context, seen) {
            Outcome::Proven => (Verdict::Proven, None),
            Outcome::NotProven(d) if found && d.code.is_absence() => (Verdict::RecordsFound, None),
            Outcome::NotProven(d) => (Verdict::NotProven, Some(d.into())),
        };
        Self {
            domain: input.domain,
            root_domain: input.root_domain,
            record_name: challenge.record_name.to_string(),
            expected: input.expected,
            verdict,
            diagnosis,
            votes,
            evidence,
            notes,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match &self.diagnosis {
            Some(d) if d.class == Class::Internal => Exit::Unavailable,
            Some(_) => Exit::Negative,
            None => Exit::Success,
        }
    }

    pub(super) fn text(&self) -> String {
        let evidence = &self.evidence;
        let zone = evidence.zone.as_ref().map(|zone| format!(" (zone {zone})")).unwrap_or_default();
        let mut parts = vec![format!("TXT records of {}{zone}", printable(self.record_name.as_bytes()))];
        if let Some(dname) = &evidence.dname {
            parts.push(format!("DNAME at {} to {}", dname.owner, dname.target));
        }
        if !evidence.aliases.is_empty() {
            parts.push(format!("alias of {}", evidence.aliases.join(" -> ")));
        }
        if !evidence.beside_alias.is_empty() {
            parts.push(format!("TXT beside the alias: {}", evidence.beside_alias.join(" | ")));
        }
        parts.extend(self.servers());
        if !evidence.dissent.is_empty() {
            parts.push(format!(
                "On the way, these contradict the others:\n{}",
                rows(&evidence.dissent, evidence)
            ));
        }
        if !evidence.confirmed_by.is_empty() {
            parts.push(format!("Asked again, over connections:\n{}", rows(&evidence.confirmed_by, evidence)));
        }
        parts.extend(self.expected_and_found());
        parts.extend(evidence.validation.as_ref().map(dnssec));
        if !evidence.vantages.is_empty() {
            parts.push(vantage_table(&evidence.vantages, evidence.quorum));
        }
        parts.extend(findings(evidence));
        if !self.notes.is_empty() {
            parts.push(self.notes.iter().map(|note| self.note(*note)).collect::<Vec<_>>().join("\n"));
        }
        parts.push(format!("{} questions in {} ms", evidence.queries, evidence.took_ms));
        parts.push(self.verdict());
        parts.join("\n\n")
    }

    /// One table per name server, with its vote.
    fn servers(&self) -> Vec<String> {
        let mut names: Vec<&str> = self.evidence.servers.iter().map(|row| row.server.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let table = |name: &str| {
            let of_name: Vec<ServerEvidence> =
                self.evidence.servers.iter().filter(|row| row.server == name).cloned().collect();
            let vote =
                self.votes.iter().find(|vote| vote.server == name).map_or("", |vote| vote_text(vote.vote));
            format!("{name}{vote}\n{}", rows(&of_name, &self.evidence))
        };
        names.into_iter().map(table).collect()
    }

    /// The expected value and the distinct values found.
    fn expected_and_found(&self) -> Option<String> {
        let expected = self.expected.as_ref()?;
        let mut found: Vec<&str> =
            self.evidence.servers.iter().flat_map(|row| &row.values).map(String::as_str).collect();
        found.sort_unstable();
        found.dedup();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join("\n          ") };
        Some(format!("Expected: {}\nFound:    {found}", printable(expected.as_bytes())))
    }

    fn note(&self, note: Note) -> String {
        let about = self.evidence.noted_servers.iter().find(|noted| noted.note == note.as_str());
        let servers = about.map(|noted| format!(": {}", noted.servers.join(", "))).unwrap_or_default();
        format!("Note: {}{servers}.", note.about())
    }

    fn verdict(&self) -> String {
        match (self.verdict, &self.diagnosis) {
            (Verdict::Proven, _) => "PROVEN: the record stands and was confirmed.".to_owned(),
            (Verdict::RecordsFound, _) => {
                "FOUND: TXT records stand at the name. Give --expect VALUE to see whether one proves a claim."
                    .to_owned()
            }
            (Verdict::NotProven, Some(d)) => {
                format!("NOT PROVEN ({}): {}\nFix: {}", d.code.as_str(), d.message, d.fix)
            }
            (Verdict::NotProven, None) => "NOT PROVEN".to_owned(),
        }
    }
}

fn vote_text(vote: Vote) -> &'static str {
    match vote {
        Vote::Shows => ": shows the value",
        Vote::Denies => ": does not show the value",
        Vote::Contradicts => ": shows the value at some of its addresses only",
        Vote::Lame => ": does not serve the zone",
        Vote::Silent => ": does not answer",
    }
}

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn rows(answers: &[ServerEvidence], evidence: &Evidence) -> String {
    let mut all = vec![cells(["SERVER", "ADDRESS", "OVER", "ANSWER", "MS", "SERIAL", "SIGNED", "VALUES"])];
    all.extend(answers.iter().map(|answer| {
        let over = match answer.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let address = answer.address.clone().unwrap_or_else(|| "-".to_owned());
        let told = evidence.serials.iter().find(|s| s.address == address).map(|s| s.serial);
        let serial = told.or(answer.soa_serial).map_or_else(|| "-".to_owned(), |serial| serial.to_string());
        let mut result = answer.result.clone();
        // Non-authoritative answers do not count, so they are marked.
        if matches!(&*result, "NOERROR" | "NXDOMAIN") && !answer.authoritative {
            result.push_str(" (no authority)");
        }
        if answer.truncated {
            result.push_str(" (truncated)");
        }
        if let Some(ede) = answer.ede {
            let _ = write!(result, " (EDE {ede})");
        }
        let values = answer.values.join(" | ");
        let signed = match answer.signatures {
            None | Some(Signatures::None) => "-",
            Some(Signatures::Current) => "yes",
            Some(Signatures::Expired) => "expired",
            Some(Signatures::NotYetValid) => "not yet valid",
        };
        cells([&answer.server, &address, over, &result, &answer.ms.to_string(), &serial, signed, &values])
    }));
    table(&all)
}

// Writing to a string cannot fail, here and above.
fn dnssec(validation: &ValidationEvidence) -> String {
    let verdict = match validation.security {
        Security::Secure => "secure",
        Security::Insecure => "insecure: the zone is not signed",
        Security::Bogus => "bogus: signatures are broken or missing",
        Security::Indeterminate => "indeterminate: nobody could tell",
    };
    let mut text = format!("DNSSEC: {verdict} (by {}, {} ms", validation.by, validation.ms);
    if let Some(result) = &validation.result {
        let _ = write!(text, ", {result}");
    }
    if let Some(ede) = validation.ede {
        let _ = write!(text, ", EDE {ede}");
    }
    if let Some(reason) = &validation.ede_text {
        let _ = write!(text, " \"{reason}\"");
    }
    if let Some(ttl) = validation.negative_ttl {
        let _ = write!(text, ", remembers a denial for {ttl} s");
    }
    text.push(')');
    text
}

fn vantage_table(vantages: &[VantageEvidence], quorum: Option<u32>) -> String {
    let mut all = vec![cells(["PLACE", "ANSWER", "MS", "VALUES"])];
    all.extend(vantages.iter().map(|vantage| {
        cells([&vantage.vantage, &vantage.result, &vantage.ms.to_string(), &vantage.values.join(" | ")])
    }));
    let quorum = quorum.map(|quorum| format!(", {quorum} have to see it")).unwrap_or_default();
    format!("Seen from elsewhere{quorum}:\n{}", table(&all))
}

/// The routing of the hostname.
fn route(routing: &Routing) -> String {
    let seen = if routing.seen.is_empty() { "nothing".to_owned() } else { routing.seen.join(", ") };
    let state = match routing.state {
        RoutingState::Ok => "it leads to its target",
        RoutingState::Missing => "it leads nowhere",
        RoutingState::Elsewhere => "it leads elsewhere",
        RoutingState::Proxied => "it leads to a proxy, which hides what is behind",
    };
    format!("Routing: {state} (target {}, seen {seen})", routing.target)
}

/// Further findings besides the record.
fn findings(evidence: &Evidence) -> Vec<String> {
    let mut found = vec![];
    if !evidence.elsewhere.is_empty() {
        let mut all = vec![cells(["NAME", "VALUES"])];
        all.extend(evidence.elsewhere.iter().map(|e| cells([&e.name, &e.values.join(" | ")])));
        found.push(format!("TXT records where they are put by mistake:\n{}", table(&all)));
    }
    if let Some(routing) = &evidence.routing {
        found.push(route(routing));
    }
    if !evidence.other_types.is_empty() {
        found.push(format!("Other records at the name: {}", evidence.other_types.join(", ")));
    }
    found
}

#[cfg(test)]
mod tests;
