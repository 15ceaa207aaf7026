//! What a request about a name costs when 50 workspaces have claimed it and each had 500 checks, in comparison with a name
//! that was claimed once.
use std::time::Instant;

use chrono::{DateTime, Duration, Utc};
use deed_claims::{
    Challenge, CheckCause, CheckOutcome, CheckRecorded, ClaimId, ClaimInitiated, Clock as _, Event, Holder,
    OwnershipEvent, VerificationRequested,
};
use deed_diagnosis::{
    Evidence, Observation, Outcome, Reply, ServerAnswer, Signatures, SoaSeen, Statement, Transport, judge,
};
use deed_store::{Append, Metadata, StreamWrite, SystemClock, Version};

use crate::Services;
use crate::api_client::{ApiClient, domain};
use crate::deployment::{Deployment, Mode, stream};
use crate::figures::Figures;
use crate::rounds;

const CLAIMS: u64 = 50;
const CHECKS: u32 = 500;
/// Two names of the same workspace.
const LONG_NAME: u64 = 0;
const NEW_NAME: u64 = 500;
/// Requests of each kind and name in a round.
const REQUESTS: usize = 200;
/// The most that a request about the long name may cost, as a multiple of the other.
const BOUND: f64 = 3.0;
const TARGET: f64 = 1.5;

/// The requests that are measured.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Claim,
    History,
    Command,
}

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let deployment = Deployment::start(Mode::of(name), services, |site| site).await;
    let mut client = ApiClient::to(deployment.api(), &deployment.key).await;
    for n in [LONG_NAME, NEW_NAME] {
        assert_eq!(client.claim(n).await.status, 200, "the claim is refused");
    }
    fill(&deployment).await;
    deployment.in_view().await;
    let mut figures = Figures::of(name);
    for (kind, what) in [(Kind::Claim, "GET claim"), (Kind::History, "history"), (Kind::Command, "command")] {
        let mut ratios = vec![];
        let (mut long, mut new) = (0.0, 0.0);
        for _ in 0..rounds::rounds() {
            // In turn, so that both meet the same moments of the machine.
            let (mut of_long, mut of_new) = (vec![], vec![]);
            for _ in 0..REQUESTS {
                of_new.push(request(&mut client, kind, NEW_NAME).await);
                of_long.push(request(&mut client, kind, LONG_NAME).await);
            }
            (long, new) = (median(of_long), median(of_new));
            ratios.push(long / new);
        }
        figures.tell(format!("{what}, new name"), new, "ms");
        figures.tell(format!("{what}, {CLAIMS} claims × {CHECKS} checks"), long, "ms");
        figures.ratio(format!("{what}, ratio"), median(ratios), (BOUND, TARGET));
    }
    deployment.end().await;
    figures
}

/// Milliseconds of one request.
async fn request(client: &mut ApiClient, kind: Kind, n: u64) -> f64 {
    let path = format!("/v1/domains/claims/{}", domain(n));
    let begin = Instant::now();
    let answer = match kind {
        Kind::Claim => client.read(&path, n).await,
        Kind::History => client.read(&format!("{path}/history"), n).await,
        // The claim is open, so this decides and appends nothing.
        Kind::Command => client.claim(n).await,
    };
    assert_eq!(answer.status, 200, "the request is refused");
    begin.elapsed().as_secs_f64() * 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Appends the other claims and all checks to the long name.
async fn fill(deployment: &Deployment) {
    let stream = stream(LONG_NAME);
    let own = deployment.log.read_stream(&stream, Version(0), 10).await.expect("the stream");
    let first = own.iter().find_map(|recorded| match &recorded.event {
        Event::Ownership(OwnershipEvent::ClaimInitiated(first)) => Some(first.clone()),
        _ => None,
    });
    let first = first.expect("the claim that was just made");
    let mut version = own.last().expect("an event").version;
    let at = SystemClock.now();
    let claims: Vec<ClaimInitiated> = (1..CLAIMS).map(|n| of_another(&first, n)).collect();
    let begun = claims.iter().flat_map(|claim| [claim.clone().into(), requested(claim, at).into()]);
    let mut batches: Vec<Vec<Event>> = vec![begun.collect()];
    let check = check(&first.challenge, at);
    for attempt in 1..=CHECKS {
        let of =
            |claim: &ClaimInitiated| CheckRecorded { claim_id: claim.claim_id, attempt, ..check.clone() };
        batches.push(claims.iter().map(|claim| of(claim).into()).collect());
    }
    for events in batches {
        let added = u64::try_from(events.len()).expect("a small number");
        let writes = vec![StreamWrite { stream: stream.clone(), expected: version, events }];
        let append = Append { writes, receipt: None, metadata: Metadata::default(), at };
        deployment.log.append(append).await.expect("an append");
        version = Version(version.0 + added);
    }
}

/// The claim of another workspace on the same name.
fn of_another(first: &ClaimInitiated, n: u64) -> ClaimInitiated {
    let mut id = [9; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    ClaimInitiated {
        claim_id: ClaimId::from_bytes(id),
        holder: Holder::Workspace { workspace_id: format!("ws_other_{n}").parse().expect("a valid id") },
        ..first.clone()
    }
}

fn requested(claim: &ClaimInitiated, at: DateTime<Utc>) -> VerificationRequested {
    VerificationRequested {
        claim_id: claim.claim_id,
        attempt: 1,
        cause: CheckCause::First,
        expires_at: Some(claim.expires_at),
        at,
    }
}

/// A check that found no record, as four name servers say. The next one falls due after the measurement.
fn check(challenge: &Challenge, at: DateTime<Utc>) -> CheckRecorded {
    let observation = Observation {
        name: challenge.record_name.to_string(),
        zone: Some(domain(LONG_NAME)),
        servers: (1..=4).map(denial).collect(),
        queries: 9,
        took_ms: 40,
        vantage: "bench".to_owned(),
        ..Observation::default()
    };
    let diagnosis = match judge(challenge, &observation) {
        Outcome::Proven => None,
        Outcome::NotProven(diagnosis) => Some(diagnosis),
    };
    CheckRecorded {
        claim_id: ClaimId::from_bytes([0; 16]),
        attempt: 1,
        cause: CheckCause::Schedule,
        outcome: CheckOutcome::Absent,
        diagnosis,
        evidence: Box::new(Evidence::of(&observation, challenge)),
        holder_record: None,
        next_check_at: Some(at + Duration::days(1)),
        at,
    }
}

fn denial(n: u8) -> ServerAnswer {
    let soa = SoaSeen { owner: domain(LONG_NAME), serial: 7, negative_ttl: 300 };
    let reply = Reply::Message {
        rcode: 3,
        authoritative: true,
        truncated: false,
        ede: None,
        values: vec![],
        oversize: false,
        soa: Some(soa),
        statement: Statement::NoName,
        signatures: Signatures::None,
        plain: false,
    };
    let server = format!("ns{n}.{}", domain(LONG_NAME));
    ServerAnswer { server, address: Some([192, 0, 2, n].into()), transport: Transport::Udp, reply, ms: 12 }
}
