//! Looking at objects through `kubectl proxy`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{bound_to_us, spawn};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

struct Proxy {
    address: String,
    // The kernel ends it with this program.
    _child: Child,
}

/// One proxy for the whole run; the kernel picks its port.
fn proxy() -> Result<&'static Proxy> {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    if let Some(proxy) = PROXY.get() {
        return Ok(proxy);
    }
    let mut command = bound_to_us(Path::new("kubectl"));
    command
        .args(["proxy", "--port=0"])
        .stdout(Stdio::piped())
        .stdin(Stdio::null());
    let mut child = spawn(command)?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().strip_prefix("Starting to serve on ");
    let address = address.with_context(|| format!("kubectl proxy says {line:?}"))?;
    Ok(PROXY.get_or_init(|| Proxy {
        address: address.to_owned(),
        _child: child,
    }))
}

/// What the API server has at this path.
///
/// # Errors
/// It cannot be asked, or it has nothing there.
pub fn text(path: &str) -> Result<String> {
    let proxy = proxy()?;
    let mut stream = TcpStream::connect(&proxy.address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    // HTTP 1.0: the answer comes in one piece and ends with the connection
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{path}: {status} {}", body.trim());
    }
    Ok(body.to_owned())
}

/// The object at this path.
///
/// # Errors
/// It cannot be asked for, or is not there.
pub fn get(path: &str) -> Result<Value> {
    Ok(serde_json::from_str(&text(path)?)?)
}

/// The objects at this path.
///
/// # Errors
/// They cannot be asked for.
pub fn list(path: &str) -> Result<Vec<Value>> {
    let mut all = get(path)?;
    match all["items"].take() {
        Value::Array(items) => Ok(items),
        _ => bail!("{path} is not a list"),
    }
}
