//! Keeps the claim's own value in the capped evidence, wherever it was seen.
use crate::escape::{escape_bytes, printable};
use crate::evidence::{MAX_ROWS, MAX_VALUES};
use crate::{Evidence, ExpectedRecord, Observation, Reply, ServerAnswer, ServerEvidence};

/// The record value of a claim.
struct ClaimValue<'a> {
    value: &'a [u8],
    /// The value in evidence: printable and not cut, since Deed made it.
    text: String,
}

impl<'a> ClaimValue<'a> {
    fn of(expected: ExpectedRecord<'a>) -> Self {
        let value = expected.value.as_bytes();
        Self { value, text: escape_bytes(value, usize::MAX) }
    }

    fn is_among(&self, values: &[Vec<u8>]) -> bool {
        values.iter().any(|value| value == self.value)
    }

    /// Keeps the value uncut if it was seen: at its place among the kept values, or else at the last place.
    fn keep(&self, seen: &[Vec<u8>], kept: &mut Vec<String>) {
        if !self.is_among(seen) {
            return;
        }
        let cut = printable(self.value);
        if let Some(text) = kept.iter_mut().find(|text| **text == cut) {
            text.clone_from(&self.text);
        } else {
            kept.truncate(MAX_VALUES - 1);
            kept.push(self.text.clone());
        }
    }

    fn keep_for_servers(&self, seen: &[ServerAnswer], kept: &mut [ServerEvidence]) {
        let shows = |answer: &&ServerAnswer| self.is_among(values(&answer.reply));
        for (answer, kept) in seen.iter().zip(kept.iter_mut()) {
            self.keep(values(&answer.reply), &mut kept.values);
        }
        // If only a server beyond the kept rows shows the value, it replaces the last row.
        if let (None, Some(answer), Some(last)) =
            (seen.iter().take(MAX_ROWS).find(shows), seen.iter().skip(MAX_ROWS).find(shows), kept.last_mut())
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
    /// The evidence of an observation for a claim: its value is kept wherever it was seen, whatever other values there
    /// are.
    pub fn of<'a>(seen: &Observation, expected: impl Into<ExpectedRecord<'a>>) -> Self {
        let own = ClaimValue::of(expected.into());
        let mut kept = Self::from(seen);
        let confirmation = &seen.confirmation;
        own.keep_for_servers(&seen.servers, &mut kept.servers);
        own.keep_for_servers(confirmation.repeated.as_deref().unwrap_or_default(), &mut kept.confirmed_by);
        if let (Some(seen), Some(kept)) = (&confirmation.validation, &mut kept.validation) {
            own.keep(&seen.values, &mut kept.values);
        }
        for (seen, kept) in confirmation.vantages.iter().zip(&mut kept.vantages) {
            own.keep(values(&seen.reply), &mut kept.values);
        }
        kept
    }

    /// Whether any server or resolver showed the value of a claim.
    pub fn shows<'a>(&self, expected: impl Into<ExpectedRecord<'a>>) -> bool {
        let own = ClaimValue::of(expected.into()).text;
        let servers = self.servers.iter().chain(&self.confirmed_by).map(|server| &server.values);
        let validation = self.validation.iter().map(|validation| &validation.values);
        let vantages = self.vantages.iter().map(|vantage| &vantage.values);
        servers.chain(validation).chain(vantages).flatten().any(|value| *value == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Signatures, Statement, Transport};

    const TOKEN: &str = "aeaqcaibaeaqcaibaeaqcaibaeaqcaib";
    const RECORD: ExpectedRecord<'static> = ExpectedRecord {
        name: "_deed.acme.com",
        value: "deed-domain-claim=aeaqcaibaeaqcaibaeaqcaibaeaqcaib",
        token: TOKEN,
    };

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

    fn observed(servers: Vec<ServerAnswer>) -> Observation {
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
    fn keeps_own_value_at_any_place_of_an_answer() {
        for place in [0, 2, 3, 80] {
            let mut values = others(80);
            values.insert(place, RECORD.value.as_bytes().to_vec());
            let evidence = Evidence::of(&observed(vec![server(others(80)), server(values)]), RECORD);
            assert!(evidence.shows(RECORD), "at place {place}");
            assert_eq!(evidence.servers[1].values.len(), MAX_VALUES);
            assert_eq!(evidence.servers[0].values, ["other 00", "other 01", "other 02"]);
        }
    }

    #[test]
    fn keeps_own_value_of_any_server() {
        for place in [0, MAX_ROWS - 1, MAX_ROWS, MAX_ROWS + 9] {
            let mut servers = vec![server(others(1)); MAX_ROWS + 9];
            servers.insert(place, server(vec![RECORD.value.as_bytes().to_vec()]));
            let evidence = Evidence::of(&observed(servers.clone()), RECORD);
            assert!(evidence.shows(RECORD), "of server {place}");
            assert_eq!(evidence.servers.len(), MAX_ROWS);
            let mut again = observed(vec![]);
            again.confirmation.repeated = Some(servers);
            assert!(Evidence::of(&again, RECORD).shows(RECORD), "the second time, of server {place}");
        }
    }

    #[test]
    fn distinguishes_values_that_differ_at_the_end() {
        let value = format!("{}{TOKEN}", "long".repeat(40));
        let own = ExpectedRecord { value: &value, ..RECORD };
        let other = value.replace('a', "b");
        let evidence = Evidence::of(&observed(vec![server(vec![value.as_bytes().to_vec()])]), own);
        assert!(evidence.shows(own));
        assert!(!evidence.shows(ExpectedRecord { value: &other, ..RECORD }));
    }

    #[test]
    fn does_not_accept_a_piece_of_the_value() {
        let piece = RECORD.value.as_bytes()[..40].to_vec();
        let evidence = Evidence::of(&observed(vec![server(vec![piece])]), RECORD);
        assert!(!evidence.shows(RECORD));
    }
}
