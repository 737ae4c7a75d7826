//! TLS: the certificates of a listener, and the connections that are made with them.
//!
//! What a listener needs stands in files of PEM or PKCS#12, which are looked at every
//! [`LOOK_INTERVAL`]. Once they have changed and make sense, new connections have the new
//! certificates; where they make none, the old ones stay, and the log says why. Connections that
//! are open keep theirs.
//!
//! Brokers connect to each other with the certificates of the listener that they meet on.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_core::authentication::certificate::Certificate;
use ottla_core::authentication::pkcs12;
use ottla_core::config::settings::security::{ClientAuth, Pem, Store, Tls as TlsSettings};
use ottla_storage::serving;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tracing::{info, warn};

use crate::env::Env;
use crate::stream::{Network, Stream};
use crate::threads;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The largest file of certificates that is read.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why certificates are not to be used: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not to be read.
    #[error("cannot read {path} for the listener {listener}: {error}; check its path and mode")]
    Unreadable {
        /// The listener.
        listener: String,
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// What is in it is not what belongs there.
    #[error("{what} of the listener {listener} is not to be used: {reason}")]
    Refused {
        /// The listener.
        listener: String,
        /// The file, or the setting that holds it.
        what: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
}

/// The certificates of one listener.
pub struct Tls {
    listener: String,
    settings: TlsSettings,
    /// Whether both sides show certificates whatever the settings say.
    is_mutual: bool,
    current: Mutex<Current>,
}

struct Current {
    /// What was read last, also where it made no sense.
    read: [Vec<u8>; 2],
    loaded: Loaded,
}

/// What was made of the files.
#[derive(Clone)]
struct Loaded {
    server: Arc<ServerConfig>,
    /// None where nobody is trusted.
    client: Option<Arc<ClientConfig>>,
    /// When the first of the chain expires, in seconds since 1970.
    not_after: i64,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.listener)
    }
}

impl Tls {
    /// Reads the certificates that the settings of the listener name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(
        listener: &str,
        settings: &TlsSettings,
        is_mutual: bool,
        env: &Env,
    ) -> Result<Self, Error> {
        let read = read(listener, settings)?;
        let loaded = loaded(listener, settings, is_mutual, &read, env)?;
        Ok(Self {
            listener: listener.to_owned(),
            settings: settings.clone(),
            is_mutual,
            current: Mutex::new(Current { read, loaded }),
        })
    }

    fn current(&self) -> Loaded {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.loaded.clone()
    }

    /// When the listener's certificate expires, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.current().not_after
    }

    /// Shakes hands with a client: the encrypted stream, and what the subject of the client's
    /// certificate is called, where it has shown one.
    ///
    /// # Errors
    /// What went wrong with the handshake or the certificate.
    pub async fn accept(&self, stream: Stream) -> io::Result<(Stream, Option<String>)> {
        let Some(stream) = stream.into_tcp() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let acceptor = TlsAcceptor::from(self.current().server);
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let name = match shown.and_then(<[_]>::first) {
            None => None,
            Some(shown) => {
                let read = Certificate::read(shown).map(|certificate| certificate.subject);
                let subject = read.ok_or_else(|| invalid("a certificate that cannot be read"))?;
                let name = self.settings.principals.name(&subject);
                Some(name.ok_or_else(|| {
                    invalid(format!(
                        "no rule of ssl.principal.mapping.rules fits {subject}"
                    ))
                })?)
            }
        };
        Ok((Stream::Tls(Box::new(TlsStream::Server(stream))), name))
    }

    /// Shakes hands with the broker at `address`, `host:port`.
    async fn connect(&self, stream: Stream, address: &str) -> io::Result<Stream> {
        let client = self.current().client;
        let (Some(stream), Some(client)) = (stream.into_tcp(), client) else {
            let listener = self.listener.to_lowercase();
            return Err(invalid(format!(
                "{address} speaks TLS, and this broker trusts no certificates there; set \
                 listener.name.{listener}.ssl.truststore.location"
            )));
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
        let stream = TlsConnector::from(client).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }

    /// Reads the files again, and takes what they have where they have changed and make sense.
    fn look(&self, env: &Env) {
        let listener = &self.listener;
        let read = match read(listener, &self.settings) {
            Ok(read) => read,
            Err(error) => {
                warn!("{error}; the certificates in use stay");
                return;
            }
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.read == read {
            return;
        }
        match loaded(listener, &self.settings, self.is_mutual, &read, env) {
            Ok(loaded) => {
                info!("the listener {listener} has new certificates");
                current.loaded = loaded;
            }
            Err(error) => warn!("{error}; the certificates in use stay"),
        }
        current.read = read;
    }
}

/// Looks at the files of all listeners until `stop` becomes true.
pub async fn watch_files(all: Vec<Arc<Tls>>, env: Env, mut stop: watch::Receiver<bool>) {
    if all.is_empty() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (all, env) = (all.clone(), env.clone());
        let look = move || all.iter().for_each(|tls| tls.look(&env));
        if threads::blocking(false, look).await.is_none() {
            return; // the runtime is going down
        }
    }
}

