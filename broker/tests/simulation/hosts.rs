//! The hosts: each has a runtime of its own, whose clock a step moves. One that is paused is left
//! out, with all that it has received, until it wakes: then its clock has gone on all at once.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ottla_broker::stream::simulated as network;
use ottla_storage::sim::Random;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::entropy::set_clock;

/// How much time a step takes. Nothing arrives sooner than it was sent, and a step later.
pub const STEP_MS: u64 = network::LATENCY_MIN_MS;

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Host {
    name: String,
    /// Its number in the network.
    number: usize,
    program: Box<dyn Fn() -> Task>,
    process: Option<Process>,
    is_paused: bool,
}

struct Process {
    runtime: Runtime,
    tasks: LocalSet,
    /// How far its clock is behind.
    behind_ms: u64,
}

impl Process {
    fn start(main: Task) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without a driver is made of memory");
        let tasks = LocalSet::new();
        tasks.spawn_local(main);
        Self {
            runtime,
            tasks,
            behind_ms: 0,
        }
    }

    fn run(&mut self) {
        let behind = Duration::from_millis(std::mem::take(&mut self.behind_ms));
        let step = async {
            if !behind.is_zero() {
                tokio::time::advance(behind).await;
            }
            tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
        };
        self.runtime.block_on(self.tasks.run_until(step));
    }
}

/// All of them.
pub struct Hosts {
    all: Vec<Host>,
    random: Random,
    now_ms: u64,
    order: Vec<usize>,
}

impl Hosts {
    /// None yet, on a network without any.
    pub fn new(seed: u64) -> Self {
        network::begin(!seed);
        set_clock(0);
        Self {
            all: Vec::new(),
            random: Random::new(seed),
            now_ms: 0,
            order: Vec::new(),
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Adds a host that runs `program`, and runs it again each time that it is started.
    pub fn add<F>(&mut self, name: &str, program: impl Fn() -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let number = network::add_host(name);
        self.order.push(self.all.len());
        self.all.push(Host {
            name: name.to_owned(),
            number,
            program: Box::new(move || Box::pin(program())),
            process: None,
            is_paused: false,
        });
        self.start(name);
    }

    fn host(&mut self, name: &str) -> &mut Host {
        let host = self.all.iter_mut().find(|host| host.name == name);
        let host = host.expect("the simulation knows its hosts");
        network::act_as(host.number);
        host
    }

    /// Its process is gone at once, and its system closes what it had open.
    pub fn crash(&mut self, name: &str) {
        let host = self.host(name);
        host.is_paused = false;
        host.process = None;
    }

    /// Its process begins anew.
    pub fn start(&mut self, name: &str) {
        let host = self.host(name);
        host.process = Some(Process::start((host.program)()));
    }

    /// Its process does nothing any more, though its clock goes on; or does again.
    pub fn pause(&mut self, name: &str, is_paused: bool) {
        self.host(name).is_paused = is_paused;
    }

    /// Moves time on: what is due has arrived, then each host acts, in any order.
    pub fn step(&mut self) {
        network::pass(self.now_ms);
        for place in (1..self.order.len()).rev() {
            self.order.swap(place, self.random.below(place + 1));
        }
        for place in &self.order {
            let host = &mut self.all[*place];
            let Some(process) = &mut host.process else {
                continue;
            };
            if host.is_paused {
                process.behind_ms += STEP_MS;
            } else {
                network::act_as(host.number);
                process.run();
            }
        }
        self.now_ms += STEP_MS;
        set_clock(self.now_ms);
    }
}
