//! Every way to log in, with every client: over TLS each says one record and is let in, and with
//! what is not its own it is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::authority::Authority;
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::client::{Output, run};
use ottla_e2e::cluster::{Cluster, Shape};
use ottla_e2e::issuer::Issuer;
use ottla_e2e::setup;

use crate::tokens::made_token;

const SECURITY: &str = "org.apache.kafka.common.security";
const TIMEOUT: Duration = Duration::from_secs(90);

/// A client that logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Java,
    Librdkafka,
    Aiokafka,
    FranzGo,
}

/// How it says who it is.
#[derive(Clone, Debug)]
enum Login {
    /// By the mechanism, with a name and a password.
    Password(&'static str, String, String),
    /// By an issuer's token.
    Token(String),
    /// By a broker's token: its id and HMAC.
    Delegation(String, String),
    /// By the certificate in that file.
    Certificate(PathBuf),
}

impl Login {
    fn mechanism(&self) -> &'static str {
        match self {
            Self::Password(mechanism, ..) => mechanism,
            Self::Token(_) => "OAUTHBEARER",
            Self::Delegation(..) => "SCRAM-SHA-256",
            Self::Certificate(_) => "",
        }
    }

    /// The settings, by librdkafka's names.
    fn words(&self) -> Vec<String> {
        let mut words = match self {
            Self::Certificate(file) => {
                let file = file.display();
                return vec![
                    "security.protocol=SSL".to_owned(),
                    format!("ssl.certificate.location={file}"),
                    format!("ssl.key.location={file}"),
                ];
            }
            Self::Token(token) => vec![format!("token={token}")],
            Self::Password(_, name, password) | Self::Delegation(name, password) => vec![
                format!("sasl.username={name}"),
                format!("sasl.password={password}"),
            ],
        };
        if let Self::Delegation(..) = self {
            words.push("sasl.tokenauth=true".to_owned());
        }
        words.push("security.protocol=SASL_SSL".to_owned());
        words.push(format!("sasl.mechanism={}", self.mechanism()));
        words
    }

    /// The lines of a client.properties, and the flags of its machine.
    fn properties(&self, dir: &Path) -> Result<(String, Vec<String>)> {
        let mut flags = Vec::new();
        let jaas = match self {
            Self::Certificate(file) => {
                return Ok((
                    format!(
                        "security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location={}\n",
                        file.display()
                    ),
                    flags,
                ));
            }
            Self::Token(token) => {
                let path = dir.join("token").display().to_string();
                std::fs::write(&path, token)?;
                let allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed";
                flags.push(format!("{allowed}.urls=file://{path}"));
                flags.push(format!("{allowed}.files={path}"));
                format!(
                    "{SECURITY}.oauthbearer.OAuthBearerLoginModule required;\n\
                     sasl.oauthbearer.token.endpoint.url=file://{path}\n\
                     sasl.login.callback.handler.class=\
                     {SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler"
                )
            }
            Self::Password("PLAIN", name, password) => format!(
                "{SECURITY}.plain.PlainLoginModule required username=\"{name}\" \
                 password=\"{password}\";"
            ),
            Self::Password(_, name, password) => format!(
                "{SECURITY}.scram.ScramLoginModule required username=\"{name}\" \
                 password=\"{password}\";"
            ),
            Self::Delegation(id, hmac) => format!(
                "{SECURITY}.scram.ScramLoginModule required username=\"{id}\" \
                 password=\"{hmac}\" tokenauth=\"true\";"
            ),
        };
        let mechanism = self.mechanism();
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.jaas.config={jaas}\n"
        );
        Ok((text, flags))
    }
}

/// The brokers, and what there is to log in with.
struct House {
    cluster: Cluster,
    dir: PathBuf,
    /// What is let in, and beside it the same with somebody else's secret.
    logins: Vec<(&'static str, Login, Login)>,
}

/// A broker with a listener of all mechanisms and one for certificates.
fn start(name: &str) -> Result<House> {
    let dir = setup::scratch(&format!("{name}-files"));
    let at = |file: &str| dir.join(file).display().to_string();
    let authority = Authority::new("Ottla e2e CA");
    let issuer = Issuer::new()?;
    for (file, text) in [
        ("broker.pem", authority.server("broker")),
        ("ca.pem", authority.pem()),
        ("alice.pem", authority.client("alice")),
        ("foreign.pem", Authority::new("another").client("alice")),
        ("jwks", issuer.jwks()),
    ] {
        std::fs::write(dir.join(file), text)?;
    }
    let shape = Shape::new(name, 1)
        .listener("USERS")
        .listener("MUTUAL")
        .with(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,MUTUAL:SSL",
        )
        .with("inter.broker.listener.name", "PLAINTEXT")
        .encrypted(&dir)
        .with("listener.name.mutual.ssl.client.auth", "required")
        .with(
            "listener.name.users.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        )
        .with(
            "listener.name.users.plain.sasl.jaas.config",
            &format!("{SECURITY}.plain.PlainLoginModule required user_alice=\"plain-secret\";"),
        )
        .taking_tokens(&format!("file://{}", at("jwks")))
        .authorizing();
    let cluster = Cluster::start(shape)?;
    let plain = cluster.bootstrap();
    Tool::at("TopicCommand", &plain)
        .line("--create --topic logins --partitions 1 --replication-factor 1")
        .run()?;
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        Tool::at("kafka.admin.ConfigCommand", &plain)
            .line("--alter --entity-type users --entity-name alice --add-config")
            .args(&[&format!("{mechanism}=[password={mechanism}-secret]")])
            .run()?;
    }
    Tool::at("AclCommand", &plain)
        .line("--add --allow-principal User:alice --allow-principal User:CN=alice")
        .line("--operation Write --topic logins")
        .run()?;
    let mut house = House {
        cluster,
        dir,
        logins: Vec::new(),
    };
    house.logins = house.all_logins(&issuer)?;
    Ok(house)
}

impl House {
    fn all_logins(&self, issuer: &Issuer) -> Result<Vec<(&'static str, Login, Login)>> {
        let password = |mechanism, word: &str| {
            Login::Password(mechanism, "alice".to_owned(), format!("{word}-secret"))
        };
        let scram = password("SCRAM-SHA-256", "SCRAM-SHA-256");
        let properties = self.write_properties("maker", &scram)?.0;
        let (id, hmac) = made_token(&self.cluster.bootstrap_of("USERS"), &properties)?;
        let certificate = |file: &str| Login::Certificate(self.dir.join(file));
        Ok(vec![
            (
                "PLAIN",
                password("PLAIN", "plain"),
                password("PLAIN", "SCRAM-SHA-256"),
            ),
            (
                "SCRAM-SHA-256",
                scram,
                password("SCRAM-SHA-256", "SCRAM-SHA-512"),
            ),
            (
                "SCRAM-SHA-512",
                password("SCRAM-SHA-512", "SCRAM-SHA-512"),
                password("SCRAM-SHA-512", "SCRAM-SHA-256"),
            ),
            (
                "OAUTHBEARER",
                Login::Token(issuer.token("alice", 600)?),
                Login::Token(Issuer::new()?.token("alice", 600)?),
            ),
            (
                "delegation token",
                Login::Delegation(id.clone(), hmac),
                Login::Delegation(id, "bm8gaG1hYw==".to_owned()),
            ),
            (
                "certificate",
                certificate("alice.pem"),
                certificate("foreign.pem"),
            ),
        ])
    }

