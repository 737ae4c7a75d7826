//! The endpoint of an issuer, by HTTP: who asks as the suite's client does has a token, for a
//! secret (client credentials), for an assertion that it signed (RFC 7523), or as a machine of
//! Azure asks the metadata service beside it; who asks for anything else has none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use crate::cluster::run;
use crate::issuer::Issuer;

const CLIENT: &str = "suite";
const SECRET: &str = "issued-secret";
const SCOPE: &str = "kafka";
const PASSWORD: &str = "key-secret";
/// Short enough that a test sees its token renewed.
const TOKEN_SECONDS: i64 = 30;
/// The longest request that is read.
const BODY_BYTES_MAX: u64 = 64 << 10;
const ASSERTION: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

/// The endpoint, for as long as the process runs.
pub struct Endpoint {
    /// Where the issuer's keys are.
    pub keys: String,
    url: String,
    dir: PathBuf,
}

struct Served {
    issuer: Issuer,
    /// The key by which assertions are signed.
    client: Vec<u8>,
}

impl Endpoint {
    /// Starts it; its files go into that folder.
    ///
    /// # Errors
    /// A key cannot be made, or there is no port.
    pub fn start(dir: &Path) -> Result<Self> {
        let dir = dir.to_path_buf();
        let at = |name: &str| dir.join(name).display().to_string();
        let (own, sealed, public) = (at("client.key"), at("client.sealed.key"), at("client.der"));
        let password = format!("pass:{PASSWORD}");
        run("openssl", &["genrsa", "-out", &own, "2048"])?;
        let seal = ["pkcs8", "-topk8", "-in", &own, "-out", &sealed, "-passout"];
        run("openssl", &[&seal[..], &[&password]].concat())?;
        let tell = ["rsa", "-in", &own, "-RSAPublicKey_out", "-outform", "DER"];
        run("openssl", &[&tell[..], &["-out", &public]].concat())?;

        let issuer = Issuer::new()?;
        std::fs::write(dir.join("jwks"), issuer.jwks())?;
        let served = Arc::new(Served {
            issuer,
            client: std::fs::read(public)?,
        });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.answer(stream));
            }
        });
        Ok(Self {
            keys: format!("file://{}", dir.join("jwks").display()),
            url,
            dir,
        })
    }

    /// The settings of a client.
    #[must_use]
    pub fn settings(&self) -> String {
        format!(
            "sasl.oauthbearer.method=OIDC\nsasl.oauthbearer.client.id={CLIENT}\n\
             sasl.oauthbearer.client.secret={SECRET}\nsasl.oauthbearer.scope={SCOPE}\n\
             sasl.oauthbearer.token.endpoint.url={}/token\n",
            self.url
        )
    }

    /// What the suite looks for in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 6] {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let url = |path: &str| format!("{}/{path}", self.url);
        [
            ("VALID_OIDC_URL", url("token")),
            ("INVALID_OIDC_URL", url("misshapen")),
            ("EXPIRED_TOKEN_OIDC_URL", url("expired")),
            ("OAUTHBEARER_CLIENT_PRIVATE_KEY", file("client.key")),
            (
                "OAUTHBEARER_CLIENT_PRIVATE_KEY_ENCRYPTED",
                file("client.sealed.key"),
            ),
            ("OAUTHBEARER_CLIENT_PRIVATE_KEY_PASSWORD", PASSWORD.into()),
        ]
    }
}

/// What is asked for.
#[derive(Debug, Default)]
struct Asked {
    target: String,
    authorization: String,
    body: String,
}

impl Served {
    fn answer(&self, mut stream: TcpStream) {
        let Ok(asked) = read(&stream) else { return };
        let (status, body) = match self.token(&asked) {
            Ok(body) => ("200 OK", body),
            Err(why) => ("400 Bad Request", format!("{{\"error\":\"{why}\"}}")),
        };
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
    }

    fn token(&self, asked: &Asked) -> Result<String> {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let seconds = match path {
            "/misshapen" => return Ok("{\"no\":\"token\"}".to_owned()),
            "/expired" => -TOKEN_SECONDS,
            _ => TOKEN_SECONDS,
        };
        let form: Vec<&str> = asked.body.split('&').collect();
        let value = |name: &str| form.iter().find_map(|one| one.strip_prefix(name));
        match value("grant_type=") {
            None => machine(query)?,
            Some("client_credentials") => secret(&asked.authorization)?,
            Some(grant) => {
                ensure!(
                    grant.replace(':', "%3A") == ASSERTION,
                    "unsupported_grant_type"
                );
                self.signed(value("assertion=").context("invalid_request")?)?;
            }
        }
        let is_known = value("scope=").is_none_or(|scope| scope == SCOPE);
        ensure!(is_known, "invalid_scope");
        let token = self.issuer.token(CLIENT, seconds)?;
        Ok(format!(
            "{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":{seconds}}}"
        ))
    }

    /// Whether an assertion is signed by the client's key.
    fn signed(&self, assertion: &str) -> Result<()> {
        let (signed, signature) = assertion.rsplit_once('.').context("invalid_grant")?;
        let header = signed.split('.').next().unwrap_or_default();
        let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
        // a signature says nothing by another algorithm than its header names
        ensure!(header["alg"] == "RS256", "invalid_grant");
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.client);
        let verified = key.verify(signed.as_bytes(), &signature);
        verified.ok().context("invalid_grant")
    }
}

/// Whether a client knows its secret.
fn secret(authorization: &str) -> Result<()> {
    let shown = authorization.strip_prefix("Basic ");
    let known = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    ensure!(shown == Some(known.as_str()), "invalid_client");
    Ok(())
}

/// Whether all is there that Azure's metadata service asks for.
fn machine(query: &str) -> Result<()> {
    for name in ["api-version=", "resource=", "client_id="] {
        let has = query.split('&').any(|one| one.starts_with(name));
        ensure!(has, "invalid_request");
    }
    Ok(())
}

fn read(stream: &TcpStream) -> Result<Asked> {
    let mut reader = BufReader::new(stream);
    let (mut asked, mut length, mut line) = (Asked::default(), 0, String::new());
    reader.read_line(&mut line)?;
    asked.target = line.split(' ').nth(1).context("a target")?.to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut asked.authorization),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    ensure!(length <= BODY_BYTES_MAX, "a short body");
    reader.take(length).read_to_string(&mut asked.body)?;
    Ok(asked)
}
