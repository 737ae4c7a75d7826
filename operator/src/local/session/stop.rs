//! The end of a session: brokers stop in order.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::Session;
use crate::local::brokers::{Event, Wanted};
use crate::signals::Signals;
use crate::topic::reconcile::Pass;

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
