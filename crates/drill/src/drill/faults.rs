//! What can be broken, and how each fault is made and lifted.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fleet::Fleet;
use super::load::Shared;
use super::place::{Gates, LEASE, Place, Role};
use super::progress::{LEASES, Progress};
use crate::checker::{Database, Management};

/// The queue that is purged.
const QUEUE: &str = "deed.verification";
/// How long the management interface may take to be there for a purge.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL of a process, which is started again after a moment
    Kill,
    /// PostgreSQL ends at once and comes back
    PostgresRestart,
    /// PostgreSQL ends in a silence right after the read models moved, and is back before a lease runs out
    QuietCrash,
    /// RabbitMQ is stopped for a while
    RabbitStop,
    /// The work queue is purged
    Purge,
    /// Connections to PostgreSQL are reset
    CutPostgres,
    /// Connections to RabbitMQ are reset
    CutRabbit,
    /// Connections to PostgreSQL stand still for a while
    FreezePostgres,
    /// Connections to RabbitMQ stand still for a while
    FreezeRabbit,
    /// The process that holds a lease is stopped for longer than the lease, and continued
    StopLeader,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::PostgresRestart,
        Self::QuietCrash,
        Self::RabbitStop,
        Self::Purge,
        Self::CutPostgres,
        Self::CutRabbit,
        Self::FreezePostgres,
        Self::FreezeRabbit,
        Self::StopLeader,
    ];
}

/// A service behind the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Postgres,
    Rabbit,
}

/// One fault, with everything that was left to chance.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Kill {
        role: Role,
        which: usize,
        down: Duration,
    },
    PostgresRestart {
        down: Duration,
    },
    /// Of whoever holds the lease.
    KillLeader {
        lease: &'static str,
        down: Duration,
    },
    QuietCrash,
    RabbitStop {
        hard: bool,
        down: Duration,
    },
    Purge,
    /// All kinds of processes, or one.
    Cut {
        service: Service,
        role: Option<Role>,
    },
    Freeze {
        service: Service,
        role: Option<Role>,
        lasts: Duration,
    },
    StopLeader {
        lease: &'static str,
        lasts: Duration,
    },
}

