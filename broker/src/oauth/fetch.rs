//! Fetching a set of keys, out of a file or by one GET of HTTP/1.1. What an address redirects to is
//! not followed: the settings name where keys are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use ottla_core::authentication::jwks::Keys;
use ottla_core::config::settings::security::Pem;
use ottla_core::config::settings::security::oauth::{Endpoint, KeysAt};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{threads, tls};

/// How long fetching may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Why nothing is fetched when the process ends.
const STOPS: &str = "the broker stops";

/// The largest set of keys.
const BYTES_MAX: usize = 1 << 20;

/// The keys that are there now; or why there are none, as the end of a sentence.
pub(super) async fn keys(at: &KeysAt) -> Result<Keys, String> {
    match at {
        KeysAt::File(path) => {
            let path = path.clone();
            let read = threads::blocking(false, move || in_file(&path)).await;
            read.unwrap_or_else(|| Err(STOPS.to_owned()))
        }
        KeysAt::Http(endpoint) => {
            let got = tokio::time::timeout(TIMEOUT, get(endpoint)).await;
            let got = got.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")));
            let keys = got.and_then(|json| Keys::read(&json));
            keys.map_err(|why| format!("{}: {why}", endpoint.url))
        }
    }
}

/// The keys in a file.
pub(super) fn in_file(path: &Path) -> Result<Keys, String> {
    let keys = file(path).and_then(|json| Keys::read(&json));
    keys.map_err(|why| format!("{}: {why}", path.display()))
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    tls::read_file(path).map_err(|error| format!("{error}; check its path and mode"))
}

async fn get(endpoint: &Endpoint) -> Result<Vec<u8>, String> {
    let address = &endpoint.address;
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("{error}; check the address"))?;
    if !endpoint.has_tls {
        return exchange(endpoint, stream).await;
    }
    let host = address
        .rsplit_once(':')
        .map_or(&**address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| format!("{error}; give the name of a host"))?;
    let trusted = endpoint.truststore.clone();
    let config = threads::blocking(false, move || client(trusted.as_ref())).await;
    let config = config.unwrap_or_else(|| Err(STOPS.to_owned()))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = connected.await.map_err(|error| {
        format!(
            "{error}; name who signs its certificate by ssl.truststore.location in \
             oauthbearer.sasl.jaas.config of the listener"
        )
    })?;
    exchange(endpoint, stream).await
}

/// What an issuer is reached with.
fn client(trusted: Option<&Pem>) -> Result<ClientConfig, String> {
    let roots = match trusted {
        Some(Pem::Inline(pem)) => tls::roots(pem.reveal().as_bytes())?,
        Some(Pem::File(path)) => {
            let roots = file(path).and_then(|pem| tls::roots(&pem));
            roots.map_err(|why| format!("{}: {why}", path.display()))?
        }
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    if roots.is_empty() {
        return Err(
            "this machine has no authorities; name who signs its certificate by \
             ssl.truststore.location in oauthbearer.sasl.jaas.config of the listener"
                .to_owned(),
        );
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange<S>(endpoint: &Endpoint, stream: S) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = |error: hyper::Error| format!("{error}; check that HTTP is spoken there");
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(told)?;
    let request = Request::get(&endpoint.target)
        .header(header::HOST, &endpoint.address)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new());
    let request = request.map_err(|error| format!("{error}; check the address"))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(told)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!(
                "it answers {status}; give the address of a JSON Web Key Set"
            ));
        }
        let body = Limited::new(response.into_body(), BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| format!("{error}, of {BYTES_MAX} bytes"))?;
        Ok(body.to_bytes().to_vec())
    };
    tokio::pin!(connection);
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // an answer may still be there when the connection has ended
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(told(error)),
        },
    }
}
