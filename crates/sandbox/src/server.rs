//! Starts the sandbox: opens its sockets and supervises its tasks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control;
use crate::error::SandboxError;
use crate::limits::Limits;
use crate::zones::Zones;
use crate::{tcp, udp};

/// How often another port is tried when the UDP port is taken for TCP.
const PORT_ATTEMPTS: usize = 32;

/// Where the sandbox listens, and whether it has automatic zones.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// For DNS over UDP and TCP; port 0 takes one that is free for both.
    pub dns: SocketAddr,
    /// For the control interface, if there is one; port 0 takes a free one.
    pub control: Option<SocketAddr>,
    /// Whether there are automatic zones at the root, at every public suffix and at every registrable domain.
    pub auto_zones: bool,
}

/// A running sandbox. Dropping it stops it at once.
#[derive(Debug)]
pub struct Sandbox {
    dns: SocketAddr,
    control: Option<SocketAddr>,
    zones: Zones,
    cancel: CancellationToken,
    tasks: JoinSet<Result<(), SandboxError>>,
}

impl Sandbox {
    /// Opens the sockets and starts serving; queries are answered when this returns.
    pub async fn start(config: SandboxConfig, cancel: CancellationToken) -> Result<Self, SandboxError> {
        Self::start_with(config, Limits::default(), cancel).await
    }

    /// Like [`start`](Self::start), with other limits.
    pub async fn start_with(
        config: SandboxConfig,
        limits: Limits,
        cancel: CancellationToken,
    ) -> Result<Self, SandboxError> {
        let (datagrams, connections) = bind_dns(config.dns)
            .await
            .map_err(|source| SandboxError::BindDns { address: config.dns, source })?;
        let dns =
            datagrams.local_addr().map_err(|source| SandboxError::BindDns { address: config.dns, source })?;
        let control = match config.control {
            Some(address) => Some(
                bind_control(address)
                    .await
                    .map_err(|source| SandboxError::BindControl { address, source })?,
            ),
            None => None,
        };
        let zones = Zones::new(config.auto_zones, reachable(dns.ip()), limits.query_log);
        // A child token: one task's failure stops the others without cancelling the caller's token.
        let cancel = cancel.child_token();
        let mut sandbox =
            Self { dns, control: control.as_ref().map(|(_, at)| *at), zones, cancel, tasks: JoinSet::new() };
        let (zones, cancel) = (&sandbox.zones, &sandbox.cancel);
        let udp = udp::serve(Arc::new(datagrams), zones.clone(), cancel.clone());
        let tcp = tcp::serve(connections, zones.clone(), limits, cancel.clone());
        let control =
            control.map(|(listener, _)| control::serve(listener, dns, zones.clone(), cancel.clone()));
        sandbox.supervise("UDP", udp);
        sandbox.supervise("TCP", tcp);
        if let Some(control) = control {
            sandbox.supervise("control", control);
        }
        tracing::info!(%dns, control = ?sandbox.control, "sandbox listening");
        Ok(sandbox)
    }

    fn supervise(&mut self, task: &'static str, work: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.tasks.spawn(async move { work.await.map_err(|source| SandboxError::Socket { task, source }) });
    }

    /// Where queries are answered, over UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        self.dns
    }

    /// Where the control interface is, if there is one.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The handle on zones, records, faults and the query log.
    pub fn zones(&self) -> Zones {
        self.zones.clone()
    }

    /// Runs until the token given to [`start`](Self::start) is cancelled, or a task fails: then the others are
    /// stopped too, and the error is returned.
    pub async fn join(mut self) -> Result<(), SandboxError> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.map_err(SandboxError::TaskDied).and_then(|result| result);
            if ended.is_err() {
                self.cancel.cancel();
                outcome = outcome.and(ended);
            }
        }
        outcome
    }

    /// Stops the sandbox and waits until its sockets are closed.
    pub async fn stop(self) -> Result<(), SandboxError> {
        self.cancel.cancel();
        self.join().await
    }
}

/// Binds UDP and TCP to the same port. The system hands out UDP ports that may be taken for TCP.
async fn bind_dns(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..attempts {
        let datagrams = UdpSocket::bind(address).await?;
        match TcpListener::bind(datagrams.local_addr()?).await {
            Ok(connections) => return Ok((datagrams, connections)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn bind_control(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The address that clients on this machine reach, because glue must not be 0.0.0.0.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
