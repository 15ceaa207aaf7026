//! Faults: how each one is injected and lifted.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fleet::Fleet;
use super::infrastructure::{Infrastructure, LEASE, Role, RoleProxies};
use super::load::LoadContext;
use super::progress::{LEASES, Progress};
use crate::checker::{DatabaseConnection, Management};

/// The queue to purge.
const QUEUE: &str = "deed.verification";
/// The timeout for a purge and for finding a lease owner.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
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

impl FaultKind {
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

/// A fault with its parameters.
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
    /// Of the owner of the lease.
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
    /// All roles, or one.
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
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { .. } | Self::KillLeader { .. } => FaultKind::Kill,
            Self::PostgresRestart { .. } => FaultKind::PostgresRestart,
            Self::QuietCrash => FaultKind::QuietCrash,
            Self::RabbitStop { .. } => FaultKind::RabbitStop,
            Self::Purge => FaultKind::Purge,
            Self::Cut { service: Service::Postgres, .. } => FaultKind::CutPostgres,
            Self::Cut { service: Service::Rabbit, .. } => FaultKind::CutRabbit,
            Self::Freeze { service: Service::Postgres, .. } => FaultKind::FreezePostgres,
            Self::Freeze { service: Service::Rabbit, .. } => FaultKind::FreezeRabbit,
            Self::StopLeader { .. } => FaultKind::StopLeader,
        }
    }

    /// For the log.
    pub fn description(&self) -> String {
        let of = |role: &Option<Role>| role.map_or("every role", Role::name);
        match self {
            Self::Kill { role, which, down } => {
                format!("kill -9 of {}-{which}, down for {down:?}", role.name())
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

    /// The single faults of a kind: for kills, each role and each lease owner.
    pub fn singles(kind: FaultKind, outage: Duration, freeze: Duration) -> Vec<Self> {
        let (moment, every) = (Duration::from_secs(1), None);
        match kind {
            FaultKind::Kill => {
                let each = Role::ALL.map(|role| Self::Kill { role, which: 0, down: moment });
                each.into_iter()
                    .chain(LEASES.map(|lease| Self::KillLeader { lease, down: LEASE * 3 }))
                    .collect()
            }
            FaultKind::PostgresRestart => vec![Self::PostgresRestart { down: moment }],
            FaultKind::RabbitStop => vec![Self::RabbitStop { hard: false, down: outage }],
            FaultKind::QuietCrash => vec![Self::QuietCrash; 5],
            FaultKind::Purge => vec![Self::Purge],
            FaultKind::CutPostgres => vec![Self::Cut { service: Service::Postgres, role: every }],
            FaultKind::CutRabbit => vec![Self::Cut { service: Service::Rabbit, role: every }],
            FaultKind::FreezePostgres => {
                vec![Self::Freeze { service: Service::Postgres, role: every, lasts: freeze }]
            }
            FaultKind::FreezeRabbit => {
                vec![Self::Freeze { service: Service::Rabbit, role: every, lasts: freeze }]
            }
            FaultKind::StopLeader => LEASES.map(|lease| Self::StopLeader { lease, lasts: LEASE * 3 }).into(),
        }
    }

    /// A random fault of a kind.
    pub fn random(kind: FaultKind, rng: &mut fastrand::Rng, outage: Duration, freeze: Duration) -> Self {
        let role = rng.choice(Role::ALL).unwrap_or(Role::Verifier);
        let some = rng.bool().then_some(role);
        let down = Duration::from_millis(rng.u64(200..4000));
        let lease = rng.choice(LEASES).unwrap_or("relay");
        match kind {
            FaultKind::Kill if rng.u8(0..3) == 0 => Self::KillLeader { lease, down },
            FaultKind::Kill => Self::Kill { role, which: rng.usize(0..role.replicas()), down },
            FaultKind::PostgresRestart => Self::PostgresRestart { down },
            FaultKind::RabbitStop => Self::RabbitStop { hard: rng.bool(), down: outage.mul_f64(rng.f64()) },
            FaultKind::QuietCrash => Self::QuietCrash,
            FaultKind::Purge => Self::Purge,
            FaultKind::CutPostgres => Self::Cut { service: Service::Postgres, role: some },
            FaultKind::CutRabbit => Self::Cut { service: Service::Rabbit, role: some },
            FaultKind::FreezePostgres => {
                Self::Freeze { service: Service::Postgres, role: some, lasts: freeze.mul_f64(rng.f64()) }
            }
            FaultKind::FreezeRabbit => {
                Self::Freeze { service: Service::Rabbit, role: some, lasts: freeze.mul_f64(rng.f64()) }
            }
            FaultKind::StopLeader => Self::StopLeader { lease, lasts: LEASE.mul_f64(1.5 + 2.0 * rng.f64()) },
        }
    }
}

/// Everything that faults act on.
#[derive(Clone)]
pub struct DrillContext {
    pub infra: Arc<Infrastructure>,
    pub fleet: Arc<Mutex<Fleet>>,
    pub progress: Progress,
    pub management: Management,
    pub load: Arc<LoadContext>,
}

impl DrillContext {
    /// Injects the fault and lifts it before returning; returns when it began.
    pub async fn inflict(&self, fault: &Fault) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        match *fault {
            Fault::Kill { role, which, down } => {
                let members = self.fleet.lock().await.of(role);
                let member = *members.get(which).context("there is such a process")?;
                self.fleet.lock().await.kill(member)?;
                tokio::time::sleep(down).await;
                self.fleet.lock().await.launch(&self.infra, member)?;
            }
            Fault::KillLeader { lease, down } => {
                let member = self.on_leader(lease, Fleet::kill).await?;
                tokio::time::sleep(down).await;
                self.fleet.lock().await.launch(&self.infra, member)?;
            }
            Fault::PostgresRestart { down } => {
                let held = self.infra.postgres.lock().await;
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
                let mut rabbit = self.infra.rabbit.lock().await;
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
        let proxies =
            self.infra.proxies.iter().filter(move |proxies| role.is_none_or(|role| proxies.role == role));
        proxies.map(move |RoleProxies { postgres, rabbit, .. }| match service {
            Service::Postgres => postgres,
            Service::Rabbit => rabbit,
        })
    }

    /// Read models are written without waiting for the disk, so a crash now loses the last of them.
    async fn quiet_crash(&self) -> anyhow::Result<()> {
        let database = DatabaseConnection::connect(&self.infra.database).await?;
        let caught_up = "SELECT (SELECT max(position) FROM events)
                            = (SELECT position FROM checkpoints WHERE name = 'read-models')";
        // Read models that do not catch up are reported elsewhere.
        let deadline = Instant::now() + TIMEOUT;
        while database.client().query_one(caught_up, &[]).await?.try_get::<_, Option<bool>>(0)? != Some(true)
            && Instant::now() < deadline
        {}
        let postgres = self.infra.postgres.lock().await;
        let server = Arc::clone(&postgres);
        tokio::task::spawn_blocking(move || {
            server.stop_immediate();
            server.restart();
        })
        .await?;
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        // During a start of the broker some queues are missing.
        let _broker = self.infra.rabbit.lock().await;
        let deadline = Instant::now() + TIMEOUT;
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

    /// Acts on the owner of a lease, once there is one.
    async fn on_leader(
        &self,
        lease: &str,
        act: impl FnOnce(&mut Fleet, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // The name of an owner begins with its process id.
            let pid = self.progress.owner(lease).and_then(|owner| owner.split('-').next()?.parse().ok());
            let mut fleet = self.fleet.lock().await;
            if let Some(leader) = pid.and_then(|pid| fleet.by_pid(pid)) {
                act(&mut fleet, leader)?;
                return Ok(leader);
            }
            drop(fleet);
            anyhow::ensure!(Instant::now() < deadline, "the lease {lease} is free");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lifts all faults.
    pub async fn heal(&self) -> anyhow::Result<()> {
        for proxies in &self.infra.proxies {
            for proxy in [&proxies.postgres, &proxies.rabbit] {
                proxy.thaw();
                proxy.accept();
            }
        }
        let mut fleet = self.fleet.lock().await;
        for member in 0..fleet.members.len() {
            fleet.signal(member, Signal::CONT)?;
        }
        fleet.supervise(&self.infra).await
    }
}
