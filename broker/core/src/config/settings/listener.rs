//! Addresses as settings write them: `NAME://host:port` and `id@host:port`.

use std::fmt;

use ottla_protocol::ids::NodeId;

/// One listener, or one advertised listener: `PLAINTEXT://127.0.0.1:9092`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals: `PLAINTEXT`, `INTERNAL`.
    pub name: String,
    /// The host to bind or to advertise; empty binds every address.
    pub host: String,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
}

impl Listener {
    /// Reads `NAME://host:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not NAME://host:port");
        let (name, address) = text.trim().split_once("://").ok_or_else(wrong)?;
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            return Err(wrong());
        }
        let (host, port) = split_address(address).ok_or_else(wrong)?;
        Ok(Self {
            name: name.to_ascii_uppercase(),
            host,
            port,
        })
    }

    /// Reads a comma-separated list in which no name comes twice.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut listeners: Vec<Self> = Vec::new();
        for item in text.split(',').filter(|item| !item.trim().is_empty()) {
            let listener = Self::parse(item)?;
            if listeners.iter().any(|other| other.name == listener.name) {
                return Err(format!("the name {} comes twice", listener.name));
            }
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// `host:port`, with an IPv6 host in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address())
    }
}

/// A node of the metadata quorum, or any broker, and where its peers reach it: `0@127.0.0.1:9091`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The node.
    pub node_id: NodeId,
    /// Its host.
    pub host: String,
    /// Its port for peers.
    pub port: u16,
}

impl Voter {
    /// Reads `id@host:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not id@host:port");
        let (id, address) = text.trim().split_once('@').ok_or_else(wrong)?;
        let node_id = id
            .parse::<i32>()
            .ok()
            .filter(|id| *id >= 0)
            .ok_or_else(wrong)?;
        let (host, port) = split_address(address).ok_or_else(wrong)?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            node_id: NodeId(node_id),
            host,
            port,
        })
    }

    /// Reads a comma-separated list in which no id comes twice.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut voters: Vec<Self> = Vec::new();
        for item in text.split(',').filter(|item| !item.trim().is_empty()) {
            let voter = Self::parse(item)?;
            if voters.iter().any(|other| other.node_id == voter.node_id) {
                return Err(format!("the id {} comes twice", voter.node_id));
            }
            voters.push(voter);
        }
        Ok(voters)
    }

    /// `host:port`, with an IPv6 host in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node_id, self.address())
    }
}

fn split_address(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host.to_owned(), port))
}

/// A host with a port, as clients take it: an IPv6 address in brackets.
#[must_use]
pub fn host_and_port(host: &str, port: impl fmt::Display) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_read_back_what_they_write() {
        for text in [
            "PLAINTEXT://127.0.0.1:9092",
            "INTERNAL://[::1]:0",
            "PLAINTEXT://:9092",
        ] {
            assert_eq!(Listener::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "127.0.0.1:9092",
            "A://host",
            "A://host:99999",
            "://h:1",
            "A://::1:2",
        ] {
            assert!(Listener::parse(text).is_err(), "{text}");
        }
        assert!(Listener::parse_list("A://h:1,A://h:2").is_err());
    }

    #[test]
    fn voters_read_back_what_they_write() {
        let text = "0@127.0.0.1:9091,1@broker-1:9091";
        let voters = Voter::parse_list(text).unwrap();
        let back: Vec<String> = voters.iter().map(ToString::to_string).collect();
        assert_eq!(back.join(","), text);
        for text in ["0@h:0", "-1@h:1", "h:1", "0@h:1,0@g:1"] {
            assert!(Voter::parse_list(text).is_err(), "{text}");
        }
    }
}