    fn bootstrap(&self, login: &Login) -> String {
        let listener = match login {
            Login::Certificate(_) => "MUTUAL",
            _ => "USERS",
        };
        self.cluster.bootstrap_of(listener)
    }

    /// The file that Java's clients take, and the flags of their machine.
    fn write_properties(&self, name: &str, login: &Login) -> Result<(PathBuf, Vec<String>)> {
        let (text, flags) = login.properties(&self.dir)?;
        let path = self.dir.join(format!("{name}.properties"));
        let ca = self.dir.join("ca.pem");
        let trust = format!(
            "ssl.truststore.type=PEM\nssl.truststore.location={}\nmax.block.ms=10000\n",
            ca.display()
        );
        std::fs::write(&path, text + &trust)?;
        Ok((path, flags))
    }

    /// Has the client say that text, or try to, for a while.
    fn say(&self, client: Client, login: &Login, text: &str, is_let_in: bool) -> Result<Output> {
        let bootstrap = self.bootstrap(login);
        let script = |name: &str| {
            let mut command = Command::new(setup::python());
            command.arg(setup::checkout().join("e2e/clients").join(name));
            command
        };
        let mut command = match client {
            Client::Java => {
                let (path, flags) = self.write_properties("java", login)?;
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                return Tool::flagged("org.apache.kafka.tools.ConsoleProducer", &flags)
                    .args(&["--bootstrap-server", &bootstrap, "--topic", "logins"])
                    .args(&["--command-config", &path.display().to_string()])
                    .input(&format!("{text}\n"))
                    .output();
            }
            Client::Librdkafka => script("login.py"),
            Client::Aiokafka => script("login_aio.py"),
            Client::FranzGo => Command::new(setup::provided("franz")?.join("login")),
        };
        command
            .arg(format!("bootstrap.servers={bootstrap}"))
            .arg(format!(
                "ssl.ca.location={}",
                self.dir.join("ca.pem").display()
            ))
            .args(login.words())
            .args(["say", "logins", text]);
        // it goes on to try, whatever it is told
        if client == Client::Librdkafka && !is_let_in {
            command.arg("message.timeout.ms=2000");
        }
        run(command, &[], TIMEOUT)
    }
}

/// Whether the client knows that login: of delegation tokens librdkafka and aiokafka know nothing.
fn knows(client: Client, login: &Login) -> bool {
    let is_delegation = matches!(login, Login::Delegation(..));
    !is_delegation || matches!(client, Client::Java | Client::FranzGo)
}

fn all_log_in(name: &str, clients: &[Client]) -> Result<()> {
    let house = start(name)?;
    let mut said = BTreeSet::new();
    for client in clients {
        for (way, login, wrong) in &house.logins {
            if !knows(*client, login) {
                continue;
            }
            let text = format!("{client:?} {way}");
            let output = house.say(*client, login, &text, true)?;
            output.success().with_context(|| text.clone())?;
            let refused = house.say(*client, wrong, &format!("not {text}"), false)?;
            // Java's console says that it cannot send, and ends well
            let is_told = refused.code != 0 || refused.all().contains("AuthenticationException");
            ensure!(is_told, "{text} with what is wrong: {}", refused.all());
            said.insert(text);
        }
    }
    let read = kcat(
        &house.cluster.bootstrap(),
        &["-C", "-t", "logins", "-e", "-q"],
        "",
    )?;
    let read: BTreeSet<String> = read.success()?.stdout.lines().map(str::to_owned).collect();
    ensure!(read == said, "said {said:?}, read {read:?}");
    Ok(())
}

#[test]
fn java_librdkafka_and_aiokafka_log_in_every_way() -> Result<()> {
    all_log_in(
        "logins",
        &[Client::Java, Client::Librdkafka, Client::Aiokafka],
    )
}

/// It needs Go; `e2e/run-tests release logins` runs it.
#[test]
fn franz_go_logs_in_every_way() -> Result<()> {
    all_log_in("franz", &[Client::FranzGo])
}
