//! `services run -- COMMAND…`: starts a private PostgreSQL and RabbitMQ, passes their URLs to the command by
//! environment variables, and stops them when it ends.
#![expect(clippy::expect_used, reason = "a service that cannot be started ends the run with a message")]

mod control;

use std::process::ExitCode;
use std::sync::Arc;

use control::Control;
use deed_testkit::{Postgres, RabbitMq};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: services run [--dev] [--control] -- COMMAND…
  --dev      also creates a database and a virtual host, and sets DEED__STORE__URL and DEED__BUS__URL
  --control  also sets DEED_SERVICES_CONTROL to a socket through which the command can stop and restart the services, by lines
             such as `postgres stop`, `postgres start`, `rabbitmq kill`, `rabbitmq start`, `rabbitmq block`";

/// The command line.
struct RunOptions {
    dev: bool,
    control: bool,
    command: Vec<String>,
}

impl RunOptions {
    fn of(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let mut options = Self { dev: false, control: false, command: vec![] };
        if words.next()? != "run" {
            return None;
        }
        loop {
            match words.next()?.as_str() {
                "--dev" => options.dev = true,
                "--control" => options.control = true,
                "--" => break,
                _ => return None,
            }
        }
        options.command = words.collect();
        (!options.command.is_empty()).then_some(options)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(RunOptions { dev, control, command }) = RunOptions::of(std::env::args().skip(1).collect())
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Signal handlers are installed first, so that a signal during the start still stops what was started.
    let mut terminate = signal(SignalKind::terminate()).expect("signal handlers can be installed");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signal handlers can be installed");
    let (postgres, mut rabbitmq) = tokio::join!(
        async { tokio::task::spawn_blocking(Postgres::start).await.expect("PostgreSQL starts") },
        RabbitMq::start()
    );
    let mut child = Command::new(&command[0]);
    child
        .args(&command[1..])
        .env("DEED_TEST_POSTGRES_URL", postgres.url())
        .env("DEED_TEST_RABBITMQ_URL", rabbitmq.amqp_url())
        .env("DEED_TEST_RABBITMQ_MANAGEMENT_URL", rabbitmq.management_url());
    let own_services = if dev { Some((postgres.database().await, rabbitmq.vhost().await)) } else { None };
    if let Some((database, vhost)) = &own_services {
        child.env("DEED__STORE__URL", database.url()).env("DEED__BUS__URL", vhost.url());
    }
    let control = control.then(|| Control::open().expect("a socket is made"));
    if let Some(control) = &control {
        child.env("DEED_SERVICES_CONTROL", control.path());
    }
    let mut child = match child.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{}: {error}", command[0]);
            return ExitCode::from(127);
        }
    };
    let postgres = Arc::new(postgres);
    let control_server = async {
        match &control {
            Some(control) => control.serve(&postgres, &mut rabbitmq).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(control_server);
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.expect("a child can be waited for"),
            // The terminal has sent SIGINT to the command as well; the services wait for it.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => forward_sigterm(child.id()).await,
            () = &mut control_server => {}
        }
    };
    ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn forward_sigterm(child: Option<u32>) {
    if let Some(id) = child {
        let sent = Command::new("kill").args(["-s", "TERM", &id.to_string()]).status().await;
        if let Err(error) = sent {
            eprintln!("the command could not be told to stop: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str) -> Option<RunOptions> {
        RunOptions::of(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_precede_the_command() {
        let all = options("run --dev --control -- deed --dev serve").unwrap();
        assert!(all.dev && all.control);
        assert_eq!(all.command, ["deed", "--dev", "serve"]);
        let plain = options("run -- true").unwrap();
        assert!(!plain.dev && !plain.control);
        for wrong in ["", "run", "run --dev", "run --", "run --loud -- true", "start -- true"] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
