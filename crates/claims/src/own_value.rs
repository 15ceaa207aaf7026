//! That evidence, which keeps a few values of each server, keeps the claim's own wherever it was seen.
use crate::escape::{escape_bytes, printable};
use crate::evidence::{ROWS, VALUES};
use crate::{Challenge, Evidence, Observation, Reply, ServerAnswer, ServerEvidence};

/// The value that a claim looks for.
struct Own<'a> {
    value: &'a [u8],
    /// As evidence has it: printable, and whole. It is ours, so it needs no cap.
    text: String,
}

impl<'a> Own<'a> {
    fn of(challenge: &'a Challenge) -> Self {
        let value = challenge.record_value.as_bytes();
        Self { value, text: escape_bytes(value, usize::MAX) }
    }

    fn is_among(&self, seen: &[Vec<u8>]) -> bool {
        seen.iter().any(|value| value == self.value)
    }

    /// Has it among the values kept of those that were seen, and whole: in its own place, or else in that of the last.
    fn keep(&self, seen: &[Vec<u8>], kept: &mut Vec<String>) {
        if !self.is_among(seen) {
            return;
        }
        let cut = printable(self.value);
        if let Some(text) = kept.iter_mut().find(|text| **text == cut) {
            text.clone_from(&self.text);
        } else {
            kept.truncate(VALUES - 1);
            kept.push(self.text.clone());
        }
    }

    fn keep_of_servers(&self, seen: &[ServerAnswer], kept: &mut [ServerEvidence]) {
        let shows = |answer: &&ServerAnswer| self.is_among(values(&answer.reply));
        for (answer, kept) in seen.iter().zip(kept.iter_mut()) {
            self.keep(values(&answer.reply), &mut kept.values);
        }
        // A server beyond those that are kept takes the last one's row, where it alone shows the value.
        if let (None, Some(answer), Some(last)) =
            (seen.iter().take(ROWS).find(shows), seen.iter().skip(ROWS).find(shows), kept.last_mut())
        {
            *last = answer.into();
            self.keep(values(&answer.reply), &mut last.values);
        }
    }
}

fn values(reply: &Reply) -> &[Vec<u8>] {
    match reply {
        Reply::Message { values, .. } => values,
        Reply::Fault(_) | Reply::Blocked => &[],
    }
}

impl Evidence {
    /// What is kept of a look for a claim's record: where the claim's own value was seen it is kept, whatever stands
    /// beside it.
    pub fn of(seen: &Observation, challenge: &Challenge) -> Self {
        let own = Own::of(challenge);
        let mut kept = Self::from(seen);
        let confirmation = &seen.confirmation;
        own.keep_of_servers(&seen.servers, &mut kept.servers);
        own.keep_of_servers(confirmation.repeated.as_deref().unwrap_or_default(), &mut kept.confirmed_by);
        if let (Some(seen), Some(kept)) = (&confirmation.validation, &mut kept.validation) {
            own.keep(&seen.values, &mut kept.values);
        }
        for (seen, kept) in confirmation.vantages.iter().zip(&mut kept.vantages) {
            own.keep(values(&seen.reply), &mut kept.values);
        }
        kept
    }

    /// Whether any server or resolver that was asked for a claim's record showed its value.
    pub fn shows(&self, challenge: &Challenge) -> bool {
        let own = Own::of(challenge).text;
        let servers = self.servers.iter().chain(&self.confirmed_by).map(|server| &server.values);
        let validation = self.validation.iter().map(|validation| &validation.values);
        let vantages = self.vantages.iter().map(|vantage| &vantage.values);
        servers.chain(validation).chain(vantages).flatten().any(|value| *value == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChallengeTemplates, Scope, Signatures, Statement, Token, Transport};

    fn challenge(value: Option<&str>) -> Challenge {
        let templates = ChallengeTemplates::default().with(None, value, None, None).unwrap();
        templates.challenge(Scope::Apex, &"acme.com".parse().unwrap(), Token::from_bytes([1; 20]))
    }

    fn server(values: Vec<Vec<u8>>) -> ServerAnswer {
        ServerAnswer {
            server: "ns.acme.com".to_owned(),
            address: None,
            transport: Transport::Udp,
            reply: Reply::Message {
                rcode: 0,
                authoritative: true,
                truncated: false,
                ede: None,
                values,
                oversize: false,
                soa: None,
                statement: Statement::Values,
                signatures: Signatures::None,
                plain: false,
            },
            ms: 1,
        }
    }

    fn seen(servers: Vec<ServerAnswer>) -> Observation {
        Observation {
            name: "_deed.acme.com".to_owned(),
            servers,
            queries: 1,
            took_ms: 1,
            vantage: "test".to_owned(),
            ..Observation::default()
        }
    }

    fn others(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("other {n:02}").into_bytes()).collect()
    }

    #[test]
    fn own_value_is_kept_at_any_place_of_an_answer() {
        let challenge = challenge(None);
        for place in [0, 2, 3, 80] {
            let mut values = others(80);
            values.insert(place, challenge.record_value.as_bytes().to_vec());
            let evidence = Evidence::of(&seen(vec![server(others(80)), server(values)]), &challenge);
            assert!(evidence.shows(&challenge), "at place {place}");
            assert_eq!(evidence.servers[1].values.len(), VALUES);
            assert_eq!(evidence.servers[0].values, ["other 00", "other 01", "other 02"]);
        }
    }

    #[test]
    fn own_value_is_kept_of_any_server() {
        let challenge = challenge(None);
        for place in [0, ROWS - 1, ROWS, ROWS + 9] {
            let mut servers = vec![server(others(1)); ROWS + 9];
            servers.insert(place, server(vec![challenge.record_value.as_bytes().to_vec()]));
            let evidence = Evidence::of(&seen(servers.clone()), &challenge);
            assert!(evidence.shows(&challenge), "of server {place}");
            assert_eq!(evidence.servers.len(), ROWS);
            let mut again = seen(vec![]);
            again.confirmation.repeated = Some(servers);
            assert!(Evidence::of(&again, &challenge).shows(&challenge), "the second time, of server {place}");
        }
    }

    #[test]
    fn values_that_differ_at_their_end_are_told_apart() {
        let template = format!("{}{{token}}", "long".repeat(40));
        let own = challenge(Some(&template));
        let mut other = own.clone();
        other.record_value = own.record_value.replace('a', "b").into();
        let evidence = Evidence::of(&seen(vec![server(vec![own.record_value.as_bytes().to_vec()])]), &own);
        assert!(evidence.shows(&own));
        assert!(!evidence.shows(&other));
    }

    #[test]
    fn a_piece_of_the_value_is_not_the_value() {
        let challenge = challenge(None);
        let piece = challenge.record_value.as_bytes()[..40].to_vec();
        let evidence = Evidence::of(&seen(vec![server(vec![piece])]), &challenge);
        assert!(!evidence.shows(&challenge));
    }
}
