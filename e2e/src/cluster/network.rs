//! A network of the test's own: every broker in a namespace, all behind one switch, with the
//! clients outside. Links can be cut, in one direction too, and lose packets.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::run;
use crate::process::bound_to_us;

/// Namespaces and a switch between them. Dropped, they are gone.
pub struct Network {
    /// Of this process; begins the name of everything.
    name: String,
    /// The first three bytes of every address.
    prefix: String,
    brokers: u16,
}

impl Network {
    /// Makes one for so many brokers.
    ///
    /// # Errors
    /// One of the tools fails: this needs root.
    pub fn make(brokers: u16) -> Result<Self> {
        let pid = std::process::id();
        let network = Self {
            name: format!("o{pid}"),
            prefix: format!("10.{}.{}", 100 + pid / 250 % 100, 1 + pid % 250),
            brokers,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<()> {
        let hub = self.hub();
        ip(&format!("netns add {hub}"))?;
        inside(&hub, "ip link add switch type bridge")?;
        inside(&hub, "ip link set switch up")?;
        let outside = format!("{}x", self.name);
        self.plug(&outside, None)?;
        ip(&format!("address add {}.1/24 dev {outside}", self.prefix))?;
        ip(&format!("link set {outside} up"))?;
        for id in 0..self.brokers {
            let space = self.space(id);
            ip(&format!("netns add {space}"))?;
            self.plug(&format!("{}v{id}", self.name), Some(&space))?;
            inside(&space, "ip link set lo up")?;
            let address = self.address(id);
            inside(&space, &format!("ip address add {address}/24 dev eth0"))?;
            inside(&space, "ip link set eth0 up")?;
        }
        Ok(())
    }

    /// A cable from the switch into a namespace, where it ends as eth0, or to the outside.
    fn plug(&self, name: &str, space: Option<&str>) -> Result<()> {
        let hub = self.hub();
        let at_switch = format!("{name}s");
        ip(&format!("link add {name} type veth peer name {at_switch}"))?;
        ip(&format!("link set {at_switch} netns {hub}"))?;
        inside(&hub, &format!("ip link set {at_switch} master switch up"))?;
        if let Some(space) = space {
            ip(&format!("link set {name} netns {space} name eth0"))?;
        }
        Ok(())
    }

    fn hub(&self) -> String {
        format!("{}hub", self.name)
    }

    fn space(&self, id: u16) -> String {
        format!("{}n{id}", self.name)
    }

    /// The address of a broker.
    #[must_use]
    pub fn address(&self, id: u16) -> String {
        format!("{}.{}", self.prefix, 10 + id)
    }

    /// A command that runs where the broker is.
    #[must_use]
    pub fn command(&self, id: u16, program: &Path) -> Command {
        let mut command = bound_to_us(Path::new("ip"));
        command
            .args(["netns", "exec", &self.space(id)])
            .arg(program);
        command
    }

    /// Nothing that one broker sends reaches the other.
    ///
    /// # Errors
    /// iptables fails.
    pub fn cut_one_way(&self, from: u16, to: u16) -> Result<()> {
        let from = self.address(from);
        let rule = format!("iptables -w -A INPUT -s {from} -j DROP");
        inside(&self.space(to), &rule)
    }

    /// Nothing goes between these two.
    ///
    /// # Errors
    /// iptables fails.
    pub fn cut(&self, one: u16, other: u16) -> Result<()> {
        self.cut_one_way(one, other)?;
        self.cut_one_way(other, one)
    }

    /// Nothing goes between a broker and the clients.
    ///
    /// # Errors
    /// iptables fails.
    pub fn cut_clients(&self, id: u16) -> Result<()> {
        let rule = format!("iptables -w -A INPUT -s {}.1 -j DROP", self.prefix);
        inside(&self.space(id), &rule)
    }

    /// So many percent of the packets that come in at any broker are lost.
    ///
    /// # Errors
    /// iptables fails.
    pub fn lose(&self, percent: u32) -> Result<()> {
        let probability = f64::from(percent) / 100.0;
        for id in 0..self.brokers {
            let rule = format!(
                "iptables -w -A INPUT -i eth0 -m statistic --mode random --probability \
                 {probability} -j DROP"
            );
            inside(&self.space(id), &rule)?;
        }
        Ok(())
    }

    /// Every broker sends at most so much, with a queue of half a second before that.
    ///
    /// # Errors
    /// tc fails.
    pub fn narrow(&self, mbit: u32) -> Result<()> {
        for id in 0..self.brokers {
            let rule = format!(
                "tc qdisc replace dev eth0 root tbf rate {mbit}mbit burst 32kbit latency 500ms"
            );
            inside(&self.space(id), &rule)?;
        }
        Ok(())
    }

    /// All is whole again.
    ///
    /// # Errors
    /// One of the tools fails.
    pub fn heal(&self) -> Result<()> {
        for id in 0..self.brokers {
            inside(&self.space(id), "iptables -w -F INPUT")?;
            // there may be nothing to take away
            let _ = inside(&self.space(id), "tc qdisc del dev eth0 root");
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for id in 0..self.brokers {
            let _ = ip(&format!("netns del {}", self.space(id)));
        }
        let _ = ip(&format!("link del {}x", self.name));
        let _ = ip(&format!("netns del {}", self.hub()));
    }
}

fn ip(args: &str) -> Result<()> {
    run("ip", &args.split(' ').collect::<Vec<_>>())
}

fn inside(space: &str, command: &str) -> Result<()> {
    let args = ["netns", "exec", space];
    let rest = command.split_whitespace();
    run("ip", &args.into_iter().chain(rest).collect::<Vec<_>>())
}
