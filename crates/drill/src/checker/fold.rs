//! An independent fold of the events into the rows that the read models have to contain.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Micros;
use super::payload::{ClaimEvent, Payload};

/// The expected state of all names.
#[derive(Debug, Default)]
pub struct ExpectedState {
    /// The streams of names.
    pub streams: BTreeMap<String, ExpectedStream>,
}

/// The expected state of one name.
#[derive(Debug, Default)]
pub struct ExpectedStream {
    /// Events folded.
    pub version: i64,
    /// The claim whose holder has the name.
    pub holding: Option<String>,
    /// Its claims. Of ended claims only the newest of each holder is kept, up to a limit.
    pub claims: BTreeMap<String, ExpectedClaim>,
}

/// One claim.
#[derive(Debug, Clone, Default)]
pub struct ExpectedClaim {
    pub holder: String,
    pub workspace: String,
    pub app: Option<String>,
    pub name: String,
    pub scope: String,
    pub initiated_at: Micros,
    /// The last settled attempt.
    pub settled: i64,
    /// The next check.
    pub pending: Option<PendingCheck>,
    /// The deadline of an unproven claim.
    pub expires_at: Option<Micros>,
    /// Whether it was ever proven.
    pub proven: bool,
    /// The claim of the holder that it contests.
    pub contests: Option<String>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    pub status: &'static str,
}

/// A pending check.
#[derive(Debug, Clone, Copy)]
pub struct PendingCheck {
    pub attempt: i64,
    pub due_at: Micros,
    /// The event itself requested the check, so its row falls due later by the visibility time-out.
    pub announced: bool,
}

/// The limit of ended claims: this many that were proven, and as many that were not.
const ENDED_KEPT: usize = 50;

/// Final statuses.
const OVER: [&str; 7] = ["expired", "cancelled", "refused", "transferred", "released", "lapsed", "revoked"];

impl ExpectedClaim {
    /// Whether it is not ended.
    pub fn is_open(&self) -> bool {
        !OVER.contains(&self.status)
    }

    /// Whether its holder has the name.
    pub fn is_held(&self) -> bool {
        matches!(self.status, "verified" | "at_risk")
    }

    fn schedule(&mut self, at: Option<chrono::DateTime<chrono::Utc>>) {
        let attempt = self.pending.map_or(self.settled, |pending| pending.attempt) + 1;
        self.pending = at.map(|at| PendingCheck { attempt, due_at: at.timestamp_micros(), announced: false });
    }

    fn end(&mut self, status: &'static str, at: Micros) {
        self.status = status;
        self.ended_at = Some(at);
        self.pending = None;
        self.expires_at = None;
    }

    /// The rows of due work: kind, attempt, time.
    pub fn due(&self, visibility: Micros) -> Vec<(&'static str, i64, Micros)> {
        let check = self.pending.filter(|_| self.is_open()).map(|pending| {
            let later = if pending.announced { visibility } else { 0 };
            ("check", pending.attempt, pending.due_at + later)
        });
        check.into_iter().chain(self.expires_at.map(|at| ("expire", 0, at))).collect()
    }
}

impl ExpectedState {
    /// Folds one more event.
    pub fn fold(&mut self, event: &ClaimEvent<'_>) {
        let stream = self.streams.entry(event.row.stream.clone()).or_default();
        stream.version = event.row.version;
        stream.fold(event);
    }
}

impl ExpectedStream {
    fn fold(&mut self, event: &ClaimEvent<'_>) {
        let (kind, payload, id) = (event.row.kind.as_str(), &event.payload, event.claim());
        match kind {
            "ClaimInitiated" => {
                let claim = initiated(payload);
                self.claims.retain(|_, old| old.is_open() || old.holder != claim.holder);
                self.claims.insert(id.to_owned(), claim);
                return;
            }
            "OwnershipGranted" => self.holding = Some(id.to_owned()),
            "OwnershipEnded" if self.holding.as_deref() == Some(id) => self.holding = None,
            _ => {}
        }
        if let Some(claim) = self.claims.get_mut(id).filter(|claim| claim.is_open()) {
            apply_event(claim, kind, payload, event.at());
            if !claim.is_open() {
                let proven = claim.proven;
                self.forget_ended(id, proven);
            }
        }
    }

