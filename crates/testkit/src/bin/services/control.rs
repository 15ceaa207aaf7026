//! What the command may do to the services while it runs: break them as an outage would, and mend them.
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use deed_testkit::{Postgres, RabbitMq};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// A socket that takes one order a line and answers it with `done`, or with what is wrong with it.
pub(super) struct Control {
    listener: UnixListener,
    folder: TempDir,
}

impl Control {
    pub(super) fn open() -> io::Result<Self> {
        let folder = TempDir::with_prefix("deed-services-")?;
        let listener = UnixListener::bind(folder.path().join("control"))?;
        Ok(Self { listener, folder })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// Carries orders out, one client after the other, for as long as it is polled.
    pub(super) async fn serve(&self, postgres: &Arc<Postgres>, rabbitmq: &mut RabbitMq) {
        loop {
            match self.listener.accept().await {
                // A client that hangs up in the middle of something has had it done.
                Ok((client, _)) => drop(attend(client, postgres, rabbitmq).await),
                Err(error) => eprintln!("nobody can be heard: {error}"),
            }
        }
    }
}

async fn attend(mut client: UnixStream, postgres: &Arc<Postgres>, rabbitmq: &mut RabbitMq) -> io::Result<()> {
    let (orders, mut answers) = client.split();
    let mut orders = BufReader::new(orders).lines();
    while let Some(order) = orders.next_line().await? {
        let known = obey(&order, postgres, rabbitmq).await;
        let answer = if known { "done\n".to_owned() } else { format!("there is no order `{order}`\n") };
        answers.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Whether there is such an order. One that cannot be carried out ends everything.
async fn obey(order: &str, postgres: &Arc<Postgres>, rabbitmq: &mut RabbitMq) -> bool {
    match order {
        "postgres stop" => on(postgres, Postgres::stop_immediate).await,
        "postgres start" => on(postgres, Postgres::restart).await,
        "rabbitmq stop" => rabbitmq.stop().await,
        "rabbitmq kill" => rabbitmq.kill().await,
        "rabbitmq start" => rabbitmq.start_again().await,
        "rabbitmq freeze" => rabbitmq.freeze(),
        "rabbitmq thaw" => rabbitmq.thaw(),
        "rabbitmq block" => rabbitmq.block().await,
        "rabbitmq unblock" => rabbitmq.unblock().await,
        _ => return false,
    }
    true
}

/// What PostgreSQL is told blocks until it has been done.
async fn on(postgres: &Arc<Postgres>, order: impl FnOnce(&Postgres) + Send + 'static) {
    let postgres = Arc::clone(postgres);
    tokio::task::spawn_blocking(move || order(&postgres)).await.expect("PostgreSQL does as it is told");
}
