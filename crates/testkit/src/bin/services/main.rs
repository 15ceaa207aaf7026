//! `services run -- COMMAND…`: starts a private PostgreSQL and a private RabbitMQ, tells the command where they are by
//! variables of its environment, and ends them with it.
#![expect(clippy::expect_used, reason = "a service that cannot be started ends the run, and says why")]

mod control;

use std::process::ExitCode;
use std::sync::Arc;

use control::Control;
use deed_testkit::{Postgres, RabbitMq};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: services run [--dev] [--control] -- COMMAND…
  --dev      also makes a database and a virtual host, and names them by DEED__STORE__URL and DEED__BUS__URL
  --control  also names a socket by DEED_SERVICES_CONTROL, by which the command may break and mend the services: a line
             such as `postgres stop`, `postgres start`, `rabbitmq kill`, `rabbitmq start`, `rabbitmq block`";

/// What was asked for.
struct Asked {
    dev: bool,
    control: bool,
    command: Vec<String>,
}

impl Asked {
    fn of(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let mut asked = Self { dev: false, control: false, command: vec![] };
        if words.next()? != "run" {
            return None;
        }
        loop {
            match words.next()?.as_str() {
                "--dev" => asked.dev = true,
                "--control" => asked.control = true,
                "--" => break,
                _ => return None,
            }
        }
        asked.command = words.collect();
        (!asked.command.is_empty()).then_some(asked)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(Asked { dev, control, command }) = Asked::of(std::env::args().skip(1).collect()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Heard from the start: whoever is told to stop meanwhile still ends what was started.
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
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
    let corner = if dev { Some((postgres.database().await, rabbitmq.vhost().await)) } else { None };
    if let Some((database, vhost)) = &corner {
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
    let obeying = async {
        match &control {
            Some(control) => control.serve(&postgres, &mut rabbitmq).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(obeying);
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.expect("a child can be waited for"),
            // The terminal has told the child as well; the services wait for it.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(child.id()).await,
            () = &mut obeying => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Option<Asked> {
        Asked::of(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_come_before_the_command_whose_own_are_left_to_it() {
        let all = asked("run --dev --control -- deed --dev serve").unwrap();
        assert!(all.dev && all.control);
        assert_eq!(all.command, ["deed", "--dev", "serve"]);
        let plain = asked("run -- true").unwrap();
        assert!(!plain.dev && !plain.control);
        for wrong in ["", "run", "run --dev", "run --", "run --loud -- true", "start -- true"] {
            assert!(asked(wrong).is_none(), "{wrong}");
        }
    }
}
