//! `deed check`: looks at a domain's record as the verifier would, from the command line.
use clap::Args;
use deed_claims::name::{ClaimableName, DomainName};
use deed_claims::{Challenge, Scope, Token};
use deed_probe::{Prober, Question, Route};

use super::Context;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use report::Report;

mod report;

/// Stands for the random part where nobody said which value is expected.
const SOME_TOKEN: &str = "<token>";

/// Look at a domain's record as the verifier would; needs neither account nor service
///
/// Without --expect: what stands at the record's name, and what is wrong there if nothing does. With it: whether the
/// verifier would take the record for proof. The answer has a table for each name server with its vote, what DNSSEC and other places say, where
/// else the record was found, the verdict and what to do; docs/DIAGNOSES.md explains every cause, and what --json has.
///
/// Ends with 0 when the record is there (and, with --expect, proves the claim), with 3 when not, and with 4 when nothing
/// can be said because our own way into the DNS is broken.
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
    /// Also say whether the hostname points at this name, such as an app's CNAME target
    #[arg(long, value_name = "NAME", requires = "host")]
    target: Option<String>,
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
            route: self.target.clone().map(|target| Route {
                host: name.to_string(),
                target: target.trim_end_matches('.').to_owned(),
            }),
        };
        let seen = prober.look(question).await;
        let given = report::Given {
            domain: name.to_string(),
            root_domain: apex.to_string(),
            expected: self.expect.clone(),
            agreement: settings.config.verifier.agreement,
            accept_wildcard: settings.config.verifier.accept_wildcard || self.host,
        };
        let report = Report::of(given, &challenge, &seen);
        context.output.answer(&report, Report::words)?;
        Ok(report.exit())
    }

    fn names(&self, settings: &Settings) -> Result<(DomainName, DomainName), Failure> {
        let prefix = settings.templates.longest_prefix();
        ClaimableName::parse(&self.domain, self.scope(), &settings.names, prefix)
            .map(ClaimableName::into_parts)
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// Whose record is looked at: an app's hostname has one of its own.
    fn scope(&self) -> Scope {
        if self.host { Scope::Host } else { Scope::Apex }
    }

    /// What would have to stand in the DNS.
    fn challenge(
        &self,
        settings: &Settings,
        name: &DomainName,
        apex: &DomainName,
    ) -> Result<Challenge, Failure> {
        let name = if self.host { name } else { apex };
        let token = Token::from_bytes([0; 20]);
        let mut challenge = settings.templates.challenge(self.scope(), name, token.clone());
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
}
