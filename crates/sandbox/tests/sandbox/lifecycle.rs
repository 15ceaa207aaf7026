//! Starting, stopping and the query log.

use std::time::Duration;

use deed_sandbox::{Limits, Sandbox, SandboxConfig, SandboxError, Transport};
use hickory_proto::rr::RecordType;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::client::{DEADLINE, TestSandbox};

#[tokio::test]
async fn cancelling_ends_every_task_and_frees_the_ports() {
    let cancel = CancellationToken::new();
    let config = SandboxConfig {
        dns: "127.0.0.1:0".parse().unwrap(),
        control: Some("127.0.0.1:0".parse().unwrap()),
        auto_zones: true,
    };
    let sandbox = Sandbox::start(config, cancel.clone()).await.unwrap();
    let (dns, control) = (sandbox.dns_addr(), sandbox.control_addr().unwrap());
    cancel.cancel();
    tokio::time::timeout(DEADLINE, sandbox.join()).await.unwrap().unwrap();
    UdpSocket::bind(dns).await.unwrap();
    TcpListener::bind(dns).await.unwrap();
    TcpListener::bind(control).await.unwrap();
}

#[tokio::test]
async fn stop_does_not_cancel_callers_token() {
    let cancel = CancellationToken::new();
    let config = SandboxConfig { dns: "[::1]:0".parse().unwrap(), control: None, auto_zones: true };
    let sandbox = Sandbox::start(config, cancel.clone()).await.unwrap();
    assert_eq!(sandbox.control_addr(), None);
    tokio::time::timeout(DEADLINE, sandbox.stop()).await.unwrap().unwrap();
    assert!(!cancel.is_cancelled());
}

#[tokio::test]
async fn reports_taken_port() {
    let sandbox = TestSandbox::automatic().await;
    let config = SandboxConfig { dns: sandbox.dns, control: None, auto_zones: true };
    let error = Sandbox::start(config, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, SandboxError::BindDns { address, .. } if address == sandbox.dns));
    let control = sandbox.server.control_addr();
    let config = SandboxConfig { dns: "127.0.0.1:0".parse().unwrap(), control, auto_zones: true };
    let error = Sandbox::start(config, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, SandboxError::BindControl { address, .. } if Some(address) == control));
}

#[tokio::test]
async fn logs_queries_with_response_code() {
    let sandbox = TestSandbox::start(true, Limits { query_log: 3, ..Limits::default() }).await;
    sandbox.query("acme.com", RecordType::TXT).await;
    sandbox.query_tcp("nothing.acme.com", RecordType::DNSKEY).await;
    let log = sandbox.zones.queries(None, 0);
    assert_eq!(log.iter().map(|query| query.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((log[0].transport, log[1].transport), (Transport::Udp, Transport::Tcp));
    assert_eq!((log[0].kind.as_deref(), log[1].kind.as_deref()), (Some("TXT"), Some("DNSKEY")));
    assert_eq!((log[0].rcode.as_deref(), log[1].rcode.as_deref()), (Some("NOERROR"), Some("NXDOMAIN")));
    assert_eq!(sandbox.zones.queries(Some("Acme.com."), 0), log[..1]);
    assert_eq!(sandbox.zones.queries(None, 1), log[1..]);
    for _ in 0..3 {
        sandbox.query("other.com", RecordType::A).await;
    }
    assert_eq!(sandbox.zones.queries(None, 0).iter().map(|query| query.seq).collect::<Vec<_>>(), [3, 4, 5]);
}

#[tokio::test]
async fn wait_for_query_ends_with_query_or_timeout() {
    let sandbox = TestSandbox::automatic().await;
    assert_eq!(sandbox.zones.wait_for_query("acme.com", 0, Duration::from_millis(20)).await, None);
    let zones = sandbox.zones.clone();
    let waiting = tokio::spawn(async move { zones.wait_for_query("acme.com", 1, DEADLINE).await });
    sandbox.query("acme.com", RecordType::TXT).await;
    sandbox.query("acme.com", RecordType::A).await;
    assert_eq!(waiting.await.unwrap().unwrap().seq, 2);
}
