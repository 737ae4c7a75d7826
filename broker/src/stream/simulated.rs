//! A network in memory, for simulations: hosts, the links between them, and connections that break
//! as TCP's do.
//!
//! All of it belongs to one thread. Who simulates says which host acts ([`act_as`]), and when time
//! has passed ([`pass`]): what is due then arrives, in the order of its times. Hosts take what
//! arrives as a system does for its processes: also for one that does nothing at present, until
//! it has so much unread that nobody may send more.

mod socket;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;

use bytes::Bytes;
use ottla_storage::sim::Random;

use socket::Socket;
pub(super) use socket::connect;
pub use socket::{Listener, Stream};

/// The least time that a message takes.
pub const LATENCY_MIN_MS: u64 = 1;

/// The longest time that it takes where nothing is amiss.
pub const LATENCY_MAX_MS: u64 = 8;

/// The first port of those who connect.
const EPHEMERAL_PORTS: u16 = 30_000;

thread_local! {
    static NET: RefCell<Net> = RefCell::new(Net::new(0));
    static ACTING: Cell<usize> = const { Cell::new(0) };
}

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Both directions hold everything back.
    pub is_held: bool,
    /// What the first sends to the second is lost; and the other way.
    pub drops: [bool; 2],
    /// The longest time that a message takes.
    pub latency_max_ms: u64,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            is_held: false,
            drops: [false; 2],
            latency_max_ms: LATENCY_MAX_MS,
        }
    }
}

/// Begins a new network, without hosts.
pub fn begin(seed: u64) {
    // what it had is dropped outside
    drop(NET.replace(Net::new(seed)));
}

/// Adds a host; gives its number.
pub fn add_host(name: &str) -> usize {
    NET.with_borrow_mut(|net| {
        net.hosts.push(Host {
            name: name.to_owned(),
            ..Host::default()
        });
        net.hosts.len() - 1
    })
}

/// Who listens and connects from now on.
pub fn act_as(host: usize) {
    ACTING.set(host);
}

/// It is this time by now.
pub fn pass(now_ms: u64) {
    let mut wakers = Vec::new();
    NET.with_borrow_mut(|net| {
        net.now_ms = now_ms;
        while let Some(next) = net.under_way.first_entry()
            && next.key().0 <= now_ms
        {
            let message = next.remove();
            net.arrive(message, &mut wakers);
        }
    });
    wakers.into_iter().for_each(Waker::wake);
}

/// The link between two hosts is like this from now on. What it held back arrives once it does not
/// any more; what is under way on a link that begins to hold or to lose is held, or lost.
pub fn set_link(a: &str, b: &str, condition: Condition) {
    NET.with_borrow_mut(|net| net.set_link(a, b, condition));
}

/// A host refuses new connections from now on, or takes them again.
pub fn refuse(host: &str, is_refusing: bool) {
    NET.with_borrow_mut(|net| {
        let host = net.find(host).expect("the simulation knows its hosts");
        net.hosts[host].is_refusing = is_refusing;
    });
}

/// The addresses of a host.
pub(super) fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    NET.with_borrow(|net| {
        let (host, port) = net.place(address)?;
        Ok(vec![SocketAddr::new(ip(host), port)])
    })
}

