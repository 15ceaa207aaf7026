//! The signals that end the process: the first asks, the second insists.
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The code of a process that was told twice to end.
const INSISTED: i32 = 1;

/// Cancelled by the first SIGTERM or SIGINT. The second ends the process at once.
///
/// # Errors
/// When signals cannot be heard.
pub(crate) fn stop_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        asked.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("told again to stop: what is in hand is dropped");
        std::process::exit(INSISTED);
    });
    Ok(stop)
}

/// Cancels when standard input ends. What comes before is thrown away.
///
/// # Errors
/// When no thread can be started.
pub(super) fn stop_with_stdin(stop: CancellationToken) -> io::Result<()> {
    // A thread of its own: a read of standard input cannot be broken off, and must not keep the runtime from ending.
    let reading = move || {
        // An input that cannot be read any more has ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.cancel();
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(reading).map(drop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
