//! Brokers that show certificates, and ask for those of whoever connects.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Brokers, Kafka};
use crate::certificates::{Data, parse, roots};
use crate::object::ObjectKey;
use crate::secrets::{CLUSTER, Secrets};

/// How the handshake of TLS begins; no request of Kafka's does.
const HANDSHAKE: u8 = 0x16;

impl Brokers {
    /// Has brokers show what these Secrets have for the cluster shop/orders.
    pub fn show_certificates_of(&self, secrets: Secrets) {
        *self.kafka.secrets.borrow_mut() = Some(secrets);
    }

    /// Whether anybody asked anything with a certificate.
    pub fn was_asked_over_tls(&self) -> bool {
        self.kafka.was_asked_over_tls.get()
    }
}

impl Kafka {
    pub(super) async fn greet(&self, broker: i32, stream: TcpStream) {
        let mut first = [0];
        if stream.peek(&mut first).await.is_ok() && first != [HANDSHAKE] {
            return self.converse(broker, stream).await;
        }
        let key = ObjectKey {
            namespace: "shop".to_owned(),
            name: "orders.certificates".to_owned(),
        };
        let secrets = self.secrets.borrow().clone().unwrap();
        let files = secrets.read(CLUSTER, &key).await.unwrap().unwrap();
        if let Ok(stream) = acceptor(&files).accept(stream).await {
            self.was_asked_over_tls.set(true);
            self.converse(broker, stream).await;
        }
    }
}

fn acceptor(files: &Data) -> TlsAcceptor {
    let text = |file: &str| String::from_utf8(files[file].clone()).unwrap();
    let shown = text("brokers.pem");
    let (chain, key) = parse(&shown, &shown).unwrap();
    let provider = Arc::new(ring::default_provider());
    let trusted = Arc::new(roots(&text("brokers.ca.pem")).unwrap());
    let verifier = WebPkiClientVerifier::builder_with_provider(trusted, Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
