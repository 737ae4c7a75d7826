//! Ways to reach brokers that lead through Services: from a pod by a ClusterIP, from outside by
//! load balancers, and by name through a proxy that passes TLS through. Nobody makes load balancers
//! on kind, so this does what a cloud's controller does: it assigns an address, and leads it to a
//! node. The Ingress controller is HAProxy, configured by what the Ingresses say.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::tool::Tool;
use ottla_e2e::kubernetes::{
    Pod, apply, command, condition, get, kubectl, list, node_address, node_of, path, ready, says,
    wait,
};
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup::scratch;
use serde_json::Value;

use crate::shop::{TIMEOUT, cluster, is_of_this_machine, namespace, operator_up, topic_of};

const NAMESPACE: &str = "ways";
/// Longer than the operator takes to have a broker go.
const A_WHILE: Duration = Duration::from_secs(5);
/// Where HAProxy listens on this machine.
const PROXY: u16 = 19_443;
/// Addresses that are nobody's (RFC 5737), for load balancers.
const BALANCERS: &str = "203.0.113";

const LISTENERS: &str = "  listeners:
    - { name: internal, port: 9092, tls: {} }
    - { name: pods, port: 9093, type: ClusterIP }
    - name: web
      port: 9094
      type: Ingress
      tls: {}
      advertised: { host: 'b{broker}.ways.test', bootstrapHost: b.ways.test, port: 19443 }
";
const BALANCED: &str = "    - { name: cloud, port: 9095, type: LoadBalancer }
";

pub fn services_balancers_and_names() -> Result<()> {
    operator_up()?;
    namespace(NAMESPACE)?;
    let manifest = |more: &str| {
        cluster("ways", &format!("{LISTENERS}{more}")).replace("replicas: 3", "replicas: 2")
    };
    apply(NAMESPACE, &manifest(""))?;
    let topic = topic_of("ways", "orders", 4, "").replace("Factor: 3", "Factor: 2");
    apply(NAMESPACE, &topic)?;
    wait(TIMEOUT, || ready("kafkaclusters", NAMESPACE, "ways"))?;
    wait(TIMEOUT, || ready("kafkatopics", NAMESPACE, "orders"))?;
    by_cluster_ip()?;
    if may_lead() && is_of_this_machine(&node_of(NAMESPACE, "ways-0")?) {
        Route::clear()?;
        by_name()?;
        by_balancer(&manifest)?;
    }
    kubectl(&["delete", "namespace", NAMESPACE, "--timeout=120s"]).map(drop)
}

/// Whether this may lead addresses to nodes, and has a proxy.
fn may_lead() -> bool {
    let has = |program: &str| command(program, &["-v"], "").is_ok();
    let may = rustix::process::geteuid().is_root() && has("haproxy");
    if !may {
        println!("skipped: names and load balancers need root, and haproxy");
    }
    may
}

/// What the status says is the value for `bootstrap.servers`.
fn told(listener: &str) -> Result<String> {
    let object = get(&path("kafkaclusters", NAMESPACE, "ways"))?;
    let told = object["status"]["listeners"][listener].as_str();
    Ok(told
        .with_context(|| format!("the status knows no {listener}"))?
        .to_owned())
}

/// All partitions, from a pod: so each broker is reached by its own Service.
fn by_cluster_ip() -> Result<()> {
    let pod = Pod::start(NAMESPACE)?;
    let bootstrap = told("pods")?;
    ensure!(
        bootstrap == "ways-pods-bootstrap.ways.svc:9093",
        "{bootstrap}"
    );
    for partition in 0..4 {
        let partition = partition.to_string();
        let send = ["-b", &bootstrap, "-P", "-t", "orders", "-p", &partition];
        pod.kcat(&send, "from-a-pod\n")?;
    }
    let seen = pod.kcat(&["-b", &bootstrap, "-L"], "")?.stdout;
    for broker in ["ways-pods-0.ways.svc:9093", "ways-pods-1.ways.svc:9093"] {
        ensure!(seen.contains(broker), "{seen}");
    }
    Ok(())
}

