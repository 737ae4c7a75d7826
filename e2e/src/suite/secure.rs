//! How the suite logs in: by SCRAM over TLS, and where a test is about certificates or tokens, by
//! one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::tokens::Endpoint;
use crate::client::tool::Tool;
use crate::cluster::{Certificates, Cluster, Shape, run};

const USER: &str = "suite";
const PASSWORD: &str = "suite-secret";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer";

/// How long a login holds: short enough that long tests see it made again, and that the test of
/// just that, which waits for it several times, ends in time. Who waits in a group for others logs
/// in again only once they have come, and one test has them wait for longer than it may take.
const LOGIN_MS: &str = "30000";

/// Whether clients show a certificate.
const CLIENT_AUTH: &str = "requested";

/// How long a broker's answers take on [`slow_ways`].
const ANSWER_DELAY: Duration = Duration::from_millis(100);

/// What the brokers and the suite need to know of one another, in files.
pub struct Secure {
    certificates: Certificates,
    tokens: Endpoint,
}

impl Secure {
    /// Makes the certificates, in all the forms that the suite's client reads, and the settings of
    /// Kafka's tools.
    ///
    /// # Errors
    /// A file cannot be written, or `openssl` fails.
    pub fn make() -> Result<Self> {
        let certificates = Certificates::make("suite-certificates")?;
        let tokens = Endpoint::start(certificates.dir())?;
        let secure = Self {
            certificates,
            tokens,
        };
        secure.certificates.add_client(USER)?;
        let at = |name: &str| secure.at(name);
        let (own, authority) = (at("suite.pem"), at("ca.pem"));
        let (store, password) = (at("suite.p12"), format!("pass:{PASSWORD}"));
        let [key, shown, trusted] = ["suite.key.der", "suite.der", "ca.der"].map(at);
        for words in [
            vec!["pkcs12", "-export", "-in", &own, "-certfile", &authority]
                .into_iter()
                .chain(["-out", &store, "-passout", &password])
                .collect(),
            vec!["pkey", "-in", &own, "-outform", "DER", "-out", &key],
            vec!["x509", "-in", &own, "-outform", "DER", "-out", &shown],
            vec![
                "x509", "-in", &authority, "-outform", "DER", "-out", &trusted,
            ],
        ] {
            let words: Vec<&str> = words;
            run("openssl", &words)?;
        }
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nssl.truststore.type=PEM\n\
             ssl.truststore.location={authority}\nsasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required \
             username=\"{USER}\" password=\"{PASSWORD}\";\n"
        );
        std::fs::write(secure.properties(), text)?;
        Ok(secure)
    }

    fn at(&self, name: &str) -> String {
        self.certificates.dir().join(name).display().to_string()
    }

    /// The cluster with the listeners that the suite logs in on.
    #[must_use]
    pub fn shape(&self, shape: Shape) -> Shape {
        shape
            .listener("USERS")
            .listener("MUTUAL")
            .listener("TOKENS")
            .with(
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,MUTUAL:SSL,\
                 TOKENS:SASL_SSL",
            )
            .with("inter.broker.listener.name", "PLAINTEXT")
            .encrypted(self.certificates.dir())
            // where it is required, the test looks for the alert that Java sends: `bad_certificate`
            // in the place of TLS 1.3's `certificate_required`
            .with("listener.name.mutual.ssl.client.auth", CLIENT_AUTH)
            .with("sasl.enabled.mechanisms", "SCRAM-SHA-256")
            .with(
                "listener.name.tokens.sasl.enabled.mechanisms",
                "OAUTHBEARER",
            )
            // Apache Kafka asks for these
            .with(
                "listener.name.tokens.oauthbearer.sasl.jaas.config",
                &format!("{OAUTH}.OAuthBearerLoginModule required;"),
            )
            .with(
                "listener.name.tokens.oauthbearer.sasl.server.callback.handler.class",
                &format!("{OAUTH}.OAuthBearerValidatorCallbackHandler"),
            )
            .taking_tokens(&self.tokens.keys)
            .with("connections.max.reauth.ms", LOGIN_MS)
    }

    /// Lets the suite's user in.
    ///
    /// # Errors
    /// The cluster does not take it.
    pub fn add_user(&self, cluster: &Cluster) -> Result<()> {
        let credential = format!("SCRAM-SHA-256=[password={PASSWORD}]");
        Tool::at("kafka.admin.ConfigCommand", &cluster.bootstrap())
            .args(&["--alter", "--entity-type", "users", "--entity-name", USER])
            .args(&["--add-config", &credential])
            .run()?;
        Ok(())
    }

    /// The settings of Kafka's tools.
    #[must_use]
    pub fn properties(&self) -> PathBuf {
        self.certificates.dir().join("suite.properties")
    }

    /// The settings of a test that shows a password.
    #[must_use]
    pub fn settings(&self) -> String {
        format!(
            "security.protocol=sasl_ssl\nsasl.mechanism=SCRAM-SHA-256\nsasl.username={USER}\n\
             sasl.password={PASSWORD}\nssl.ca.location={}\n",
            self.at("ca.pem")
        )
    }

    /// Those of one that shows a certificate.
    #[must_use]
    pub fn settings_by_certificate(&self) -> String {
        let own = self.at("suite.pem");
        format!(
            "security.protocol=ssl\nssl.ca.location={}\nssl.certificate.location={own}\n\
             ssl.key.location={own}\nssl.key.password={PASSWORD}\n",
            self.at("ca.pem")
        )
    }

    /// Those of one that fetches tokens.
    #[must_use]
    pub fn settings_by_token(&self) -> String {
        format!(
            "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\nssl.ca.location={}\n{}",
            self.at("ca.pem"),
            self.tokens.settings()
        )
    }

    /// Where the suite finds the certificates in other forms, and tokens.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = self.tokens.environment().to_vec();
        all.extend([
            ("SSL_client_auth", CLIENT_AUTH.to_owned()),
            ("SSL_password", PASSWORD.to_owned()),
            ("SSL_pkcs", self.at("suite.p12")),
            ("SSL_pub_der", self.at("suite.der")),
            ("SSL_pub_pem", self.at("suite.pem")),
            ("SSL_priv_der", self.at("suite.key.der")),
            ("SSL_priv_pem", self.at("suite.pem")),
            ("SSL_ca_der", self.at("ca.der")),
            ("SSL_all_cas_pem", self.at("ca.pem")),
        ]);
        all
    }
}

/// Addresses by which those brokers are reached, and answer only after a while. The suite's client
/// takes a handshake that it refused itself for a failure of the network where the answer was there
/// before it had begun to wait for one; on a busy machine brokers are as fast as that.
///
/// # Errors
/// No port can be had.
pub fn slow_ways(bootstrap: &str) -> Result<String> {
    let ways: Result<Vec<_>> = bootstrap.split(',').map(slow_way).collect();
    Ok(ways?.join(","))
}

fn slow_way(broker: &str) -> Result<String> {
    let (listener, broker) = (TcpListener::bind("127.0.0.1:0")?, broker.to_owned());
    let way = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(broker) = TcpStream::connect(&broker) else {
                continue;
            };
            if let (Ok(asks), Ok(answers)) = (client.try_clone(), broker.try_clone()) {
                std::thread::spawn(move || forward(asks, broker, Duration::ZERO));
                std::thread::spawn(move || forward(answers, client, ANSWER_DELAY));
            }
        }
    });
    Ok(way)
}

fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        std::thread::sleep(delay);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
