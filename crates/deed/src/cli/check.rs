//! `deed check`: checks the record of a domain as the verifier would.
use clap::Args;
use deed_claims::name::{ClaimableName, DomainName};
use deed_claims::{Challenge, Scope, Token};
use deed_probe::{Prober, Question, RoutingQuestion};
use deed_service::config::Settings;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use report::Report;

mod report;

/// Placeholder of the token when no value is expected.
const SOME_TOKEN: &str = "<token>";

/// Check the record of a domain as the verifier would; needs neither account nor service
///
/// Without --expect, shows the records at the name of the validation record, and the likely mistake if there
/// are none. With --expect, says whether the verifier would accept the record as a proof. The output has a
/// table for each name server with its vote, the results of DNSSEC and of vantage points, records found in
/// other places, the outcome and the fix. docs/DIAGNOSES.md explains every code and the JSON format.
///
/// Exit code 0 when the record is found (with --expect: proves the claim), 3 when not, and 4 when Deed itself
/// cannot reach the DNS.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The domain
    domain: String,
    /// The name of the record [default: the name that the brand gives]
    #[arg(long, value_name = "NAME")]
    record: Option<String>,
    /// The complete expected value
    #[arg(long, value_name = "VALUE")]
    expect: Option<String>,
    /// Check the record of exactly this hostname instead of its registrable domain
    #[arg(long)]
    host: bool,
    /// Also report whether the hostname points at this name, such as the CNAME target of an app
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
            route: self.target.clone().map(|target| RoutingQuestion {
                host: name.to_string(),
                target: target.trim_end_matches('.').to_owned(),
            }),
        };
        let seen = prober.probe(question).await;
        let input = report::CheckInput {
            domain: name.to_string(),
            root_domain: apex.to_string(),
            expected: self.expect.clone(),
            agreement: settings.config.verifier.agreement,
            accept_wildcard: settings.config.verifier.accept_wildcard || self.host,
        };
        let report = Report::of(input, &challenge, &seen);
        context.output.print(&report, Report::text)?;
        Ok(report.exit())
    }

    fn names(&self, settings: &Settings) -> Result<(DomainName, DomainName), Failure> {
        let prefix = settings.templates.longest_prefix();
        ClaimableName::parse(&self.domain, self.scope(), &settings.config.names, prefix)
            .map(ClaimableName::into_parts)
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The scope of the record: an app domain has a record of its own.
    fn scope(&self) -> Scope {
        if self.host { Scope::Host } else { Scope::Apex }
    }

    /// The challenge to compare with.
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
