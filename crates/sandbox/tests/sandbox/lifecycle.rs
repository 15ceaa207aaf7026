//! Starting, stopping and the query log.

use std::time::Duration;

use deed_sandbox::{Limits, Sandbox, SandboxConfig, SandboxError, Transport};
use hickory_proto::rr::RecordType;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::client::{Lab, PATIENCE};

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
    tokio::time::timeout(PATIENCE, sandbox.join()).await.unwrap().unwrap();
    UdpSocket::bind(dns).await.unwrap();
    TcpListener::bind(dns).await.unwrap();
    TcpListener::bind(control).await.unwrap();
}

#[tokio::test]
async fn stopping_leaves_the_callers_token_alone() {
    let cancel = CancellationToken::new();
    let config = SandboxConfig { dns: "[::1]:0".parse().unwrap(), control: None, auto_zones: true };
    let sandbox = Sandbox::start(config, cancel.clone()).await.unwrap();
    assert_eq!(sandbox.control_addr(), None);
    tokio::time::timeout(PATIENCE, sandbox.stop()).await.unwrap().unwrap();
    assert!(!cancel.is_cancelled());
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let lab = Lab::automatic().await;
    let config = SandboxConfig { dns: lab.dns, control: None, auto_zones: true };
    let error = Sandbox::start(config, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, SandboxError::BindDns { address, .. } if address == lab.dns));
    let control = lab.sandbox.control_addr();
    let config = SandboxConfig { dns: "127.0.0.1:0".parse().unwrap(), control, auto_zones: true };
    let error = Sandbox::start(config, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, SandboxError::BindControl { address, .. } if Some(address) == control));
}

#[tokio::test]
async fn questions_are_logged_with_what_was_sent() {
    let lab = Lab::start(true, Limits { query_log: 3, ..Limits::default() }).await;
    lab.ask("acme.com", RecordType::TXT).await;
    lab.ask_tcp("nothing.acme.com", RecordType::DNSKEY).await;
    let log = lab.zones.queries(None, 0);
    assert_eq!(log.iter().map(|query| query.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((log[0].transport, log[1].transport), (Transport::Udp, Transport::Tcp));
    assert_eq!((log[0].kind.as_deref(), log[1].kind.as_deref()), (Some("TXT"), Some("DNSKEY")));
    assert_eq!((log[0].rcode.as_deref(), log[1].rcode.as_deref()), (Some("NOERROR"), Some("NXDOMAIN")));
    assert_eq!(lab.zones.queries(Some("Acme.com."), 0), log[..1]);
    assert_eq!(lab.zones.queries(None, 1), log[1..]);
    for _ in 0..3 {
        lab.ask("other.com", RecordType::A).await;
    }
    assert_eq!(lab.zones.queries(None, 0).iter().map(|query| query.seq).collect::<Vec<_>>(), [3, 4, 5]);
}

#[tokio::test]
async fn waiting_for_a_question_ends_when_it_comes_or_patience_does() {
    let lab = Lab::automatic().await;
    assert_eq!(lab.zones.wait_for_query("acme.com", 0, Duration::from_millis(20)).await, None);
    let zones = lab.zones.clone();
    let waiting = tokio::spawn(async move { zones.wait_for_query("acme.com", 1, PATIENCE).await });
    lab.ask("acme.com", RecordType::TXT).await;
    lab.ask("acme.com", RecordType::A).await;
    assert_eq!(waiting.await.unwrap().unwrap().seq, 2);
}
