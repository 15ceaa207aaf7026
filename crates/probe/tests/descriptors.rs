//! A process that has run out of file descriptors: the failure is our own, and ends as soon as there are some again.
//! In a program of its own, because the limit is shared by the whole process.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use deed_diagnosis::{NetworkFault, ProbeFailure, Reply};
use deed_probe::{ProbeConfig, Prober, Question, RootHint};
use tokio::net::UdpSocket;

/// The soft limit of this process, changed from outside it.
fn limit(descriptors: &str) {
    let pid = std::process::id().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={descriptors}:")]).status();
    assert!(done.unwrap().success(), "`apt-get install util-linux` installs prlimit");
}

/// The root zone's server, which denies every name.
async fn serve(socket: UdpSocket) {
    let mut buffer = [0; 4096];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
        // An authoritative NXDOMAIN. Without EDNS, since nothing follows the question.
        let question = 12 + buffer[12..].windows(5).position(|end| end[0] == 0).unwrap() + 5;
        assert!(question <= size);
        buffer[2..4].copy_from_slice(&[0x84, 0x03]);
        buffer[10..12].fill(0);
        socket.send_to(&buffer[..question], from).await.unwrap();
    }
}

#[tokio::test]
async fn fails_internally_without_descriptors_and_recovers() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let root = socket.local_addr().unwrap();
    let server = tokio::spawn(serve(socket));
    let prober = Prober::new(ProbeConfig {
        port: root.port(),
        roots: vec![RootHint { name: "root".into(), addr: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        in_flight: Some(64),
        ..ProbeConfig::default()
    })
    .unwrap();
    let probe = || prober.probe(Question { name: "_deed".into(), ..Question::default() });

    limit("256");
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > 100);
    let seen = probe().await;
    // The canary cannot be queried either.
    let ours = matches!(seen.failure, Some(ProbeFailure::Internal(_) | ProbeFailure::Canary(_)));
    assert!(ours, "{seen:?}");
    assert!(seen.servers.iter().all(|server| server.reply == Reply::Fault(NetworkFault::Internal)));
    let answer = prober.query_one(root, "_deed").await;
    assert_eq!(answer.reply, Reply::Fault(NetworkFault::Internal));

    drop(taken);
    let seen = probe().await;
    assert_eq!(seen.failure, None, "{seen:?}");
    assert!(matches!(seen.servers[0].reply, Reply::Message { rcode: 3, .. }), "{seen:?}");
    server.abort();
}
