//! What stands before the `api` processes: hands each request to one of them in turn, to those that say they are ready.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// How often readiness is asked for: the service's `server.shutdown_delay` has to be longer.
const ASK: Duration = Duration::from_millis(250);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// One process.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Where it serves.
    pub listen: SocketAddr,
    /// Its operations port.
    pub ops: SocketAddr,
}

/// Whether anybody asks the processes before requests are sent to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heed {
    /// Requests go to all, whatever their state.
    Nothing,
    /// Requests go to those whose `/readyz` says 200.
    Readyz,
}

#[derive(Debug)]
struct Target {
    listen: SocketAddr,
    takes: AtomicBool,
}

/// The processes behind one address.
#[derive(Debug)]
pub struct Balancer {
    targets: Vec<Arc<Target>>,
    next: AtomicUsize,
    /// Ends with this value.
    _asking: JoinSet<()>,
}

impl Balancer {
    /// Stands before these processes, which are ready now.
    pub fn new(apis: &[Api], heed: Heed) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let (mut targets, mut asking) = (vec![], JoinSet::new());
        for api in apis {
            let target = Arc::new(Target { listen: api.listen, takes: AtomicBool::new(true) });
            if heed == Heed::Readyz {
                asking.spawn(ask(http.clone(), api.ops, Arc::clone(&target)));
            }
            targets.push(target);
        }
        Ok(Self { targets, next: AtomicUsize::new(0), _asking: asking })
    }

    /// Whose turn it is; none while nobody is ready.
    pub fn pick(&self) -> Option<SocketAddr> {
        let ready: Vec<_> = self.targets.iter().filter(|t| t.takes.load(Ordering::Relaxed)).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Some(ready.get(turn.checked_rem(ready.len())?)?.listen)
    }
}

async fn ask(http: reqwest::Client, ops: SocketAddr, target: Arc<Target>) {
    loop {
        let answer = http.get(format!("http://{ops}/readyz")).send().await;
        let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
        target.takes.store(is_ready, Ordering::Relaxed);
        tokio::time::sleep(ASK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(port: u16) -> Api {
        Api { listen: ([127, 0, 0, 1], port).into(), ops: ([127, 0, 0, 1], port + 1).into() }
    }

    #[tokio::test]
    async fn each_ready_process_has_its_turn() {
        let balancer = Balancer::new(&[api(10), api(20)], Heed::Nothing).unwrap();
        let ports = |n: usize| (0..n).filter_map(|_| Some(balancer.pick()?.port())).collect::<Vec<_>>();
        assert_eq!(ports(4), [10, 20, 10, 20]);
        balancer.targets[0].takes.store(false, Ordering::Relaxed);
        assert_eq!(ports(2), [20, 20]);
        balancer.targets[1].takes.store(false, Ordering::Relaxed);
        assert_eq!(balancer.pick(), None);
    }
}
