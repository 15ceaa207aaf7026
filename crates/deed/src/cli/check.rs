//! `deed check`: looks at a domain's record as the verifier would, from the command line.
use clap::Args;
use deed_claims::name::{ClaimableName, DomainName};
use deed_claims::{
    Challenge, Code, Diagnosis, Evidence, Observation, Outcome, Scope, ServerEvidence, Token, judge,
};
use deed_probe::{Prober, Question};
use serde::Serialize;

use super::Context;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::output::table;

/// Stands for the random part where nobody said which value is expected.
const SOME_TOKEN: &str = "<token>";

/// Look at a domain's record as the verifier would; needs neither account nor service
///
/// Without --expect: what stands at the record's name, and what is wrong there if nothing does. With it: whether the
/// verifier would take the record for proof. Ends with 0 when the record is there (and, with --expect, proves the
/// claim), with 3 when not.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The domain
    domain: String,
    /// The record's name; without it the one that the brand gives
    #[arg(long, value_name = "NAME")]
    record: Option<String>,
    /// The whole value that is expected
    #[arg(long, value_name = "VALUE")]
    expect: Option<String>,
    /// Look at the record of exactly this hostname instead of its registrable domain's
    #[arg(long)]
    host: bool,
}

/// What is said of a domain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    domain: String,
    root_domain: String,
    record_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<Diagnosis>,
    evidence: Evidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The expected value stands, seen by a majority and confirmed.
    Proven,
    /// Nobody said what is expected, and TXT records stand at the name.
    RecordsFound,
    /// It does not, and the diagnosis says why.
    NotProven,
}

impl Check {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let (name, apex) = self.names(&settings)?;
        let challenge = self.challenge(&settings, &name, &apex)?;
        let prober = Prober::new(settings.probe.clone()).map_err(|e| Failure::Usage(format!("dns: {e}")))?;
        let question = Question {
            name: challenge.record_name.to_string(),
            looking_for: self.expect.iter().map(|value| value.clone().into_bytes()).collect(),
            confirm_absence: false,
            apex: Some(apex.to_string()),
        };
        let seen = prober.look(question).await;
        let report = self.report(&name, &apex, &challenge, &seen);
        context.output.answer(&report, words)?;
        Ok(if report.verdict == Verdict::NotProven { Exit::Negative } else { Exit::Success })
    }

    fn names(&self, settings: &Settings) -> Result<(DomainName, DomainName), Failure> {
        let usage = |error: deed_claims::name::NameError| Failure::Usage(error.to_string());
        let name: DomainName = self.domain.parse().map_err(usage)?;
        let prefix = settings.templates.longest_prefix();
        Ok(ClaimableName::new(name, &settings.names, prefix).map_err(usage)?.into_parts())
    }

    /// What would have to stand in the DNS.
    fn challenge(
        &self,
        settings: &Settings,
        name: &DomainName,
        apex: &DomainName,
    ) -> Result<Challenge, Failure> {
        let (scope, name) = if self.host { (Scope::Host, name) } else { (Scope::Apex, apex) };
        let token = Token::from_bytes([0; 20]);
        let mut challenge = settings.templates.challenge(scope, name, token.clone());
        if let Some(record) = &self.record {
            let record = record.trim_end_matches('.').to_ascii_lowercase();
            let fits = (1..=253).contains(&record.len()) && record.bytes().all(|b| b.is_ascii_graphic());
            if !fits {
                return Err(Failure::Usage(
                    "a record's name is up to 253 printable ASCII characters".to_owned(),
                ));
            }
            challenge.record_name = record.into();
        }
        challenge.record_value = match &self.expect {
            Some(value) => value.as_str().into(),
            None => challenge.record_value.replace(token.as_str(), SOME_TOKEN).into(),
        };
        Ok(challenge)
    }

    fn report(
        &self,
        name: &DomainName,
        apex: &DomainName,
        challenge: &Challenge,
        seen: &Observation,
    ) -> Report {
        let (verdict, diagnosis) = match judge(challenge, seen) {
            Outcome::Proven => (Verdict::Proven, None),
            Outcome::NotProven(d) if self.expect.is_none() && d.code == Code::WrongValue => {
                (Verdict::RecordsFound, None)
            }
            Outcome::NotProven(d) => (Verdict::NotProven, Some(d)),
        };
        Report {
            domain: name.to_string(),
            root_domain: apex.to_string(),
            record_name: challenge.record_name.to_string(),
            expected: self.expect.clone(),
            verdict,
            diagnosis,
            evidence: seen.into(),
        }
    }
}

fn words(report: &Report) -> String {
    let evidence = &report.evidence;
    let zone = evidence.zone.as_ref().map(|zone| format!(" (zone {zone})")).unwrap_or_default();
    let mut parts = vec![format!("TXT records of {}{zone}", report.record_name)];
    if !evidence.aliases.is_empty() {
        parts.push(format!("alias of {}", evidence.aliases.join(" -> ")));
    }
    if !evidence.servers.is_empty() {
        parts.push(servers(&evidence.servers));
    }
    if !evidence.confirmed_by.is_empty() {
        parts.push(format!("asked again, over connections:\n\n{}", servers(&evidence.confirmed_by)));
    }
    parts.push(format!("{} questions in {} ms", evidence.queries, evidence.took_ms));
    parts.push(verdict(report));
    parts.join("\n\n")
}

fn verdict(report: &Report) -> String {
    match (report.verdict, &report.diagnosis) {
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

fn servers(answers: &[ServerEvidence]) -> String {
    let mut rows = vec![["SERVER", "ADDRESS", "OVER", "ANSWER", "MS", "VALUES"].map(str::to_owned).to_vec()];
    rows.extend(answers.iter().map(|answer| {
        let over = match answer.transport {
            deed_claims::Transport::Udp => "udp",
            deed_claims::Transport::Tcp => "tcp",
        };
        let address = answer.address.clone().unwrap_or_else(|| "-".to_owned());
        let values = answer.values.join(" | ");
        vec![
            answer.server.clone(),
            address,
            over.to_owned(),
            answer.result.clone(),
            answer.ms.to_string(),
            values,
        ]
    }));
    table(&rows)
}