/// How brokers reach one another. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    /// The network itself.
    pub network: Network,
    tls: Option<Arc<Tls>>,
}

impl From<Network> for Connector {
    fn from(network: Network) -> Self {
        Self { network, tls: None }
    }
}

impl Connector {
    /// Over that network, with the certificates of the listener that brokers meet on.
    #[must_use]
    pub fn new(network: Network, tls: Option<Arc<Tls>>) -> Self {
        Self { network, tls }
    }

    /// Whether it has certificates.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to `address` (`host:port`), where TLS is spoken or is not.
    ///
    /// # Errors
    /// What the system says, or what is wrong with the other side's certificate.
    pub async fn connect(&self, address: &str, has_tls: bool) -> io::Result<Stream> {
        let stream = self.network.connect(address).await?;
        match (has_tls, &self.tls) {
            (false, _) => Ok(stream),
            (true, Some(tls)) => tls.connect(stream, address).await,
            (true, None) => Err(invalid(format!(
                "{address} speaks TLS, and this broker has no listener of SSL for brokers"
            ))),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The bytes of the keystore and of the truststore; empty where there is none.
fn read(listener: &str, settings: &TlsSettings) -> Result<[Vec<u8>; 2], Error> {
    let bytes = |store: &Store| match store {
        Store::Pem(Pem::Inline(text)) => Ok(text.reveal().as_bytes().to_vec()),
        Store::Pem(Pem::File(path)) | Store::Pkcs12(path, _) => {
            read_file(path).map_err(|error| Error::Unreadable {
                listener: listener.to_owned(),
                path: path.display().to_string(),
                error,
            })
        }
    };
    let truststore = settings.truststore.as_ref().map(bytes).transpose()?;
    Ok([bytes(&settings.keystore)?, truststore.unwrap_or_default()])
}

pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    serving::at_disk();
    if std::fs::metadata(path)?.len() > PEM_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {PEM_BYTES_MAX} bytes"
        )));
    }
    std::fs::read(path)
}

