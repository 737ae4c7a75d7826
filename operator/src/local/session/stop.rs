//! The end of a session: signals, and brokers stopping in order.

use std::sync::atomic::Ordering;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Session;
use crate::local::brokers::{Event, Wanted};
use crate::topic::reconcile::Pass;

/// The signals that end a session.
pub struct Signals {
    listened: Vec<Signal>,
}

impl Signals {
    /// From now on signals no longer end the process by themselves.
    pub fn listen() -> Self {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        Self {
            listened: kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        }
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        std::future::poll_fn(|context| {
            for signal in &mut self.listened {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(());
                }
            }
            std::task::Poll::Pending
        })
        .await;
    }
}

impl Session {
    /// Stops all brokers in order; a second signal kills them.
    pub(super) async fn stop(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        passes: &mut mpsc::Receiver<Pass>,
        signals: &mut Signals,
    ) {
        self.terminal.draw(Vec::new());
        self.terminal
            .line("brokers are stopping, the last one first; Ctrl-C again kills them");
        for task in self.tasks.values() {
            task.wanted.send_replace(Wanted::Stop);
        }
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(event) = events.recv() => self.hear(event),
                Some(_) = passes.recv() => {}
                () = signals.next() => self.hurry.store(true, Ordering::Relaxed),
            }
        }
    }
}
