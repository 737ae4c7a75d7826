use super::*;

fn refusal(text: &str) -> String {
    Settings::from_properties("server.properties", text)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_file_is_read_into_typed_values() {
    let text = "broker.id=7\nlisteners=A://h:1,CONTROLLER://h:2\nbroker.session.timeout.ms=2000\n\
                log.retention.ms=5\ncontroller.quorum.voters=7@h:2,8@h:3\n";
    let settings = Settings::from_properties("f", text).unwrap();
    assert_eq!(settings.node_id, NodeId(7));
    assert_eq!(settings.session_timeout, Duration::from_secs(2));
    assert_eq!(settings.statics["log.retention.ms"], Value::Number(5));
    assert_eq!(settings.peer_listener().unwrap().port, 2);
    assert_eq!(settings.client_listeners().count(), 1);
    assert!(settings.is_voter());
    assert_eq!(settings.statics["node.id"], Value::Number(7));
    assert!(!settings.statics.contains_key("num.partitions"));
}

#[test]
fn a_refusal_is_one_sentence_that_names_the_place() {
    let unknown = refusal("node.id=1\nnum.partition=3\n");
    assert!(
        unknown.starts_with("server.properties:2: unknown setting 'num.partition'"),
        "{unknown}"
    );
    assert!(
        unknown.contains("did you mean 'num.partitions'?"),
        "{unknown}"
    );
    let wrong = refusal("num.partitions=many");
    assert!(
        wrong.contains("num.partitions=many is refused: give a whole number"),
        "{wrong}"
    );
    assert!(refusal("nonsense").contains("server.properties:1: expected key=value"));
    assert!(refusal("listeners=CONTROLLER://:9091").contains("no listener for clients"));
    let advertised = "listeners=A://:1\nadvertised.listeners=A://0.0.0.0:1";
    assert!(refusal(advertised).contains("nobody can connect to"));
    let class = refusal("authorizer.class.name=my.Authorizer");
    assert!(
        class.contains("is refused: give org.apache.kafka."),
        "{class}"
    );
    assert!(refusal("super.users=User:a;b").contains("write b as User:b"));
    assert!(refusal("log.dirs=/a,/b").contains("more than one directory"));
}

#[test]
fn dev_is_valid() {
    let settings = Settings::dev(Path::new("data"), 9092).unwrap();
    assert_eq!(
        settings.client_listeners().next().unwrap().address(),
        "127.0.0.1:9092"
    );
}

#[test]
fn a_folder_that_no_setting_can_name_is_refused() {
    for folder in ["a,b", "a\nb"] {
        let refused = Settings::dev(Path::new(folder), 9092).unwrap_err();
        assert!(refused.to_string().starts_with("--data-dir"), "{refused}");
    }
}

/// As the examples of Strimzi and other published clusters have it.
#[test]
fn what_kafka_knows_is_taken_but_no_promise_that_is_not_kept() {
    for line in [
        "offsets.topic.replication.factor=3",
        "transaction.state.log.replication.factor=3",
        "transaction.state.log.min.isr=2",
        "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
        "queued.max.requests=500",
        "queued.max.request.bytes=-1",
        "socket.send.buffer.bytes=102400",
        "socket.request.max.bytes=2004857600",
        "replica.socket.timeout.ms=30000",
        "request.timeout.ms=30000",
        "log.cleaner.enable=true",
        "max.connections=2147483647",
        "group.consumer.session.timeout.ms=45000",
        "metric.reporters=",
        "process.roles=broker,controller",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL",
    ] {
        let read = Settings::from_properties("f", line);
        assert!(read.is_ok(), "{}", read.unwrap_err());
    }
    for (line, why) in [
        (
            "listener.security.protocol.map=PLAINTEXT:SSL",
            "a listener of SSL",
        ),
        (
            "security.inter.broker.protocol=SSL",
            "give text, of PLAINTEXT",
        ),
        (
            "remote.log.storage.system.enable=true",
            "give true or false, of false",
        ),
        (
            "create.topic.policy.class.name=my.Policy",
            "give nothing: no class is loaded",
        ),
        (
            "controller.quorum.bootstrap.servers=a:1",
            "give nothing: the voters of the quorum stand in controller.quorum.voters",
        ),
        (
            "transaction.state.log.min.isr=0",
            "give a whole number, at least 1",
        ),
    ] {
        let refused = refusal(line);
        assert!(refused.contains(why), "{refused}");
    }
}
