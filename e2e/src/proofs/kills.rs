//! Who is killed when (kill -9), and started again.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;

/// How long a broker that was killed is away.
const AWAY: Duration = Duration::from_secs(5);

/// For how long there are kills, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Kills end after this; in its middle all brokers are killed at once.
    pub duration: Duration,
    /// From the kill of one broker to that of the next.
    pub brokers_every: Duration,
    /// From the kill of one client to that of the next.
    pub clients_every: Duration,
}

impl Plan {
    /// A broker every 30 s and a client every 60 s.
    #[must_use]
    pub fn minutes(minutes: u64) -> Self {
        Self {
            duration: Duration::from_secs(minutes * 60),
            brokers_every: Duration::from_secs(30),
            clients_every: Duration::from_secs(60),
        }
    }
}

/// Kills brokers by a plan, and says when a client is to be killed.
pub struct Kills {
    plan: Plan,
    began: Instant,
    next_broker: Duration,
    next_client: Duration,
    /// Brokers that do not run now, and since when.
    away: Option<(Vec<u16>, Instant)>,
    brokers: u16,
    clients: u16,
    is_all_done: bool,
}

impl Kills {
    /// The plan begins now.
    #[must_use]
    pub fn begin(plan: Plan) -> Self {
        Self {
            plan,
            began: Instant::now(),
            next_broker: plan.brokers_every,
            next_client: plan.clients_every,
            away: None,
            brokers: 0,
            clients: 0,
            is_all_done: false,
        }
    }

    /// Whether the plan is over and every broker runs.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.began.elapsed() >= self.plan.duration && self.away.is_none()
    }

    /// Whether every broker runs now.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.away.is_none()
    }

    /// Does what is due; true where the caller is to kill a client.
    ///
    /// # Errors
    /// A broker does not come back.
    pub fn step(&mut self, cluster: &mut Cluster) -> Result<bool> {
        let now = self.began.elapsed();
        if let Some((ids, since)) = &self.away {
            if since.elapsed() >= AWAY {
                for id in ids {
                    cluster.launch(*id)?;
                }
                cluster.wait_ready()?;
                self.away = None;
            }
        } else if now < self.plan.duration && now >= self.next_broker {
            self.next_broker = now + self.plan.brokers_every;
            self.kill(now, cluster);
        }
        let is_due = now < self.plan.duration && now >= self.next_client;
        if is_due {
            self.next_client = now + self.plan.clients_every;
            self.clients += 1;
        }
        Ok(is_due)
    }

    fn kill(&mut self, now: Duration, cluster: &mut Cluster) {
        let ids = if now >= self.plan.duration / 2 && !self.is_all_done {
            self.is_all_done = true;
            cluster.kill_all();
            (0..cluster.size()).collect()
        } else {
            let id = self.brokers % cluster.size();
            cluster.kill(id);
            self.brokers += 1;
            vec![id]
        };
        self.away = Some((ids, Instant::now()));
    }

    /// What was done.
    #[must_use]
    pub fn told(&self) -> String {
        let all = if self.is_all_done {
            ", once all brokers at one moment"
        } else {
            ""
        };
        format!(
            "{} s: {} brokers and {} clients killed{all}",
            self.began.elapsed().as_secs(),
            self.brokers,
            self.clients
        )
    }
}
