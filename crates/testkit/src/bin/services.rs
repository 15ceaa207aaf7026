//! `services run -- COMMAND…`: starts a private PostgreSQL and a private RabbitMQ, tells the command where they are by
//! variables of its environment, and ends them with it.
#![expect(clippy::expect_used, reason = "a service that cannot be started ends the run, and says why")]

use std::process::ExitCode;

use deed_testkit::{Postgres, RabbitMq};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: services run [--dev] -- COMMAND…\n  --dev  also makes a database and a virtual host, and \
                     names them by DEED__STORE__URL and DEED__BUS__URL";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (dev, command) = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", "--", command @ ..] if !command.is_empty() => (false, &words[words.len() - command.len()..]),
        ["run", "--dev", "--", command @ ..] if !command.is_empty() => {
            (true, &words[words.len() - command.len()..])
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Heard from the start: whoever is told to stop meanwhile still ends what was started.
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
    let (postgres, rabbitmq) = tokio::join!(
        async { tokio::task::spawn_blocking(Postgres::start).await.expect("PostgreSQL starts") },
        RabbitMq::start()
    );
    let mut child = Command::new(&command[0]);
    child
        .args(&command[1..])
        .env("DEED_TEST_POSTGRES_URL", postgres.url())
        .env("DEED_TEST_RABBITMQ_URL", rabbitmq.amqp_url())
        .env("DEED_TEST_RABBITMQ_MANAGEMENT_URL", rabbitmq.management_url());
    let corner = if dev { Some((postgres.database().await, rabbitmq.vhost().await)) } else { None };
    if let Some((database, vhost)) = &corner {
        child.env("DEED__STORE__URL", database.url()).env("DEED__BUS__URL", vhost.url());
    }
    let mut child = match child.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{}: {error}", command[0]);
            return ExitCode::from(127);
        }
    };
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.expect("a child can be waited for"),
            // The terminal has told the child as well; the services wait for it.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(child.id()).await,
        }
    };
    ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn pass_on(child: Option<u32>) {
    if let Some(id) = child {
        let sent = Command::new("kill").args(["-s", "TERM", &id.to_string()]).status().await;
        if let Err(error) = sent {
            eprintln!("the command could not be told to stop: {error}");
        }
    }
}
