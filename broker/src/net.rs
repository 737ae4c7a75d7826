//! Listeners and connections of clients.
//!
//! A listener accepts while the broker's connections stay within `max.connections` and one
//! address's within `max.connections.per.ip`; out of descriptors it backs off, and those who are
//! connected do not notice.

pub mod connection;
pub mod frames;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_core::config::connections::{self, ConnectionLimits};
use ottla_core::quota::Rate;
use ottla_core::quota::connections::ConnectionRates;
use ottla_core::quota::window::Sampling;
use tokio::sync::watch;
use tracing::{debug, info, warn};

pub use crate::stream::{Listener, Network, Stream};

use self::connection::{Connection, Limits};
use self::frames::Accounts;
use crate::api::{Client, Context};
use crate::config::Settings;
use crate::threads;
use crate::tls::Tls;

/// How long accepting waits after the system refused a descriptor.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How long a client may take to shake hands.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where clients come in.
pub struct Door {
    /// The socket.
    pub listener: Listener,
    /// The listener's name, in capitals.
    pub name: Arc<str>,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// How many connections may begin there in a second, where it has a limit of its own.
    pub creation_rate: Option<Rate>,
}

/// A connection that has come in.
pub struct Arrival {
    /// The connection.
    pub stream: Stream,
    /// Where it comes from.
    pub from: SocketAddr,
    /// The listener's name, in capitals.
    pub listener: Arc<str>,
    /// The certificates by which both sides have still to shake hands; none where they have, or
    /// nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// What the client's certificate says, where it has shown one.
    pub name: Option<String>,
}

/// What all listeners of a broker share: the counts of connections and the account of bytes.
#[derive(Debug)]
pub struct Net {
    limits: Limits,
    /// As many as there are descriptors for.
    connections_max: usize,
    accounts: Accounts,
    open: AtomicUsize,
    next_id: AtomicU64,
    /// Connections by address; an address without any is absent. Held for one entry at a time.
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    /// How fast connections begin.
    rates: Mutex<ConnectionRates>,
    /// The listener between brokers, where clients have one of their own.
    spared: Option<String>,
}

impl Net {
    /// The limits that `settings` give, and `connections_max`; requests hold at most
    /// `queued_bytes_max` together.
    #[must_use]
    pub fn new(settings: &Settings, connections_max: usize, queued_bytes_max: usize) -> Arc<Self> {
        let accounts = Accounts::new(queued_bytes_max);
        Arc::new(Self {
            limits: Limits {
                request_bytes_max: settings.socket_request_bytes_max,
                requests_max: settings.connection_requests_max,
                requests_bytes_max: accounts.connection_bytes_max(),
                idle_max: settings.connections_max_idle,
                first_request_timeout: settings.first_request_timeout,
            },
            connections_max,
            accounts,
            open: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            per_ip: Mutex::default(),
            rates: Mutex::new(ConnectionRates::new(Sampling::new(
                settings.quota_windows,
                settings.quota_window_seconds,
            ))),
            spared: spared(settings),
        })
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many bytes of requests are held.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.accounts.taken()
    }

    /// Accepts at `door` until `stop` becomes true; connections then end by themselves, and
    /// `open` tells when all have.
    pub async fn serve(
        self: Arc<Self>,
        door: Door,
        context: Arc<Context>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = door.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let pause = self.pause(&door, &context);
                    if !pause.is_zero() {
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            _ = stop.wait_for(|stop| *stop) => return,
                        }
                    }
                    let arrival = Arrival {
                        stream,
                        from,
                        listener: Arc::clone(&door.name),
                        tls: door.tls.clone(),
                        name: None,
                    };
                    self.admit(arrival, &context, &stop);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let name = &door.name;
                    warn!("listener {name} cannot accept: {error}; trying again");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// For how long a connection that begins now, and all behind it, have to wait.
    fn pause(&self, door: &Door, context: &Context) -> Duration {
        let image = context.controller.image();
        let settings = &context.settings;
        let layers = image.layers(Some(settings.node_id), &settings.statics);
        let is_spared = self.spared.as_deref() == Some(&*door.name);
        let of_all = connections::rate(&layers).filter(|_| !is_spared);
        let now = context.env.now();
        let of_all = of_all.map(|rate| self.rates().begin(now, rate));
        let of_door = door.creation_rate;
        let of_door = of_door.map(|rate| self.rates().begin_at(now, &door.name, rate));
        of_all.max(of_door).unwrap_or_default()
    }

