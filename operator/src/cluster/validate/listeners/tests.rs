//! A listener in, what is wrong with it out.

use super::network;
use crate::cluster::validate::{Observed, validate};
use crate::crd::KafkaCluster;

#[test]
#[allow(clippy::too_many_lines, reason = "a table is of one piece")]
fn what_does_not_go_with_the_type_is_named_with_what_to_do() {
    let by_name = "tls: {}, advertised: { host: 'b-{broker}.x', bootstrapHost: b.x }";
    for (listener, says) in [
        ("type: ClusterIP, advertised: { host: x }", "has advertised"),
        ("service: { annotations: { a: b } }", "make it a ClusterIP"),
        ("type: Ingress", "has no tls"),
        ("type: Ingress, tls: {}", "needs advertised.bootstrapHost"),
        (
            "type: TLSRoute, tls: {}, advertised: { host: b.x, bootstrapHost: c.x }",
            "needs advertised.bootstrapHost",
        ),
        (
            "type: Ingress, tls: {}, advertised: { host: '{broker}.x', bootstrapHost: 0.x }",
            "one host for a broker and for the first connection",
        ),
        (
            "type: Ingress, tls: {}, advertised: { host: 'B{broker}.x', bootstrapHost: b.x }",
            "the host B0.x in advertised",
        ),
        (
            "type: NodePort, advertised: { host: x, port: 1 }",
            "they would have one address",
        ),
        ("allowedFrom: [{}]", "neither an ipBlock alone"),
        (
            "allowedFrom: [{ ipBlock: { cidr: x } }]",
            "has \"x\" in allowedFrom",
        ),
        (
            "allowedFrom: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16] } }]",
            "10.0.0.0/8 in allowedFrom, which does not have all of 11.0.0.0/16",
        ),
        (
            "allowedFrom: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.0.0.0/8] } }]",
            "without 10.0.0.0/8 nothing of it is left",
        ),
        (
            "allowedFrom: [{ ipBlock: { cidr: '2001:db8::/32', except: [10.0.0.0/8] } }]",
            "2001:db8::/32 in allowedFrom, which does not have all of 10.0.0.0/8",
        ),
        (
            "allowedFrom: [{ podSelector: { matchExpressions: [{ key: a, operator: In }] } }]",
            "the operator In for a",
        ),
        (&format!("type: TLSRoute, {by_name}"), "needs gateways"),
        (
            &format!("type: Ingress, gateways: [{{ name: g }}], {by_name}"),
            "needs gateways",
        ),
        (
            "type: LoadBalancer, advertised: { host: x }",
            "write {broker} where",
        ),
        (
            "type: LoadBalancer, ingressClass: nginx",
            "has ingressClass",
        ),
        (
            "type: ClusterIP, service: { nodePorts: { bootstrap: 1 } }",
            "service.nodePorts or",
        ),
        (
            "type: NodePort, service: { sourceRanges: [10.0.0.0/8] }",
            "service.sourceRanges",
        ),
        (
            "type: LoadBalancer, service: { sourceRanges: [10.0.0.0] }",
            "write networks as 203.0.113.0/24",
        ),
        (
            "type: NodePort, service: { nodePorts: { bootstrap: 30002, firstBroker: 30000 } }",
            "30000 to 30002; choose another",
        ),
        (
            "type: NodePort, service: { nodePorts: { bootstrap: 70000 } }",
            "1 to 65535 are ports",
        ),
        (
            "type: NodePort, service: { nodePorts: { firstBroker: 65534 } }",
            "has the port 65536",
        ),
        (
            "type: NodePort, service: { nodePorts: { firstBroker: 30000 } } }, { name: c, port: \
             9095, type: LoadBalancer, service: { nodePorts: { bootstrap: 30002 } }",
            "spec.listeners[2] (c) has the port 30002 in service.nodePorts, which listener b",
        ),
        (
            "type: NodePort, service: { labels: { app.kubernetes.io/name: x } }",
            "spec.listeners[1].service.labels may not set app.kubernetes.io/name",
        ),
        (
            "type: NodePort, service: { annotations: { ottla.io/x: x } }",
            "spec.listeners[1].service.annotations may not set ottla.io/x",
        ),
    ] {
        let cluster: KafkaCluster = serde_yaml::from_str(&format!(
            "metadata: {{ name: c }}\nspec: {{ listeners: [{{ name: a, port: 9092 }}, {{ name: \
             b, port: 9093, {listener} }}] }}"
        ))
        .unwrap();
        let verdict = validate(&cluster, Observed::default()).unwrap_err();
        assert!(
            verdict.message.contains(says),
            "{listener}: {}",
            verdict.message
        );
    }
}

#[test]
fn what_a_service_has_room_for_is_checked_here() {
    let listener = |letters: usize| {
        let long = "x".repeat(letters);
        let yaml = format!(
            "metadata: {{ name: c }}\nspec: {{ listeners: [{{ name: a, port: 9092 }}, {{ name: \
             b, port: 9093, type: LoadBalancer, service: {{ annotations: {{ a: {long} }} }} }}] \
             }}"
        );
        let cluster: KafkaCluster = serde_yaml::from_str(&yaml).unwrap();
        validate(&cluster, Observed::default()).map(drop)
    };
    assert_eq!(listener(100 * 1024), Ok(()));
    let verdict = listener(120 * 1024).unwrap_err();
    let says = "spec.listeners[1] (b) has 122881 bytes of annotations";
    assert!(verdict.message.starts_with(says), "{}", verdict.message);
}

#[test]
fn a_network_has_those_that_begin_with_its_bits() {
    for (part, whole, has) in [
        ("10.1.0.0/16", "10.0.0.0/8", true),
        ("10.1.2.3/32", "10.1.2.0/24", true),
        ("10.0.0.0/8", "10.0.0.0/8", true),
        ("10.0.0.0/7", "10.0.0.0/8", false),
        ("11.0.0.0/16", "10.0.0.0/8", false),
        ("10.0.0.0/8", "0.0.0.0/0", true),
        ("2001:db8:1::/48", "2001:db8::/32", true),
        ("2001:db9::/48", "2001:db8::/32", false),
        ("::a00:0/104", "::/0", true),
        ("10.0.0.0/8", "::/0", false),
    ] {
        let [part_, whole_] = [part, whole].map(|one| network(one).unwrap());
        assert_eq!(whole_.has(&part_), has, "{part} of {whole}");
    }
}
