//! Confirms a match: validation by DNSSEC, or the same answer over TCP and from vantage points.
use super::judgement::{Cause, Judgement};
use super::outcome::Agreement;
use super::tally::{CountedAnswer, Tally, dominant_failure, probe_failure_code};
use crate::diagnosis::Code;
use crate::observation::OWN_VALIDATOR;
use crate::{AliasOrigin, Reply, Security, ServerAnswer, Validation, VantageAnswer};

/// Whether a vantage point sees the value; none when its answer says nothing about the name.
pub(super) fn vantage_shows(answer: &VantageAnswer, expected: &[u8]) -> Option<bool> {
    match &answer.reply {
        Reply::Message { rcode: 0 | 3, truncated: false, values, .. } => {
            Some(values.iter().any(|value| value == expected))
        }
        _ => None,
    }
}

/// Whether the validated answer is NOERROR or NXDOMAIN.
pub(super) fn is_conclusive(validation: &Validation) -> bool {
    matches!(validation.rcode, Some(0 | 3))
}

impl Judgement<'_> {
    pub(super) fn validation(&self) -> Option<&Validation> {
        self.observation.confirmation.validation.as_ref()
    }

    pub(super) fn validation_shows(&self, validation: &Validation) -> bool {
        validation.values.iter().any(|value| value == self.expected.value)
    }

    /// Whether a match is proof: enough servers show the value, and the confirmation agrees.
    pub(super) fn confirm_match(&self, first: &Tally) -> Result<(), Cause> {
        let agreement = self.context.agreement;
        // Broken signatures explain every other failure, and are never accepted.
        if self.validation().is_some_and(|v| v.security == Security::Bogus) {
            return Err(Code::DnssecBogus.into());
        }
        if !first.suffices(agreement) {
            return Err(first.shortfall_code(agreement).into());
        }
        self.check_alias_origin()?;
        if let Some(validation) = self.validation() {
            if validation.security == Security::Secure && self.validation_shows(validation) {
                return Ok(());
            }
            self.check_validation(validation)?;
        }
        self.check_unanimity(first, &self.observation.dissent)?;
        self.check_repeat()?;
        self.check_vantages()
    }

    /// Whether the value may stand at the end of the aliases: a wildcard answers for every name below it, so the owner
    /// of the alias's target could otherwise prove names that the zone's owner never delegated.
    fn check_alias_origin(&self) -> Result<(), Cause> {
        match self.observation.findings.alias_origin {
            AliasOrigin::Wildcard if !self.context.accept_wildcard => Err(Code::WildcardAnswer.into()),
            AliasOrigin::Unknown if !self.context.accept_wildcard => Err(Code::Timeout.into()),
            _ => Ok(()),
        }
    }

    /// Whether a validation that is no signed proof leaves the match to the other checks.
    fn check_validation(&self, validation: &Validation) -> Result<(), Cause> {
        if validation.security == Security::Indeterminate {
            return Err(self.indeterminate_code(validation).into());
        }
        let by_resolver = validation.by != OWN_VALIDATOR;
        // An unsigned answer to the own validator is one server's answer, which the tally has counted already.
        let trusted = by_resolver || validation.security == Security::Secure;
        if !trusted || !is_conclusive(validation) || self.validation_shows(validation) {
            return Ok(());
        }
        Err(if by_resolver { Code::StaleNegativeCache } else { Code::InconsistentServers }.into())
    }

    /// In an unsigned zone a name that another holder has moves only when all name servers that answer agree, those of
    /// the zones above as well.
    fn check_unanimity(&self, tally: &Tally, dissent: &[ServerAnswer]) -> Result<(), Cause> {
        let all = self.context.held_by_another || self.context.agreement == Agreement::Strict;
        if all && !(tally.suffices(Agreement::Strict) && dissent.is_empty()) {
            return Err(Code::InconsistentServers.into());
        }
        // The operator of one server may be able to keep the others from answering.
        if self.context.held_by_another && !tally.is_at_least_half(tally.showing) {
            return Err(Code::PartiallyLame.into());
        }
        Ok(())
    }

    /// Why it is unknown whether the zone is signed. Unknown is not insecure: an attacker who keeps the keys from the
    /// validator must gain nothing by it.
    pub(super) fn indeterminate_code(&self, validation: &Validation) -> Code {
        let without_edns =
            |answer: &ServerAnswer| matches!(&answer.reply, Reply::Message { plain: true, .. });
        let mut answering =
            self.observation.servers.iter().filter(|answer| CountedAnswer::of(answer).is_some());
        match probe_failure_code(self.observation) {
            Some(code @ (Code::BudgetExhausted | Code::Internal)) => code,
            // A canary name fails in the same way, or the own clock is wrong.
            _ if validation.ours || validation.ede.is_some() => Code::Internal,
            // A validating resolver queries with EDNS, which these servers do not answer.
            _ if validation.by != OWN_VALIDATOR && answering.all(without_edns) => Code::EdnsBroken,
            _ => Code::DnssecIndeterminate,
        }
    }

    /// Whether the servers, queried again over TCP, show the value again.
    fn check_repeat(&self) -> Result<(), Cause> {
        let Some(again) = &self.observation.confirmation.repeated else {
            // Only the budget of a check or a failure of the probe prevents the repeat.
            return Err(probe_failure_code(self.observation).unwrap_or(Code::BudgetExhausted).into());
        };
        let second = self.tally(again);
        if second.suffices(self.context.agreement) {
            return self.check_unanimity(&second, &self.observation.confirmation.dissent);
        }
        let code = if second.answering > 0 {
            second.shortfall_code(self.context.agreement)
        } else {
            probe_failure_code(self.observation).unwrap_or_else(|| dominant_failure(again))
        };
        Err(code.into())
    }

    /// Whether as many vantage points see the value as the deployment requires.
    fn check_vantages(&self) -> Result<(), Cause> {
        if self.vantages_that_show(true) >= self.observation.confirmation.quorum {
            Ok(())
        } else {
            Err(Code::VantageDisagreement.into())
        }
    }

    /// The number of vantage points that see the value, or that see its absence.
    pub(super) fn vantages_that_show(&self, value: bool) -> usize {
        let vantages = &self.observation.confirmation.vantages;
        vantages.iter().filter(|v| vantage_shows(v, self.expected.value) == Some(value)).count()
    }
}