fn ip(host: usize) -> IpAddr {
    let number = u8::try_from(host + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(192, 168, 0, number).into()
}

#[derive(Default)]
struct Host {
    name: String,
    is_refusing: bool,
    listeners: BTreeMap<u16, Backlog>,
}

/// Connections that nobody has accepted yet.
#[derive(Default)]
struct Backlog {
    waiting: VecDeque<End>,
    waker: Option<Waker>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    connection: u64,
    /// 0: who connected.
    side: usize,
}

impl End {
    fn other(self) -> Self {
        Self {
            side: 1 - self.side,
            ..self
        }
    }
}

#[derive(Debug)]
enum Segment {
    Connect(u16),
    Accepted,
    Data(u64, Bytes),
    End(u64),
    Reset,
}

#[derive(Debug)]
struct Message {
    from: usize,
    to: usize,
    /// The end that it is for.
    end: End,
    segment: Segment,
}

impl Message {
    /// The link that it takes: both hosts, the lower number first.
    fn link(&self) -> (usize, usize) {
        (self.from.min(self.to), self.from.max(self.to))
    }
}

#[derive(Default)]
struct Link {
    condition: Condition,
    held: Vec<Message>,
}

struct Net {
    now_ms: u64,
    random: Random,
    hosts: Vec<Host>,
    /// By both hosts, the lower number first.
    links: BTreeMap<(usize, usize), Link>,
    connections: BTreeMap<u64, [Socket; 2]>,
    next_connection: u64,
    /// By the time of their arrival, and by their number.
    under_way: BTreeMap<(u64, u64), Message>,
    next_message: u64,
}

impl Net {
    fn new(seed: u64) -> Self {
        Self {
            now_ms: 0,
            random: Random::new(seed),
            hosts: Vec::new(),
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            under_way: BTreeMap::new(),
            next_message: 0,
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |(number, host): (usize, &Host)| {
            (host.name == name || ip(number).to_string() == name).then_some(number)
        };
        self.hosts.iter().enumerate().find_map(is_it)
    }

    fn place(&self, address: &str) -> io::Result<(usize, u16)> {
        let parts = address.rsplit_once(':');
        let place = parts.and_then(|(host, port)| Some((self.find(host)?, port.parse().ok()?)));
        place.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, address.to_owned()))
    }

    fn set_link(&mut self, a: &str, b: &str, mut condition: Condition) {
        let find = |name| self.find(name).expect("the simulation knows its hosts");
        let (a, b) = (find(a), find(b));
        if a > b {
            condition.drops.reverse();
        }
        let key = (a.min(b), a.max(b));
        let is_lost = |m: &Message| condition.drops[usize::from(m.from > m.to)];
        let is_stopped = |m: &Message| m.link() == key && (condition.is_held || is_lost(m));
        let stopped = self.under_way.iter().filter(|(_, m)| is_stopped(m));
        let stopped: Vec<_> = stopped.map(|(place, _)| *place).collect();
        let stopped = stopped.iter().filter_map(|at| self.under_way.remove(at));
        let link = self.links.entry(key).or_default();
        link.condition = condition;
        link.held.extend(stopped);
        link.held.retain(|message| !is_lost(message));
        if !condition.is_held {
            for message in std::mem::take(&mut link.held) {
                self.put_under_way(self.now_ms, message);
            }
        }
    }

    fn put_under_way(&mut self, at_ms: u64, message: Message) {
        self.next_message += 1;
        self.under_way.insert((at_ms, self.next_message), message);
    }

    /// Sends something from an end to the other one.
    fn send(&mut self, from: End, segment: Segment) {
        let Some(sockets) = self.connections.get(&from.connection) else {
            return;
        };
        let message = Message {
            from: sockets[from.side].host,
            to: sockets[1 - from.side].host,
            end: from.other(),
            segment,
        };
        let link = self.links.entry(message.link()).or_default();
        if link.condition.drops[usize::from(message.from > message.to)] {
            return;
        }
        if link.condition.is_held {
            return link.held.push(message);
        }
        let spread = link.condition.latency_max_ms.max(LATENCY_MIN_MS) - LATENCY_MIN_MS;
        let is_near = message.from == message.to;
        // most take little time, a few much
        let more = (0..3).map(|_| self.random.below(spread as usize + 1) as u64);
        let more = more.min().filter(|_| !is_near).unwrap_or(0);
        self.put_under_way(self.now_ms + LATENCY_MIN_MS + more, message);
    }

    fn arrive(&mut self, message: Message, wakers: &mut Vec<Waker>) {
        let end = message.end;
        if !self.connections.contains_key(&end.connection) {
            return;
        }
        if let Segment::Connect(port) = message.segment {
            return self.take_connection(message.to, end, port, wakers);
        }
        let Some(sockets) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let socket = &mut sockets[end.side];
        let is_data = matches!(message.segment, Segment::Data(..));
        if socket.is_gone {
            if is_data {
                self.send(end, Segment::Reset);
            }
            return;
        }
        socket.take(message.segment);
        wakers.extend(socket.reader.take());
        wakers.extend(socket.writer.take());
    }

    fn take_connection(&mut self, host: usize, end: End, port: u16, wakers: &mut Vec<Waker>) {
        let host = &mut self.hosts[host];
        let backlog = host.listeners.get_mut(&port);
        let Some(backlog) = backlog.filter(|_| !host.is_refusing) else {
            if let Some(sockets) = self.connections.get_mut(&end.connection) {
                sockets[end.side].is_gone = true;
            }
            return self.send(end, Segment::Reset);
        };
        backlog.waiting.push_back(end);
        wakers.extend(backlog.waker.take());
        if let Some(sockets) = self.connections.get_mut(&end.connection) {
            sockets[end.side].is_open = true;
        }
        self.send(end, Segment::Accepted);
    }

    /// The process lets go of its end.
    fn let_go(&mut self, end: End) {
        let Some(sockets) = self.connections.get_mut(&end.connection) else {
            return;
        };
        let own = &mut sockets[end.side];
        own.is_gone = true;
        let farewell = own.farewell();
        if let Some(segment) = farewell {
            self.send(end, segment);
        }
        if let Some(sockets) = self.connections.get(&end.connection)
            && sockets.iter().all(|socket| socket.is_gone)
        {
            self.connections.remove(&end.connection);
        }
    }
}