impl Fault {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kill { .. } | Self::KillLeader { .. } => Kind::Kill,
            Self::PostgresRestart { .. } => Kind::PostgresRestart,
            Self::QuietCrash => Kind::QuietCrash,
            Self::RabbitStop { .. } => Kind::RabbitStop,
            Self::Purge => Kind::Purge,
            Self::Cut { service: Service::Postgres, .. } => Kind::CutPostgres,
            Self::Cut { service: Service::Rabbit, .. } => Kind::CutRabbit,
            Self::Freeze { service: Service::Postgres, .. } => Kind::FreezePostgres,
            Self::Freeze { service: Service::Rabbit, .. } => Kind::FreezeRabbit,
            Self::StopLeader { .. } => Kind::StopLeader,
        }
    }

    /// For the log.
    pub fn words(&self) -> String {
        let of = |role: &Option<Role>| role.map_or("every role", Role::word);
        match self {
            Self::Kill { role, which, down } => {
                format!("kill -9 of {}-{which}, down for {down:?}", role.word())
            }
            Self::KillLeader { lease, down } => {
                format!("kill -9 of the process with the lease {lease}, down for {down:?}")
            }
            Self::PostgresRestart { down } => format!("PostgreSQL stopped at once, down for {down:?}"),
            Self::RabbitStop { hard: true, down } => format!("RabbitMQ killed, down for {down:?}"),
            Self::RabbitStop { hard: false, down } => format!("RabbitMQ stopped, down for {down:?}"),
            Self::QuietCrash => {
                "PostgreSQL stopped at once in a silence, right after the read models moved".to_owned()
            }
            Self::Purge => format!("queue {QUEUE} purged"),
            Self::Cut { service, role } => format!("connections of {} to {service:?} cut", of(role)),
            Self::Freeze { service, role, lasts } => {
                format!("connections of {} to {service:?} frozen for {lasts:?}", of(role))
            }
            Self::StopLeader { lease, lasts } => {
                format!("SIGSTOP of the process with the lease {lease} for {lasts:?}")
            }
        }
    }

    /// Each kind once on its own: kills of each role, and of whoever holds each lease.
    pub fn singles(kind: Kind, outage: Duration, freeze: Duration) -> Vec<Self> {
        let (moment, every) = (Duration::from_secs(1), None);
        match kind {
            Kind::Kill => {
                let each = Role::ALL.map(|role| Self::Kill { role, which: 0, down: moment });
                each.into_iter()
                    .chain(LEASES.map(|lease| Self::KillLeader { lease, down: LEASE * 3 }))
                    .collect()
            }
            Kind::PostgresRestart => vec![Self::PostgresRestart { down: moment }],
            Kind::RabbitStop => vec![Self::RabbitStop { hard: false, down: outage }],
            Kind::QuietCrash => vec![Self::QuietCrash; 5],
            Kind::Purge => vec![Self::Purge],
            Kind::CutPostgres => vec![Self::Cut { service: Service::Postgres, role: every }],
            Kind::CutRabbit => vec![Self::Cut { service: Service::Rabbit, role: every }],
            Kind::FreezePostgres => {
                vec![Self::Freeze { service: Service::Postgres, role: every, lasts: freeze }]
            }
            Kind::FreezeRabbit => vec![Self::Freeze { service: Service::Rabbit, role: every, lasts: freeze }],
            Kind::StopLeader => LEASES.map(|lease| Self::StopLeader { lease, lasts: LEASE * 3 }).into(),
        }
    }

    /// One of a kind, as chance has it.
    pub fn random(kind: Kind, chance: &mut fastrand::Rng, outage: Duration, freeze: Duration) -> Self {
        let role = chance.choice(Role::ALL).unwrap_or(Role::Verifier);
        let some = chance.bool().then_some(role);
        let down = Duration::from_millis(chance.u64(200..4000));
        let lease = chance.choice(LEASES).unwrap_or("relay");
        match kind {
            Kind::Kill if chance.u8(0..3) == 0 => Self::KillLeader { lease, down },
            Kind::Kill => Self::Kill { role, which: chance.usize(0..role.replicas()), down },
            Kind::PostgresRestart => Self::PostgresRestart { down },
            Kind::RabbitStop => Self::RabbitStop { hard: chance.bool(), down: outage.mul_f64(chance.f64()) },
            Kind::QuietCrash => Self::QuietCrash,
            Kind::Purge => Self::Purge,
            Kind::CutPostgres => Self::Cut { service: Service::Postgres, role: some },
            Kind::CutRabbit => Self::Cut { service: Service::Rabbit, role: some },
            Kind::FreezePostgres => {
                Self::Freeze { service: Service::Postgres, role: some, lasts: freeze.mul_f64(chance.f64()) }
            }
            Kind::FreezeRabbit => {
                Self::Freeze { service: Service::Rabbit, role: some, lasts: freeze.mul_f64(chance.f64()) }
            }
            Kind::StopLeader => Self::StopLeader { lease, lasts: LEASE.mul_f64(1.5 + 2.0 * chance.f64()) },
        }
    }
}

/// Everything that can be broken.
#[derive(Clone)]
pub struct Ground {
    pub place: Arc<Place>,
    pub fleet: Arc<Mutex<Fleet>>,
    pub progress: Progress,
    pub management: Management,
    pub load: Arc<Shared>,
}

