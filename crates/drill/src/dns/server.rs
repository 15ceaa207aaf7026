//! The DNS server's sockets: UDP and TCP on one address.
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::answer::respond;
use super::line::Transport;
use super::records::Records;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);

/// A running server; ends with this value.
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

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    pub fn records(&self) -> &Records {
        &self.records
    }
}

async fn datagrams(socket: UdpSocket, ip: Ipv4Addr, records: Records) -> anyhow::Result<()> {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 4096];
    loop {
        // An error here is what became of an answer sent before.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(request) = buffer.get(..length) else { continue };
        if let Some(reply) = respond(&records, ip, Transport::Udp, request)? {
            // A client that is gone needs no answer.
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
                // An error here is that of one connection.
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
        let Some(reply) = respond(records, ip, Transport::Tcp, &request)? else { return Ok(()) };
        let mut framed = u16::try_from(reply.len())?.to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        stream.write_all(&framed).await?;
    }
}
