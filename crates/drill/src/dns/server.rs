//! The DNS server's sockets: UDP and TCP on one address.
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::answer::respond;
use super::line::DnsTransport;
use super::records::Records;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);

/// A running server; stopped on drop.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    records: Records,
    // Aborted on drop.
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl DnsServer {
    /// Serves these records on a free port of an address.
    pub async fn start(ip: Ipv4Addr, port: u16, records: Records) -> anyhow::Result<Self> {
        let address = SocketAddr::V4(SocketAddrV4::new(ip, port));
        let listener = TcpListener::bind(address).await.context("the DNS server's TCP port")?;
        let socket = UdpSocket::bind(address).await.context("the DNS server's UDP port")?;
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(socket, ip, records.clone()));
        tasks.spawn(connections(listener, ip, records.clone()));
        Ok(Self { address, records, _tasks: tasks })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The records.
    pub fn records(&self) -> &Records {
        &self.records
    }
}

async fn datagrams(socket: UdpSocket, ip: Ipv4Addr, records: Records) -> anyhow::Result<()> {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 4096];
    loop {
        // An ICMP error of an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(request) = buffer.get(..length) else { continue };
        if let Some(reply) = respond(&records, ip, DnsTransport::Udp, request)? {
            // The client may be gone.
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

async fn connections(listener: TcpListener, ip: Ipv4Addr, records: Records) -> anyhow::Result<()> {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                // The error concerns one connection only.
                let Ok((stream, _)) = accepted else { continue };
                let records = records.clone();
                open.spawn(async move { tokio::time::timeout(IDLE, converse(stream, ip, &records)).await });
            }
        }
    }
}

async fn converse(mut stream: TcpStream, ip: Ipv4Addr, records: &Records) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut request = vec![0; usize::from(length)];
        stream.read_exact(&mut request).await?;
        let Some(reply) = respond(records, ip, DnsTransport::Tcp, &request)? else { return Ok(()) };
        let mut framed = u16::try_from(reply.len())?.to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        stream.write_all(&framed).await?;
    }
}
