//! Addresses of pods and nodes, where they may be IPv6.

/// Where pods reach the API server, as Kubernetes tells each of them.
#[must_use]
pub fn api_server() -> Option<String> {
    std::env::var("KUBERNETES_SERVICE_HOST").ok()
}

/// What listens on all addresses of a pod. `api_server` is where pods reach the API server: that is
/// an address of the family that pods have, or have first.
pub fn anywhere(api_server: Option<&str>) -> &'static str {
    if api_server.is_some_and(|address| address.contains(':')) {
        "[::]"
    } else {
        "0.0.0.0"
    }
}

/// The address of a broker's own node with this port, as its settings have it.
pub fn of_own_node(anywhere: &str, port: i32) -> String {
    if anywhere.contains(':') {
        format!("[${{env:HOST_IP}}]:{port}")
    } else {
        format!("${{env:HOST_IP}}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::{anywhere, of_own_node};

    #[test]
    fn an_ipv6_cluster_has_ipv6_everywhere() {
        for (api_server, all, own) in [
            (Some("10.96.0.1"), "0.0.0.0", "${env:HOST_IP}:30123"),
            (None, "0.0.0.0", "${env:HOST_IP}:30123"),
            (Some("fd00:10:96::1"), "[::]", "[${env:HOST_IP}]:30123"),
        ] {
            assert_eq!(anywhere(api_server), all);
            assert_eq!(of_own_node(anywhere(api_server), 30_123), own);
        }
    }
}
