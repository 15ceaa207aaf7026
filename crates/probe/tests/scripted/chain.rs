//! A signed root, top-level domain and domain, with an optional attacker in between, and what a probe reports of
//! them.
use std::sync::Arc;

use deed_diagnosis::{Observation, Security, Validation};
use deed_probe::{ProbeConfig, Prober, Question};
use hickory_proto::op::Message;
use hickory_proto::rr::Record;

use crate::records::{a, ns, soa};
use crate::signed::{Denial, Signed};
use crate::world::{Behaviour, ReceivedQuery, ScriptedServers, World};

pub const AT: &str = "_deed.acme.test";

/// The root, `test` and `acme.test`; each has the DS record of the next one.
pub struct Chain {
    pub root: Signed,
    pub test: Signed,
    pub acme: Signed,
}

pub fn records_of_acme(more: Vec<Record>) -> Vec<Record> {
    let mut all = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    all.extend(more);
    all
}

pub fn chain_of(acme: Signed, vouched: bool, denial: Denial) -> Chain {
    let mut records = vec![
        ns("test", "ns.test"),
        a("ns.test", "127.0.0.3"),
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("sister.test", "ns1.sister.test"),
        a("ns1.sister.test", "127.0.0.5"),
    ];
    records.extend(vouched.then(|| acme.ds()));
    let test = Signed::new("test", records).denying(denial);
    let root = Signed::new(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3"), test.ds()]);
    Chain { root, test, acme }
}

pub fn chain(more: Vec<Record>) -> Chain {
    chain_of(Signed::new("acme.test", records_of_acme(more)), true, Denial::Nsec)
}

/// Changes a server's answer to a query.
pub type Attack = Arc<dyn Fn(&ReceivedQuery, Message) -> Message + Send + Sync>;

pub struct SignedWorld {
    pub world: World,
    pub anchor: String,
}

impl Chain {
    pub async fn listen(self) -> SignedWorld {
        self.attacked(|_, reply| reply).await
    }

    pub async fn attacked(
        self,
        attack: impl Fn(&ReceivedQuery, Message) -> Message + Send + Sync + 'static,
    ) -> SignedWorld {
        self.with_servers(ScriptedServers::default(), attack).await
    }

    pub async fn with_servers(
        self,
        servers: ScriptedServers,
        attack: impl Fn(&ReceivedQuery, Message) -> Message + Send + Sync + 'static,
    ) -> SignedWorld {
        let anchor = self.root.anchor();
        let attack: Attack = Arc::new(attack);
        let play = |zone: Signed| {
            let attack = Arc::clone(&attack);
            move |seen: &ReceivedQuery| -> Behaviour { attack(seen, zone.answer(&seen.message)).into() }
        };
        let world = servers
            .with("127.0.0.2", play(self.root))
            .with("127.0.0.3", play(self.test))
            .with("127.0.0.4", play(self.acme))
            .listen()
            .await;
        SignedWorld { world, anchor }
    }
}

impl SignedWorld {
    pub fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    pub fn prober_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
        self.world.prober_with(|config| {
            config.trust_anchor = Some(self.anchor.parse().unwrap());
            change(config);
        })
    }

    pub async fn probe(&self) -> Observation {
        probe_with(&self.prober(), false).await
    }

    /// A probe that may cost a holding.
    pub async fn probe_for_absence(&self) -> Observation {
        probe_with(&self.prober(), true).await
    }
}

pub async fn probe_with(prober: &Prober, confirm_absence: bool) -> Observation {
    let question = Question {
        name: AT.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence,
        apex: Some("acme.test".into()),
        route: None,
    };
    prober.probe(question).await
}

pub fn validation(seen: &Observation) -> &Validation {
    seen.confirmation.validation.as_ref().unwrap_or_else(|| panic!("{seen:?}"))
}

pub fn security(seen: &Observation) -> Security {
    validation(seen).security
}

/// The code of the reason, with its text for the message of a failed assertion.
pub fn reason(seen: &Observation) -> (Security, u16, String) {
    let ede = validation(seen).ede.clone().unwrap_or_else(|| panic!("{seen:?}"));
    (security(seen), ede.code, String::from_utf8(ede.text).unwrap())
}

pub fn no_data(zone: &str, mut reply: Message) -> Message {
    reply.answers.clear();
    reply.authorities = vec![soa(zone)];
    reply
}