/// Java's producer, to each partition, through a proxy that knows brokers by the names in the
/// handshakes and never sees what is inside.
fn by_name() -> Result<()> {
    ensure!(told("web")? == "b.ways.test:19443");
    let folder = scratch("ways");
    let node = node_address(&node_of(NAMESPACE, "ways-0")?)?;
    let (mut rules, mut servers, mut hosts) = (String::new(), String::new(), String::new());
    let mut routes = Vec::new();
    let ingresses = list(&path("ingresses", NAMESPACE, ""))?;
    ensure!(ingresses.len() == 3, "{} Ingresses", ingresses.len());
    for ingress in &ingresses {
        let rule = &ingress["spec"]["rules"][0];
        let service = &rule["http"]["paths"][0]["backend"]["service"];
        let (host, name) = (text(&rule["host"])?, text(&service["name"])?);
        let address = get(&path("services", NAMESPACE, &name))?;
        let address = text(&address["spec"]["clusterIP"])?;
        let port = &service["port"]["number"];
        writeln!(rules, "  use_backend {name} if {{ req.ssl_sni -i {host} }}")?;
        writeln!(servers, "backend {name}\n  server one {address}:{port}")?;
        writeln!(hosts, "127.0.0.1 {host}")?;
        routes.push(Route::add(&address, &node)?);
    }
    let configuration = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend names\n  bind 127.0.0.1:{PROXY}\n  tcp-request inspect-delay 5s\n  \
         tcp-request content accept if {{ req.ssl_hello_type 1 }}\n{rules}{servers}"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, configuration)?;
    let mut haproxy = bound_to_us(std::path::Path::new("haproxy"));
    haproxy.arg("-db").arg("-f").arg(&file);
    // dropped, it is killed
    let _proxy = Process::start(haproxy, &folder.join("haproxy.log"))?;

    let hosts_file = folder.join("hosts");
    std::fs::write(&hosts_file, hosts)?;
    let properties = trust(&folder)?;
    let flags = [
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-Xmx256M".to_owned(),
        format!("-Djdk.net.hosts.file={}", hosts_file.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    wait(TIMEOUT, || {
        let records = Tool::flagged("ProducerPerformance", &flags)
            .line("--topic orders --num-records 1000 --record-size 100 --throughput -1")
            .line("--producer-props acks=all bootstrap.servers=b.ways.test:19443")
            .args(&["--producer.config", &properties])
            .output()?;
        ensure!(
            records.stdout.contains("1000 records sent"),
            "{}",
            records.stderr
        );
        Ok(())
    })?;
    Ok(())
}

/// What Java takes to trust the brokers: the authority that signed them.
fn trust(folder: &std::path::Path) -> Result<String> {
    let template = "go-template={{index .data \"ca.crt\" | base64decode}}";
    let pem = kubectl(&["get", "secret", "ways.ca", "-n", NAMESPACE, "-o", template])?;
    let ca = folder.join("ca.crt").display().to_string();
    std::fs::write(&ca, pem)?;
    let properties = folder.join("client.properties").display().to_string();
    std::fs::write(
        &properties,
        format!("security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n"),
    )?;
    Ok(properties)
}

/// Brokers that run get load balancers: nobody restarts before all have addresses.
fn by_balancer(manifest: &dyn Fn(&str) -> String) -> Result<()> {
    let uids = || -> Result<Vec<Value>> {
        let uid = |pod| Ok(get(&path("pods", NAMESPACE, pod))?["metadata"]["uid"].clone());
        ["ways-0", "ways-1"].into_iter().map(uid).collect()
    };
    let before = uids()?;
    apply(NAMESPACE, &manifest(BALANCED))?;
    let (kind, reason) = ("kafkaclusters", "Applying");
    let waits = || says(kind, NAMESPACE, "ways", "Reconciling", "True", reason);
    let (object, _) = wait(TIMEOUT, waits)?;
    let message = condition(&object, "Reconciling")?["message"].to_string();
    ensure!(
        message.contains("ways-cloud-0 has no address yet"),
        "{message}"
    );
    std::thread::sleep(A_WHILE);
    ensure!(
        uids()? == before,
        "brokers restarted for an address that nobody has"
    );
    let node = node_address(&node_of(NAMESPACE, "ways-0")?)?;
    let mut routes = Vec::new();
    for (place, way) in ["bootstrap", "0", "1"].iter().enumerate() {
        let ip = format!("{BALANCERS}.{}", place + 1);
        let status = format!(r#"{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{ip}"}}]}}}}}}"#);
        let service = format!("ways-cloud-{way}");
        let patch = [
            "patch",
            "service",
            &service,
            "-n",
            NAMESPACE,
            "--subresource=status",
        ];
        kubectl(&[&patch[..], &["-p", &status]].concat())?;
        routes.push(Route::add(&ip, &node)?);
    }
    wait(TIMEOUT, || {
        ready(kind, NAMESPACE, "ways")?;
        let bootstrap = told("cloud")?;
        ensure!(bootstrap == format!("{BALANCERS}.1:9095"), "{bootstrap}");
        Ok(())
    })?;
    let bootstrap = told("cloud")?;
    let seen = command("kcat", &["-b", &bootstrap, "-L"], "")?.stdout;
    for broker in [format!("{BALANCERS}.2:9095"), format!("{BALANCERS}.3:9095")] {
        ensure!(seen.contains(&broker), "{seen}");
    }
    for partition in ["0", "1", "2", "3"] {
        let send = ["-b", &bootstrap, "-P", "-t", "orders", "-p", partition];
        let sent = command("kcat", &send, "through-a-balancer\n")?;
        ensure!(sent.code == 0, "{}", sent.stderr);
    }
    Ok(())
}

/// By which routes of this step are known from others, of the numbers that are nobody's.
const PROTOCOL: &str = "241";

/// A route of this machine to an address behind a node, which goes when this does.
struct Route(String);

impl Route {
    /// Takes away what a run before this one has left.
    fn clear() -> Result<()> {
        let clear = ["route", "flush", "proto", PROTOCOL];
        let cleared = Command::new("ip").args(clear).status()?;
        ensure!(cleared.success(), "routes of a run before are left");
        Ok(())
    }

    fn add(address: &str, node: &str) -> Result<Self> {
        let added = Command::new("ip")
            .args(["route", "add", address, "via", node, "proto", PROTOCOL])
            .status()?;
        ensure!(added.success(), "no route to {address} by {node}");
        Ok(Self(address.to_owned()))
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["route", "del", &self.0]).status();
    }
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("text")?.to_owned())
}
