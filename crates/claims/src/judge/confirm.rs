//! The second look: what makes a match proof, and an absence sure.
use super::tally::{ended_by, said, silence};
use super::{Agreement, Case, Cause, Tally};
use crate::diagnosis::Code;
use crate::{AliasOrigin, Reply, Security, ServerAnswer, Validation, VantageAnswer};

pub(super) use crate::foreign::OURSELVES;

/// What a vantage says of a value; none when it does not answer.
pub(super) fn sees(answer: &VantageAnswer, wanted: &[u8]) -> Option<bool> {
    match &answer.reply {
        Reply::Message { rcode: 0 | 3, truncated: false, values, .. } => {
            Some(values.iter().any(|value| value == wanted))
        }
        _ => None,
    }
}

/// Whether a validated answer was an answer: a name that exists or does not.
fn answered(validation: &Validation) -> bool {
    matches!(validation.rcode, Some(0 | 3))
}

impl Case<'_> {
    fn validation(&self) -> Option<&Validation> {
        self.seen.confirmation.validation.as_ref()
    }

    fn validated(&self, validation: &Validation) -> bool {
        validation.values.iter().any(|value| value == self.wanted.value)
    }

    /// Servers show the value: whether there are enough of them and the second look agrees.
    pub(super) fn confirmed(&self, first: &Tally) -> Result<(), Cause> {
        let agreement = self.context.agreement;
        // Broken signatures explain whatever else is wrong, and are never accepted.
        if self.validation().is_some_and(|v| v.security == Security::Bogus) {
            return Err(Code::DnssecBogus.into());
        }
        if !first.suffices(agreement) {
            return Err(first.lacks(agreement).into());
        }
        self.own_alias()?;
        if let Some(validation) = self.validation() {
            let (shown, secure) = (self.validated(validation), validation.security == Security::Secure);
            if secure && shown {
                return Ok(());
            }
            // One server's unsigned word weighs no more for our having asked it ourselves.
            let denied = answered(validation) && !shown && (secure || validation.by != OURSELVES);
            if validation.security == Security::Indeterminate {
                return Err(self.unvalidated(validation).into());
            }
            if denied {
                let remembered = validation.by != OURSELVES;
                let code = if remembered { Code::StaleNegativeCache } else { Code::InconsistentServers };
                return Err(code.into());
            }
        }
        self.agreed(first, &self.seen.dissent)?;
        self.repeated()?;
        self.seen_elsewhere()
    }

    /// Whether the value may stand at the end of the aliases: a wildcard answers for every name below it, so
    /// the owner of the alias's target could prove names that the zone's owner never gave away.
    fn own_alias(&self) -> Result<(), Cause> {
        match self.seen.findings.alias_origin {
            AliasOrigin::Wildcard if !self.context.accept_wildcard => Err(Code::WildcardAnswer.into()),
            AliasOrigin::Unknown if !self.context.accept_wildcard => Err(Code::Timeout.into()),
            _ => Ok(()),
        }
    }

    /// Without signatures, a name that another holder has moves only when every name server that answers agrees, on the
    /// way to the name as well.
    fn agreed(&self, tally: &Tally, dissent: &[ServerAnswer]) -> Result<(), Cause> {
        let all = self.context.held_by_another || self.context.agreement == Agreement::Strict;
        if all && !(tally.suffices(Agreement::Strict) && dissent.is_empty()) {
            return Err(Code::InconsistentServers.into());
        }
        // Whoever runs one of the servers may keep the others from answering.
        if self.context.held_by_another && !tally.is_half(tally.showing) {
            return Err(Code::PartiallyLame.into());
        }
        Ok(())
    }

    /// Why nobody could tell whether the zone is signed. That is not the same as unsigned: whoever can keep the keys from
    /// us must gain nothing by it.
    fn unvalidated(&self, validation: &Validation) -> Code {
        let plain = |answer: &ServerAnswer| matches!(&answer.reply, Reply::Message { plain: true, .. });
        let mut answering = self.seen.servers.iter().filter(|answer| said(answer).is_some());
        match ended_by(self.seen) {
            Some(code @ (Code::BudgetExhausted | Code::Internal)) => code,
            // A known-good name shares the trouble, or our clock is wrong.
            _ if validation.ours || validation.ede.is_some() => Code::Internal,
            // A resolver that validates asks with EDNS and hears nothing.
            _ if validation.by != OURSELVES && answering.all(plain) => Code::EdnsBroken,
            _ => Code::DnssecIndeterminate,
        }
    }

    /// The servers were asked once more, over TCP, and say the same.
    fn repeated(&self) -> Result<(), Cause> {
        let Some(again) = &self.seen.confirmation.repeated else {
            // Nothing but the limits of a check keeps it from its second look.
            return Err(ended_by(self.seen).unwrap_or(Code::BudgetExhausted).into());
        };
        let second = self.tally(again);
        if second.suffices(self.context.agreement) {
            return self.agreed(&second, &self.seen.confirmation.dissent);
        }
        let code = if second.answering > 0 {
            second.lacks(self.context.agreement)
        } else {
            ended_by(self.seen).unwrap_or_else(|| silence(again))
        };
        Err(code.into())
    }

    /// Enough places elsewhere see the value, where the deployment asks for that.
    fn seen_elsewhere(&self) -> Result<(), Cause> {
        let confirmation = &self.seen.confirmation;
        let seeing =
            confirmation.vantages.iter().filter(|v| sees(v, self.wanted.value) == Some(true)).count();
        if seeing >= confirmation.quorum { Ok(()) } else { Err(Code::VantageDisagreement.into()) }
    }

    /// What keeps an absence with this cause from being sure; none when it is, or need not be.
    pub(super) fn doubt(&self, cause: Code) -> Option<Code> {
        if !cause.is_absence() {
            return None;
        }
        let confirmation = &self.seen.confirmation;
        let first = self.tally(&self.seen.servers);
        let signed = self.validation().is_some_and(|v| v.security == Security::Secure && answered(v));
        if self.context.challenged && !signed && !first.is_half(first.answering) {
            return Some(Code::PartiallyLame);
        }
        let on_the_way = [&self.seen.dissent, &confirmation.dissent];
        let looks = on_the_way.into_iter().chain([&self.seen.servers]);
        if looks.into_iter().any(|answers| self.tally(answers).shown) {
            return Some(Code::InconsistentServers);
        }
        if let Some(validation) = self.validation() {
            match validation.security {
                Security::Bogus => return Some(Code::DnssecBogus),
                // Signed, and it says the contrary.
                Security::Secure if self.validated(validation) => return Some(Code::InconsistentServers),
                Security::Secure if answered(validation) => return None,
                Security::Indeterminate if self.context.at_stake => {
                    return Some(self.unvalidated(validation));
                }
                _ => {}
            }
        }
        match &confirmation.repeated {
            Some(again) => {
                let second = self.tally(again);
                if second.shown {
                    return Some(Code::InconsistentServers);
                }
                if second.answering == 0 {
                    return Some(silence(again));
                }
            }
            None if self.context.at_stake => return Some(Code::BudgetExhausted),
            None => return None,
        }
        let denying =
            confirmation.vantages.iter().filter(|v| sees(v, self.wanted.value) == Some(false)).count();
        let wanted = if self.context.at_stake { confirmation.quorum } else { 0 };
        (denying < wanted).then_some(Code::VantageDisagreement)
    }
}
