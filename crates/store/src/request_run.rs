//! When an idempotent request starts, and what is answered otherwise: the rule of every backend.
use chrono::{DateTime, Utc};

use crate::{Begin, RequestKey, StoredResponse};

/// A call that begins a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginRequest {
    /// The request.
    pub request: RequestKey,
    /// Identifies its content.
    pub fingerprint: [u8; 32],
    /// The time of the call.
    pub now: DateTime<Utc>,
    /// When the run counts as dead unless it has a response.
    pub locked_until: DateTime<Utc>,
    /// Runs that began before are forgotten, unless they are still under way.
    pub forget_before: DateTime<Utc>,
}

/// The last run of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRun {
    /// Identifies the content of the request.
    pub fingerprint: [u8; 32],
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// When it counts as dead unless it has a response.
    pub locked_until: DateTime<Utc>,
    /// The response, once there is one.
    pub response: Option<StoredResponse>,
}

impl RequestRun {
    /// The run that a call starts.
    pub fn of(begin: &BeginRequest) -> Self {
        Self {
            fingerprint: begin.fingerprint,
            begun_at: begin.now,
            locked_until: begin.locked_until,
            response: None,
        }
    }

    /// The reply to a call while this is the last run; none when the call starts a run that replaces this one.
    pub fn reply_to(&self, begin: &BeginRequest) -> Option<Begin> {
        let is_same = self.fingerprint == begin.fingerprint;
        let is_dead = self.response.is_none() && self.locked_until <= begin.now;
        let is_old = self.begun_at < begin.forget_before;
        if (is_old && (is_dead || self.response.is_some())) || (is_dead && is_same) {
            return None;
        }
        Some(match &self.response {
            _ if !is_same => Begin::Mismatch,
            Some(response) => Begin::Answered(response.clone()),
            None => Begin::Running,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    /// Begins at a second; locked for a minute, remembered for a day.
    fn begin(fingerprint: u8, second: i64) -> BeginRequest {
        BeginRequest {
            request: RequestKey { key_id: KeyId("key_1".into()), idempotency_key: "k".to_owned() },
            fingerprint: [fingerprint; 32],
            now: at(second),
            locked_until: at(second + 60),
            forget_before: at(second - 86_400),
        }
    }

    fn answered() -> (RequestRun, StoredResponse) {
        let response = StoredResponse { status: 200, body: "done".to_owned() };
        (RequestRun { response: Some(response.clone()), ..RequestRun::of(&begin(1, 0)) }, response)
    }

    #[test]
    fn run_in_progress_is_replaced_when_dead() {
        let run = RequestRun::of(&begin(1, 0));
        assert_eq!(run.reply_to(&begin(1, 59)), Some(Begin::Running));
        assert_eq!(run.reply_to(&begin(1, 60)), None);
        assert_eq!(run.reply_to(&begin(2, 59)), Some(Begin::Mismatch));
        assert_eq!(run.reply_to(&begin(2, 60)), Some(Begin::Mismatch));
        assert_eq!(run.reply_to(&begin(2, 86_401)), None);
    }

    #[test]
    fn response_is_repeated_until_it_is_forgotten() {
        let (run, response) = answered();
        assert_eq!(run.reply_to(&begin(1, 86_400)), Some(Begin::Answered(response)));
        assert_eq!(run.reply_to(&begin(2, 86_400)), Some(Begin::Mismatch));
        assert_eq!(run.reply_to(&begin(1, 86_401)), None);
        assert_eq!(run.reply_to(&begin(2, 86_401)), None);
    }

    #[test]
    fn old_run_in_progress_is_not_forgotten() {
        let locked_until = at(200_000);
        let run = RequestRun { locked_until, ..RequestRun::of(&begin(1, 0)) };
        assert_eq!(run.reply_to(&begin(1, 100_000)), Some(Begin::Running));
    }
}