    fn rates(&self) -> MutexGuard<'_, ConnectionRates> {
        // whatever is half counted is counted
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection until it ends by itself or `stop` becomes true, if one more may be.
    pub fn admit(
        self: &Arc<Self>,
        arrival: Arrival,
        context: &Arc<Context>,
        stop: &watch::Receiver<bool>,
    ) {
        let Arrival {
            stream,
            from,
            listener,
            tls,
            name,
        } = arrival;
        let ip = from.ip().to_canonical();
        let image = context.controller.image();
        let settings = &context.settings;
        let layers = image.layers(Some(settings.node_id), &settings.statics);
        let limits = ConnectionLimits::of(&layers, ip);
        let Some(seat) = Seat::take(self, ip, limits) else {
            info!("closed a connection from {from}: no more are allowed");
            return;
        };
        let quota = image.client_quotas.connection_rate(ip);
        let now = context.env.now();
        if let Some(delay) = quota.and_then(|rate| self.rates().begin_from(now, ip, rate)) {
            info!("closed a connection from {from}: its address begins more than its quota");
            threads::spawn(async move {
                // at once, it would only try again at once
                tokio::time::sleep(delay).await;
                drop((stream, seat));
            });
            return;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let client = Client::new(Arc::clone(context), ip, listener, id);
        let client = match &name {
            Some(name) => client.named(name),
            None => client,
        };
        let (limits, accounts) = (self.limits, self.accounts.clone());
        let (context, stop) = (Arc::clone(context), stop.clone());
        threads::spawn(async move {
            let (stream, client) = match tls {
                None => (stream, client),
                Some(tls) => match shake_hands(&tls, stream, client).await {
                    Ok(shaken) => shaken,
                    Err(error) => {
                        context.metrics.authentication_failures.inc();
                        debug!("closed the connection from {from}: {error}");
                        return;
                    }
                },
            };
            let connection = Connection::new(stream, client, limits, accounts);
            let ended = connection.run(stop).await;
            drop(seat);
            if let Err(error) = ended {
                if error.is_quiet() {
                    debug!("closed the connection from {from}: {error}");
                } else {
                    warn!("closed the connection from {from}: {error}");
                }
            }
        });
    }
}

/// The listener between brokers, where it is not the only one for clients.
fn spared(settings: &Settings) -> Option<String> {
    let peers = &settings.controller_listener_names;
    let clients = settings.listeners.iter();
    let mut clients = clients.filter(|listener| !listener.name.eq_ignore_ascii_case(peers));
    let first = clients.next()?;
    clients.next()?;
    let named = settings.inter_broker_listener_name.as_ref();
    Some(named.map_or_else(|| first.name.clone(), |name| name.to_ascii_uppercase()))
}

/// The encrypted stream, and the client by what its certificate says.
async fn shake_hands(tls: &Tls, stream: Stream, client: Client) -> io::Result<(Stream, Client)> {
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    let (stream, name) = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let client = match name {
        Some(name) => client.named(&name),
        None => client,
    };
    Ok((stream, client))
}

/// A connection's place in the counts, free again when dropped.
struct Seat {
    net: Arc<Net>,
    ip: IpAddr,
}

impl Seat {
    fn take(net: &Arc<Net>, ip: IpAddr, limits: ConnectionLimits) -> Option<Self> {
        let all = limits.all.unwrap_or(usize::MAX).min(net.connections_max);
        let mut per_ip = net.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let here = per_ip.get(&ip).copied().unwrap_or(0);
        if here >= limits.from_address || net.open.load(Ordering::Relaxed) >= all {
            return None;
        }
        per_ip.insert(ip, here + 1);
        net.open.fetch_add(1, Ordering::Relaxed);
        drop(per_ip);
        Some(Self {
            net: Arc::clone(net),
            ip,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut per_ip = self
            .net
            .per_ip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match per_ip.get_mut(&self.ip) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                per_ip.remove(&self.ip);
            }
        }
        self.net.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the error is of a connection that was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