    /// Drops ended claims beyond the limit: of the workspace with the most, the one that ended first. The
    /// latest one stays, and holders with an open contest.
    fn forget_ended(&mut self, latest: &str, proven: bool) {
        let contested: BTreeSet<String> = self
            .claims
            .values()
            .filter(|c| c.status == "contested")
            .filter_map(|c| c.contests.clone())
            .collect();
        loop {
            let of_kind = || self.claims.iter().filter(|(_, c)| !c.is_open() && c.proven == proven);
            if of_kind().count() <= ENDED_KEPT {
                return;
            }
            let free: Vec<(&String, &ExpectedClaim)> =
                of_kind().filter(|(id, _)| *id != latest && !contested.contains(*id)).collect();
            let share =
                |of: &ExpectedClaim| free.iter().filter(|(_, claim)| claim.workspace == of.workspace).count();
            let first = free.iter().min_by_key(|(id, c)| (Reverse(share(c)), c.ended_at, (*id).clone()));
            let Some(id) = first.map(|(id, _)| (*id).clone()) else { return };
            self.claims.remove(&id);
        }
    }
}

fn initiated(payload: &Payload) -> ExpectedClaim {
    let holder = payload.holder.clone().unwrap_or_default();
    // `{"workspace": {…}}` or `{"app": {…}}`
    let inner = holder.as_object().and_then(|kinds| kinds.values().next()).cloned().unwrap_or_default();
    let word = |key: &str| inner.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    ExpectedClaim {
        holder: holder.to_string(),
        workspace: word("workspaceId").unwrap_or_default(),
        app: word("appId"),
        name: payload.name.clone().unwrap_or_default(),
        scope: payload.scope.clone().unwrap_or_default(),
        initiated_at: payload.at.timestamp_micros(),
        expires_at: payload.expires_at.map(|at| at.timestamp_micros()),
        status: "pending",
        ..ExpectedClaim::default()
    }
}

fn apply_event(claim: &mut ExpectedClaim, kind: &str, payload: &Payload, at: Micros) {
    match kind {
        "VerificationRequested" => {
            if claim.status == "pending" && payload.expires_at.is_some() {
                claim.status = "verifying";
                claim.expires_at = payload.expires_at.map(|at| at.timestamp_micros());
            }
            let announced = payload.cause.as_deref() != Some("schedule");
            claim.pending =
                Some(PendingCheck { attempt: payload.attempt.unwrap_or_default(), due_at: at, announced });
        }
        "CheckRecorded" => {
            claim.settled = payload.attempt.unwrap_or_default();
            claim.pending = None;
            claim.schedule(payload.next_check_at);
        }
        "DomainVerified" => {
            // An intermediate status within one append.
            claim.status = "verifying";
            claim.proven = true;
            claim.expires_at = None;
        }
        "ContestOpened" => {
            claim.status = "contested";
            claim.contests.clone_from(&payload.holder_claim_id);
            claim.schedule(payload.next_check_at);
        }
        "ContestResolved" if payload.resolution.as_deref() == Some("granted") => claim.status = "verifying",
        "OwnershipGranted" => {
            claim.status = "verified";
            claim.schedule(payload.next_check_at);
        }
        "OwnershipEnded" => {
            let status = match payload.reason.as_deref() {
                Some("transferred") => "transferred",
                Some("released") => "released",
                Some("lapsed") => "lapsed",
                _ => "revoked",
            };
            claim.end(status, at);
        }
        "ProofMissing" if claim.is_held() => claim.status = "at_risk",
        "ProofRestored" if claim.is_held() => claim.status = "verified",
        "ClaimExpired" => claim.end("expired", at),
        "ClaimCancelled" => claim.end("cancelled", at),
        // A contest that was not granted.
        "ContestResolved" | "ClaimRefused" => claim.end("refused", at),
        _ => {}
    }
}
