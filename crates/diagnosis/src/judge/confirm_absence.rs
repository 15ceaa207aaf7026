//! Confirms an absence: one that may cost a holding counts only when no other evidence contradicts it.
use super::confirm::is_conclusive;
use super::judgement::{Cause, Judgement};
use super::tally::dominant_failure;
use crate::diagnosis::Code;
use crate::{Security, ServerAnswer};

impl Judgement<'_> {
    /// An absence with this cause; its cause becomes the doubt where it is not confirmed.
    pub(super) fn confirm_absence(&self, cause: Cause) -> Result<(), Cause> {
        match self.absence_doubt(cause.code()) {
            Some(doubt) => Err(doubt.into()),
            None => Err(cause),
        }
    }

    /// The reason not to accept an absence with this cause; none where it is confirmed or needs no confirmation.
    fn absence_doubt(&self, cause: Code) -> Option<Code> {
        if !cause.is_absence() {
            return None;
        }
        let contradicted =
            self.too_few_denials().or_else(|| self.still_shown()).or_else(|| self.validation_doubt());
        if contradicted.is_some() || self.is_denial_signed() {
            return contradicted;
        }
        match &self.observation.confirmation.repeated {
            Some(again) => self.repeat_doubt(again).or_else(|| self.vantage_doubt()),
            None => self.context.at_stake.then_some(Code::BudgetExhausted),
        }
    }

    /// Whether a signed answer says something about the name.
    fn is_denial_signed(&self) -> bool {
        self.validation().is_some_and(|v| v.security == Security::Secure && is_conclusive(v))
    }

    /// A challenged record is absent only when at least half of the listed name servers answer.
    fn too_few_denials(&self) -> Option<Code> {
        let first = self.tally(&self.observation.servers);
        let few = !self.is_denial_signed() && !first.is_at_least_half(first.answering);
        (self.context.challenged && few).then_some(Code::PartiallyLame)
    }

    /// A server, of this zone or of one above, shows the value.
    fn still_shown(&self) -> Option<Code> {
        let confirmation = &self.observation.confirmation;
        let answers = [&self.observation.dissent, &confirmation.dissent, &self.observation.servers];
        let shown = answers.into_iter().any(|answers| self.tally(answers).shown);
        shown.then_some(Code::InconsistentServers)
    }

    /// The validation contradicts the absence, or did not work.
    fn validation_doubt(&self) -> Option<Code> {
        let validation = self.validation()?;
        match validation.security {
            Security::Bogus => Some(Code::DnssecBogus),
            Security::Secure if self.validation_shows(validation) => Some(Code::InconsistentServers),
            Security::Indeterminate if self.context.at_stake => Some(self.indeterminate_code(validation)),
            _ => None,
        }
    }

    /// The repeat over TCP contradicts the absence, or no server answered it.
    fn repeat_doubt(&self, again: &[ServerAnswer]) -> Option<Code> {
        let second = self.tally(again);
        match (second.shown, second.answering) {
            (true, _) => Some(Code::InconsistentServers),
            (false, 0) => Some(dominant_failure(again)),
            (false, _) => None,
        }
    }

    /// Fewer vantage points see the absence than the deployment requires.
    fn vantage_doubt(&self) -> Option<Code> {
        let required = if self.context.at_stake { self.observation.confirmation.quorum } else { 0 };
        (self.vantages_that_show(false) < required).then_some(Code::VantageDisagreement)
    }
}
