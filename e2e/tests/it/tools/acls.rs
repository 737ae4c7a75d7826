//! AclCommand, against a cluster with an authorizer.

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape};

#[test]
fn acl_command() -> Result<()> {
    let shape = Shape::new("acls", 3)
        .with(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .with("allow.everyone.if.no.acl.found", "true");
    let cluster = Cluster::start(shape)?;
    let bootstrap = cluster.bootstrap();
    let acls = || Tool::at("AclCommand", &bootstrap);
    let produce = || kcat(&bootstrap, &["-P", "-t", "orders", "-p", "0"], "one\n");
    Tool::at("TopicCommand", &bootstrap)
        .line("--create --topic orders --partitions 1 --replication-factor 3")
        .run()?;

    let denied = "--deny-principal User:* --operation Write --topic ord";
    let prefixed = "--resource-pattern-type prefixed";
    let added = acls().line(&format!("--add {denied} {prefixed}")).run()?;
    added.line_with(&["operation=WRITE", "permissionType=DENY"])?;
    let listed = acls()
        .line("--list --topic orders --resource-pattern-type match")
        .run()?;
    listed.line_with(&["resourceType=TOPIC", "name=ord", "patternType=PREFIXED"])?;
    listed.line_with(&["principal=User:*", "operation=WRITE", "permissionType=DENY"])?;
    let refused = produce()?;
    ensure!(refused.code != 0, "taken: {}", refused.all());
    refused.line_with(&["Topic authorization failed"])?;

    acls()
        .line(&format!("--remove --force {denied} {prefixed}"))
        .run()?;
    let listed = acls().line("--list").run()?;
    ensure!(!listed.stdout.contains("principal="), "{}", listed.all());
    produce()?.success()?;

    // from here on no client may act as a broker, nor read the topic; brokers still replicate it
    let cluster_acl = "--add --allow-principal User:* --operation Alter --cluster";
    acls().line(cluster_acl).run()?;
    acls()
        .line("--add --allow-principal User:* --operation Write --topic orders")
        .run()?;
    for _ in 0..3 {
        produce()?.success()?;
    }
    let read = kcat(&bootstrap, &["-C", "-t", "orders", "-p", "0", "-e"], "")?;
    ensure!(!read.stdout.contains("one"), "read: {}", read.all());
    read.line_with(&["Topic authorization failed"])?;
    Ok(())
}
