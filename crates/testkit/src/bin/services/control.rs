//! The control socket: stops, breaks and restarts the services while the command runs.
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use deed_testkit::{Postgres, RabbitMq};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// A Unix socket that takes one command per line and answers `done` or an error.
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

    /// Executes commands, one client after the other, for as long as it is polled.
    pub(super) async fn serve(&self, postgres: &Arc<Postgres>, rabbitmq: &mut RabbitMq) {
        loop {
            match self.listener.accept().await {
                // A command is executed even when its client disconnects.
                Ok((client, _)) => drop(serve_client(client, postgres, rabbitmq).await),
                Err(error) => eprintln!("the control socket fails: {error}"),
            }
        }
    }
}

async fn serve_client(
    mut client: UnixStream,
    postgres: &Arc<Postgres>,
    rabbitmq: &mut RabbitMq,
) -> io::Result<()> {
    let (commands, mut answers) = client.split();
    let mut commands = BufReader::new(commands).lines();
    while let Some(command) = commands.next_line().await? {
        let is_known = execute(&command, postgres, rabbitmq).await;
        let answer = if is_known { "done\n".to_owned() } else { format!("unknown command `{command}`\n") };
        answers.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Returns whether the command is known. A command that fails ends the process.
async fn execute(command: &str, postgres: &Arc<Postgres>, rabbitmq: &mut RabbitMq) -> bool {
    match command {
        "postgres stop" => on_postgres(postgres, Postgres::stop_immediate).await,
        "postgres start" => on_postgres(postgres, Postgres::restart).await,
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

/// Runs a blocking command of PostgreSQL.
async fn on_postgres(postgres: &Arc<Postgres>, command: impl FnOnce(&Postgres) + Send + 'static) {
    let postgres = Arc::clone(postgres);
    tokio::task::spawn_blocking(move || command(&postgres))
        .await
        .expect("the command of PostgreSQL succeeds");
}
