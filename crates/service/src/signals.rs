//! Shutdown signals: the first requests a shutdown, the second exits at once.
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal.
const SECOND_SIGNAL_EXIT: i32 = 1;

/// Cancelled by the first SIGTERM or SIGINT. The second ends the process at once.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn stop_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let first_signal = stop.clone();
    tokio::spawn(async move {
        any_signal(&mut terminate, &mut interrupt).await;
        first_signal.cancel();
        any_signal(&mut terminate, &mut interrupt).await;
        tracing::warn!("told again to stop: what is in hand is dropped");
        std::process::exit(SECOND_SIGNAL_EXIT);
    });
    Ok(stop)
}

/// Cancels `stop` at the end of standard input; its content is discarded.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn stop_with_stdin(stop: CancellationToken) -> io::Result<()> {
    // A separate thread, because a blocking read of standard input would keep the runtime from shutting down.
    let reading = move || {
        // A read error counts as the end.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.cancel();
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(reading).map(drop)
}

async fn any_signal(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
