//! From a registry to records, without a checkout: images, the chart, what they are made of.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ottla_e2e::kubernetes::{command, get, helm, kubectl, list, node_of, path, ready, wait};
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup::{provided, scratch};
use serde_json::Value;

use crate::figures::within;
use crate::shop::{SYSTEM, TIMEOUT, install, is_of_this_machine, namespace, operator, operator_up};

/// Not the version that nodes have already: where a kubelet has pulled an image, it asks the
/// registry about the same image under another name too.
const TAG: &str = "TAG=9.9.9-rc.1";
/// The only namespace that the operator from the registry looks after.
const PUBLISHED: &str = "published";

/// A registry in memory, for as long as this lives.
struct Registry {
    address: String,
    tools: PathBuf,
    _process: Process,
}

impl Registry {
    /// Where nodes reach this machine: at the gateway of their network.
    fn start() -> Result<Self> {
        let gateway = "{{range .IPAM.Config}}{{println .Gateway}}{{end}}";
        let inspect = ["network", "inspect", "kind", "-f", gateway];
        let gateways = command("docker", &inspect, "")?.success()?.stdout;
        let gateway = gateways.lines().find(|line| line.contains('.'));
        let gateway = gateway.context("the nodes' network has no gateway")?;
        let tools = provided("publish")?;
        let mut crane = bound_to_us(&tools.join("crane"));
        crane.args(["registry", "serve", "--address", &format!("{gateway}:0")]);
        let process = Process::start(crane, &scratch("registry").join("log"))?;
        let (port, _) = wait(TIMEOUT, || {
            let said = process.output();
            let port = said.trim().rsplit_once("serving on port ");
            port.map(|(_, port)| port.to_owned()).with_context(|| said)
        })?;
        let registry = Self {
            address: format!("{gateway}:{port}"),
            tools,
            _process: process,
        };
        registry.tell_nodes()?;
        Ok(registry)
    }

    /// Tells nodes that it has no TLS.
    fn tell_nodes(&self) -> Result<()> {
        let address = &self.address;
        let hosts = format!("server = \"http://{address}\"\n[host.\"http://{address}\"]\n");
        let folder = format!("/etc/containerd/certs.d/{address}");
        let write = format!("mkdir -p {folder} && cat > {folder}/hosts.toml");
        for node in list(&path("nodes", "", ""))? {
            let name = node["metadata"]["name"].as_str().context("a name")?;
            command("docker", &["exec", "-i", name, "sh", "-c", &write], &hosts)?.success()?;
        }
        Ok(())
    }

    fn oras(&self, args: &[&str]) -> Result<String> {
        let oras = self.tools.join("oras").display().to_string();
        Ok(command(&oras, args, "")?.success()?.stdout)
    }

    /// The bill of materials of an image, as whoever has its digest finds it.
    fn bill_of(&self, image: &str) -> Result<Value> {
        let kind = "application/vnd.cyclonedx+json";
        let discover = ["discover", "--plain-http", "--format=json"];
        let found = self.oras(&[&discover[..], &["--artifact-type", kind, image]].concat())?;
        let found: Value = serde_json::from_str(&found)?;
        let bill = found
            .pointer("/referrers/0/reference")
            .and_then(Value::as_str);
        let bill = bill.with_context(|| format!("no bill of materials: {found}"))?;
        let folder = scratch("bill");
        let into = folder.display().to_string();
        self.oras(&["pull", "--plain-http", bill, "-o", &into])?;
        let file = std::fs::read_dir(&folder)?.next().context("a file")??;
        Ok(serde_json::from_str(&std::fs::read_to_string(
            file.path(),
        )?)?)
    }
}

pub fn installed_from_a_registry() -> Result<()> {
    operator_up()?;
    if !is_of_this_machine(&node_of(SYSTEM, &operator()?)?) {
        return Ok(());
    }
    let registry = Registry::start()?;
    let place = format!("REGISTRY={}/team", registry.address);
    let publish = [&place, TAG, "PLAIN_HTTP=1", "e2e/publish/run"];
    let published = command("env", &publish, "")?.success()?.stdout;
    println!("{}", published.trim());
    let images: Vec<&str> = published.lines().take(2).collect();
    for (image, crate_) in images.iter().zip(["tokio", "kube"]) {
        let bill = registry.bill_of(image)?;
        let text = bill.to_string();
        let components = bill["components"].as_array().context("components")?;
        ensure!(components.iter().any(|one| one["name"] == crate_), "{text}");
        let ours = env!("CARGO_MANIFEST_DIR").trim_end_matches("/e2e");
        ensure!(!text.contains(ours), "a path of this machine: {text}");
    }

    let uninstall = ["uninstall", "ottla", "-n", SYSTEM, "--wait"];
    helm(&uninstall)?;
    let command_line = published.lines().last().context("a command")?;
    let mut told: Vec<&str> = command_line.split_whitespace().skip(1).collect();
    let only = format!("watchNamespaces={{{PUBLISHED}}}");
    told.extend(["--plain-http", "--wait", "--timeout=120s", "--set", &only]);
    namespace(PUBLISHED)?;
    let followed = helm(&told).and_then(|notes| follow(&notes, images[0]));
    let all = "kafkatopics,kafkaclusters";
    kubectl(&["delete", all, "--all", "-n", PUBLISHED, "--timeout=120s"])?;
    kubectl(&["delete", "namespace", PUBLISHED, "--timeout=120s"])?;
    // an upgrade would keep the values of this one
    helm(&uninstall)?;
    install()?;
    followed
}

/// Does what the chart's notes say, to the letter.
fn follow(notes: &str, image: &str) -> Result<()> {
    let (_, steps) = notes.split_once("\n# ").context("no first step")?;
    let begun = Instant::now();
    let script = format!("set -e\n# {steps}");
    let said = command("bash", &[], &script)?.success()?.stdout;
    within(
        "the chart's notes followed until Ready, images pulled",
        30.0,
        begun.elapsed(),
    )?;
    ensure!(
        said.trim()
            .ends_with("quickstart-bootstrap.published.svc:9092"),
        "{said}"
    );
    ready("kafkatopics", PUBLISHED, "orders")?;
    let pod = get(&path("pods", PUBLISHED, "quickstart-0"))?;
    let runs = &pod["spec"]["containers"][0]["image"];
    ensure!(runs == image, "{runs} runs, not {image}");
    Ok(())
}