fn loaded(
    listener: &str,
    settings: &TlsSettings,
    is_mutual: bool,
    [keystore, truststore]: &[Vec<u8>; 2],
    env: &Env,
) -> Result<Loaded, Error> {
    let refused = |named: Option<&Store>, store: &str, reason: String| Error::Refused {
        listener: listener.to_owned(),
        what: match named {
            Some(Store::Pem(Pem::File(path)) | Store::Pkcs12(path, _)) => {
                path.display().to_string()
            }
            _ => format!("the {store}"),
        },
        reason,
    };
    let wrong_key = |reason| refused(Some(&settings.keystore), "keystore", reason);
    let wrong_trust = |reason| refused(settings.truststore.as_ref(), "truststore", reason);
    let own = match &settings.keystore {
        Store::Pem(_) => chain_and_key(keystore),
        Store::Pkcs12(_, passwords) => chain_and_key_of(keystore, passwords),
    };
    let (chain, key) = own.map_err(wrong_key)?;
    let not_after = in_time(&chain, env).map_err(wrong_key)?;
    let provider = Arc::new(ring::default_provider());
    let mut versions: Vec<&SupportedProtocolVersion> = Vec::new();
    versions.extend(settings.tls13.then_some(&version::TLS13));
    versions.extend(settings.tls12.then_some(&version::TLS12));
    let wrong_pair = |error: rustls::Error| {
        wrong_key(format!(
            "{error}; give the key of the first certificate, with those that sign it behind it"
        ))
    };
    let trusted = settings.truststore.as_ref().map(|store| match store {
        Store::Pem(_) => roots(truststore),
        Store::Pkcs12(_, passwords) => roots_of(truststore, passwords),
    });
    let roots = trusted.transpose().map_err(wrong_trust)?.map(Arc::new);
    let client_auth = match is_mutual {
        true => ClientAuth::Required,
        false => settings.client_auth,
    };
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(wrong_pair)?;
    let server = match (client_auth, &roots) {
        (ClientAuth::None, _) | (_, None) => server.with_no_client_auth(),
        (auth, Some(roots)) => {
            let roots = Arc::clone(roots);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let verifier = match auth {
                ClientAuth::Requested => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build();
            let verifier = verifier.map_err(|error| wrong_trust(error.to_string()))?;
            server.with_client_cert_verifier(verifier)
        }
    };
    let server = server
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(wrong_pair)?;
    let client = roots.map(|roots| client(&provider, roots, chain, key));
    Ok(Loaded {
        server: Arc::new(server),
        client: client.transpose().map_err(wrong_pair)?.map(Arc::new),
        not_after,
    })
}

/// What a broker connects with to others.
fn client(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn chain_and_key(pem: &[u8]) -> Result<ChainAndKey, String> {
    let chain = certificates(pem)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let is_encrypted = pem.windows(21).any(|part| part == b"ENCRYPTED PRIVATE KEY");
        match is_encrypted {
            true => "its key is encrypted; give one that is not, in a file that only the broker \
                     may read"
                .to_owned(),
            false => "it has no private key; add it in PEM".to_owned(),
        }
    })?;
    Ok((chain, key))
}

/// The same out of PKCS#12.
fn chain_and_key_of(store: &[u8], passwords: &pkcs12::Passwords) -> Result<ChainAndKey, String> {
    let store = pkcs12::open(store, passwords).map_err(|refused| refused.to_string())?;
    let key = store.key.ok_or("it has no private key; add it")?;
    let chain: Vec<_> = store.certificates.into_iter().map(Into::into).collect();
    match chain.is_empty() {
        true => Err("it has no certificate; add the one of its key".to_owned()),
        false => Ok((chain, PrivatePkcs8KeyDer::from(key).into())),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| format!("{error}; give PEM"))?;
    match read.is_empty() {
        true => Err("it has no certificate; add one in PEM".to_owned()),
        false => Ok(read),
    }
}

pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    all_of(certificates(pem)?)
}

/// The same out of PKCS#12.
fn roots_of(store: &[u8], passwords: &pkcs12::Passwords) -> Result<RootCertStore, String> {
    let store = pkcs12::open(store, passwords).map_err(|refused| refused.to_string())?;
    match store.certificates.is_empty() {
        true => Err("it has no certificate; add those that sign others".to_owned()),
        false => all_of(store.certificates.into_iter().map(Into::into).collect()),
    }
}

fn all_of(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate);
        added.map_err(|error| format!("{error}; give certificates that sign others"))?;
    }
    Ok(roots)
}

/// When the first certificate expires; it must hold now.
fn in_time(chain: &[CertificateDer<'static>], env: &Env) -> Result<i64, String> {
    let first = chain.first().and_then(|first| Certificate::read(first));
    let first = first.ok_or_else(|| "its certificate cannot be read; give X.509".to_owned())?;
    let now = env.unix_ms() / 1000;
    let subject = &first.subject;
    if now > first.not_after {
        let days = (now - first.not_after) / 86_400;
        return Err(format!(
            "the certificate of {subject} expired {days} days ago; renew it"
        ));
    }
    if now < first.not_before {
        return Err(format!(
            "the time of the certificate of {subject} has not begun; check this machine's clock"
        ));
    }
    Ok(first.not_after)
}
