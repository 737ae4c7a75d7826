use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};

use super::*;

/// Connections that a test makes.
struct Pipes(Mutex<mpsc::Receiver<DuplexStream>>);

impl Accept for Pipes {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<DuplexStream> {
        self.0
            .lock()
            .await
            .recv()
            .await
            .ok_or(io::ErrorKind::BrokenPipe.into())
    }
}

struct Told(Result<(), &'static str>);

impl Pages for Told {
    fn metrics(&self) -> String {
        "ottla_up 1\n".to_owned()
    }

    fn ready(&self) -> Result<(), String> {
        self.0.map_err(str::to_owned)
    }
}

/// A server that runs, by what connects to it.
struct Server(mpsc::Sender<DuplexStream>);

impl Server {
    fn start(ready: Result<(), &'static str>) -> Self {
        let (connect, pipes) = mpsc::channel(1);
        tokio::spawn(serve(Pipes(Mutex::new(pipes)), Arc::new(Told(ready))));
        Self(connect)
    }

    async fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.0.send(far).await.unwrap();
        near
    }

    /// What is answered to these bytes until the connection ends, without the server's own headers.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// The status and the body for one method and path.
    async fn get(&self, method: &str, path: &str) -> (u16, String) {
        let answer = self
            .ask(&format!("{method} {path} HTTP/1.1\r\nHost: broker\r\n\r\n"))
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn each_path_and_method_has_its_answer() {
    let server = Server::start(Err("waiting for 2 partitions to catch up"));
    let cases = [
        ("GET", "/metrics", 200, "ottla_up 1\n"),
        ("GET", "/metrics?all", 200, "ottla_up 1\n"),
        ("HEAD", "/metrics", 200, ""),
        ("GET", "/livez", 200, "live\n"),
        ("HEAD", "/livez", 200, ""),
        (
            "GET",
            "/readyz",
            503,
            "waiting for 2 partitions to catch up\n",
        ),
        ("HEAD", "/readyz", 503, ""),
        ("POST", "/metrics", 405, "GET and HEAD only\n"),
        ("DELETE", "/readyz", 405, "GET and HEAD only\n"),
        ("GET", "/", 404, "/metrics, /livez, /readyz\n"),
        ("POST", "/elsewhere", 404, "/metrics, /livez, /readyz\n"),
    ];
    for (method, path, status, body) in cases {
        let answer = server.get(method, path).await;
        assert_eq!(answer, (status, body.to_owned()), "{method} {path}");
    }
    let ready = Server::start(Ok(()));
    assert_eq!(
        ready.get("GET", "/readyz").await,
        (200, "ready\n".to_owned())
    );
    assert_eq!(ready.get("HEAD", "/readyz").await, (200, String::new()));
}

#[tokio::test]
async fn an_answer_ends_its_connection_and_says_what_it_is() {
    let server = Server::start(Ok(()));
    let answer = server
        .ask("GET /metrics HTTP/1.1\r\nHost: broker\r\n\r\n")
        .await;
    let head = answer
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .to_ascii_lowercase();
    for header in [PROMETHEUS, "connection: close", "content-length: 11"] {
        assert!(head.contains(header), "{header} in {head}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_no_http_is_refused() {
    let server = Server::start(Ok(()));
    let long = format!(
        "GET /livez HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(HEAD_BYTES_MAX)
    );
    assert!(server.ask(&long).await.starts_with("HTTP/1.1 431 "));
    assert!(
        server
            .ask("\0\0\0\u{12}\0\u{3}\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dawdles_is_let_go_and_holds_up_nobody_for_longer() {
    let server = Server::start(Ok(()));
    let mut slow = Vec::new();
    for _ in 0..REQUESTS_MAX {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        slow.push(stream);
    }
    // so many at a time: the next one is closed at once
    let mut rest = Vec::new();
    let mut refused = server.connect().await;
    assert_eq!(refused.read_to_end(&mut rest).await.unwrap(), 0);
    tokio::time::sleep(REQUEST_TIMEOUT + Duration::from_millis(1)).await;
    for mut stream in slow {
        assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
    }
    assert_eq!(
        server.get("GET", "/livez").await,
        (200, "live\n".to_owned())
    );
}
