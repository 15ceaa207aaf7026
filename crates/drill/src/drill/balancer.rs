//! A load balancer for the `api` processes: round robin over those that are ready.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// The polling interval; `server.shutdown_delay` has to be longer.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The timeout of a poll.
const TIMEOUT: Duration = Duration::from_secs(1);

/// An `api` process.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Its HTTP address.
    pub listen: SocketAddr,
    /// Its operations port.
    pub ops: SocketAddr,
}

/// How the balancer selects processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheck {
    /// All processes, whatever their state.
    None,
    /// Processes whose `/readyz` answers 200.
    Readyz,
}

#[derive(Debug)]
struct Target {
    listen: SocketAddr,
    takes: AtomicBool,
}

/// The balanced processes.
#[derive(Debug)]
pub struct Balancer {
    targets: Vec<Arc<Target>>,
    next: AtomicUsize,
    /// Aborted on drop.
    _asking: JoinSet<()>,
}

impl Balancer {
    /// Balances over these processes, which are ready now.
    pub fn new(apis: &[Api], health_check: HealthCheck) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        let (mut targets, mut asking) = (vec![], JoinSet::new());
        for api in apis {
            let target = Arc::new(Target { listen: api.listen, takes: AtomicBool::new(true) });
            if health_check == HealthCheck::Readyz {
                asking.spawn(poll_readiness(http.clone(), api.ops, Arc::clone(&target)));
            }
            targets.push(target);
        }
        Ok(Self { targets, next: AtomicUsize::new(0), _asking: asking })
    }

    /// The next ready process, if any.
    pub fn pick(&self) -> Option<SocketAddr> {
        let ready: Vec<_> = self.targets.iter().filter(|t| t.takes.load(Ordering::Relaxed)).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Some(ready.get(turn.checked_rem(ready.len())?)?.listen)
    }
}

async fn poll_readiness(http: reqwest::Client, ops: SocketAddr, target: Arc<Target>) {
    loop {
        let answer = http.get(format!("http://{ops}/readyz")).send().await;
        let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
        target.takes.store(is_ready, Ordering::Relaxed);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(port: u16) -> Api {
        Api { listen: ([127, 0, 0, 1], port).into(), ops: ([127, 0, 0, 1], port + 1).into() }
    }

    #[tokio::test]
    async fn picks_ready_processes_in_turn() {
        let balancer = Balancer::new(&[api(10), api(20)], HealthCheck::None).unwrap();
        let ports = |n: usize| (0..n).filter_map(|_| Some(balancer.pick()?.port())).collect::<Vec<_>>();
        assert_eq!(ports(4), [10, 20, 10, 20]);
        balancer.targets[0].takes.store(false, Ordering::Relaxed);
        assert_eq!(ports(2), [20, 20]);
        balancer.targets[1].takes.store(false, Ordering::Relaxed);
        assert_eq!(balancer.pick(), None);
    }
}