impl Ground {
    /// Makes the fault and lifts it. When it was made is told; it is lifted when this returns.
    pub async fn inflict(&self, fault: &Fault) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        match *fault {
            Fault::Kill { role, which, down } => {
                let members = self.fleet.lock().await.of(role);
                let member = *members.get(which).context("there is such a process")?;
                self.fleet.lock().await.kill(member)?;
                tokio::time::sleep(down).await;
                self.fleet.lock().await.launch(&self.place, member)?;
            }
            Fault::KillLeader { lease, down } => {
                let member = self.on_leader(lease, Fleet::kill).await?;
                tokio::time::sleep(down).await;
                self.fleet.lock().await.launch(&self.place, member)?;
            }
            Fault::PostgresRestart { down } => {
                let held = self.place.postgres.lock().await;
                let postgres = Arc::clone(&held);
                tokio::task::spawn_blocking(move || {
                    postgres.stop_immediate();
                    std::thread::park_timeout(down);
                    postgres.restart();
                })
                .await?;
            }
            Fault::QuietCrash => self.load.in_silence(self.quiet_crash()).await?,
            Fault::RabbitStop { hard, down } => {
                let mut rabbit = self.place.rabbit.lock().await;
                if hard {
                    rabbit.kill().await;
                } else {
                    rabbit.stop().await;
                }
                tokio::time::sleep(down).await;
                rabbit.start_again().await;
            }
            Fault::Purge => self.purge().await?,
            Fault::Cut { service, role } => {
                for proxy in self.proxies(service, role) {
                    proxy.cut();
                }
            }
            Fault::Freeze { service, role, lasts } => {
                for proxy in self.proxies(service, role) {
                    proxy.freeze();
                }
                tokio::time::sleep(lasts).await;
                for proxy in self.proxies(service, role) {
                    proxy.thaw();
                }
            }
            Fault::StopLeader { lease, lasts } => self.stop_leader(lease, lasts).await?,
        }
        Ok(begun)
    }

    fn proxies(&self, service: Service, role: Option<Role>) -> impl Iterator<Item = &deed_testkit::Proxy> {
        let gates = self.place.gates.iter().filter(move |gates| role.is_none_or(|role| gates.role == role));
        gates.map(move |Gates { postgres, rabbit, .. }| match service {
            Service::Postgres => postgres,
            Service::Rabbit => rabbit,
        })
    }

    /// What is derived is written without waiting for the disk: the last of it is lost when the server ends now.
    async fn quiet_crash(&self) -> anyhow::Result<()> {
        let database = Database::connect(&self.place.database).await?;
        let caught_up = "SELECT (SELECT max(position) FROM events)
                            = (SELECT position FROM checkpoints WHERE name = 'read-models')";
        // Read models that never get there are somebody else's finding.
        let deadline = Instant::now() + PATIENCE;
        while database.client().query_one(caught_up, &[]).await?.try_get::<_, Option<bool>>(0)? != Some(true)
            && Instant::now() < deadline
        {}
        let postgres = self.place.postgres.lock().await;
        let server = Arc::clone(&postgres);
        tokio::task::spawn_blocking(move || {
            server.stop_immediate();
            server.restart();
        })
        .await?;
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        // While the broker comes up, its queues are not all there yet.
        let _broker = self.place.rabbit.lock().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.management.purge(QUEUE).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn stop_leader(&self, lease: &str, lasts: Duration) -> anyhow::Result<()> {
        let leader = self.on_leader(lease, |fleet, leader| fleet.signal(leader, Signal::STOP)).await?;
        tokio::time::sleep(lasts).await;
        self.fleet.lock().await.signal(leader, Signal::CONT)
    }

    /// Does something to whoever holds a lease, once somebody does.
    async fn on_leader(
        &self,
        lease: &str,
        act: impl FnOnce(&mut Fleet, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // An owner is named by its process's id, then a part of its own.
            let pid = self.progress.owner(lease).and_then(|owner| owner.split('-').next()?.parse().ok());
            let mut fleet = self.fleet.lock().await;
            if let Some(leader) = pid.and_then(|pid| fleet.by_pid(pid)) {
                act(&mut fleet, leader)?;
                return Ok(leader);
            }
            drop(fleet);
            anyhow::ensure!(Instant::now() < deadline, "nobody holds the lease {lease}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lifts whatever may still be broken.
    pub async fn heal(&self) -> anyhow::Result<()> {
        for gates in &self.place.gates {
            for proxy in [&gates.postgres, &gates.rabbit] {
                proxy.thaw();
                proxy.accept();
            }
        }
        let mut fleet = self.fleet.lock().await;
        for member in 0..fleet.members.len() {
            fleet.signal(member, Signal::CONT)?;
        }
        fleet.supervise(&self.place).await
    }
}
