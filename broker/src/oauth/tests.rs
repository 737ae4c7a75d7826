use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(30);

/// A point of P-256, with an id.
const SET: &str = "{\"keys\":[\
    {\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\
    \"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\
    \"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

/// Answers each connection with what `answer` gives for its number, from 0 on.
async fn serve(answer: impl Fn(usize) -> String + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys?all", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    threads::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let is_tls = |request: &[u8]| request.starts_with(b"\x16");
            while !request.ends_with(b"\r\n\r\n") && !is_tls(&request) {
                let mut bytes = [0; 1024];
                let count = stream.read(&mut bytes).await.unwrap();
                request.extend_from_slice(&bytes[..count]);
            }
            let line = b"GET /keys?all HTTP/1.1\r\n";
            assert!(is_tls(&request) || request.starts_with(line));
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(answer(number).as_bytes()).await;
        }
    });
    (url, asked)
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn settings(url: &str, lines: &str) -> Settings {
    let text = format!(
        "listeners=PLAIN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
         listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_PLAINTEXT\n\
         listener.name.secure.sasl.enabled.mechanisms=OAUTHBEARER\n\
         sasl.oauthbearer.jwks.endpoint.url={url}\n\
         sasl.oauthbearer.expected.audience=kafka\nsasl.oauthbearer.expected.issuer=i\n{lines}"
    );
    Settings::from_properties("test", &text).unwrap()
}

/// The issuer at that address, whose keys are fetched until the sender is dropped.
fn watched(url: &str, lines: &str) -> (Arc<Issuer>, Arc<Metrics>, watch::Sender<bool>) {
    let issuers = Issuers::load(&settings(url, lines)).unwrap();
    let (metrics, (stop, stopped)) = (Arc::new(Metrics::default()), watch::channel(false));
    issuers.watch(&metrics, &stopped);
    (Arc::clone(issuers.of("SECURE").unwrap()), metrics, stop)
}

async fn until(what: impl Fn() -> bool) {
    let waited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waited).await.expect("in time");
}

#[tokio::test]
async fn keys_are_fetched_again_after_failures_and_stay_while_none_can_be_had() {
    let answers = |number| match number {
        0 => response("503 Service Unavailable", "later"),
        1 => response("200 OK", "<html>"),
        2 => "nonsense\r\n\r\n".to_owned(),
        3 => response("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
        4 => response("200 OK", SET),
        _ => response("500 Internal Server Error", ""),
    };
    let (url, asked) = serve(answers).await;
    let lines = "sasl.oauthbearer.jwks.endpoint.refresh.ms=20\n\
                 sasl.oauthbearer.jwks.endpoint.retry.backoff.ms=1\n\
                 sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms=2\n";
    let (issuer, metrics, _stop) = watched(&url, lines);
    until(|| !issuer.keys().is_empty()).await;
    assert_eq!(metrics.token_keys_failures.get(), 4);
    until(|| asked.load(Ordering::SeqCst) > 8).await;
    assert_eq!(format!("{:?}", issuer.keys()), "[\"one\"]");
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_one_sentence() {
    let (nothing, _) = serve(|_| response("200 OK", "{\"keys\":[]}")).await;
    let (missing, _) = serve(|_| response("404 Not Found", "")).await;
    let (large, _) = serve(|_| response("200 OK", &"x".repeat(2 << 20))).await;
    let (no_http, _) = serve(|_| "SSH-2.0\r\n".to_owned()).await;
    let no_tls = missing.replace("http://", "https://");
    for (url, why) in [
        (nothing.as_str(), "none of its 0 keys signs"),
        (&missing, "it answers 404 Not Found; give the address"),
        (&large, "length limit exceeded"),
        (&no_http, "check that HTTP is spoken there"),
        ("http://127.0.0.1:1/keys", "onnection refused"),
        ("https://127.0.0.1:1/keys", "onnection refused"),
        (&no_tls, "name who signs its certificate"),
    ] {
        let security = settings(url, "").security("SECURE");
        let oauth = security.sasl.as_ref().unwrap().oauth.clone().unwrap();
        let refused = fetch::keys(&oauth.keys).await.unwrap_err();
        assert!(
            refused.starts_with(url) && refused.contains(why),
            "{refused}"
        );
        assert!(!refused.contains('\n'), "{refused}");
    }
}

/// However many tokens name keys that nobody has, the issuer is asked every 5 s at most.
#[tokio::test]
async fn a_key_that_is_not_known_is_asked_for_soon_and_seldom() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let (url, asked) = serve(move |_| {
        noted.lock().unwrap().push(Instant::now());
        response("200 OK", SET)
    })
    .await;
    let (issuer, _, _stop) = watched(&url, "");
    until(|| !issuer.keys().is_empty()).await;
    // {"alg":"ES256","kid":"two"}.{}
    let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6InR3byJ9.e30.AA";
    until(|| {
        let judged = issuer.judge(token, 0);
        assert!(matches!(judged, Err(Refused::UnknownKey(_))), "{judged:?}");
        asked.load(Ordering::SeqCst) == 2
    })
    .await;
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= UNKNOWN_KEY_INTERVAL, "{times:?}");
}

#[tokio::test]
async fn a_file_is_read_before_anybody_logs_in_and_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let url = format!("file://{}", path.display());
    let lines = "sasl.oauthbearer.jwks.endpoint.refresh.ms=5\n";
    for (content, why) in [(None, "check its path"), (Some("x"), "it is no JSON")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let refused = Issuers::load(&settings(&url, lines))
            .unwrap_err()
            .to_string();
        let place = format!(
            "listener SECURE are signed by cannot be had: {}",
            path.display()
        );
        assert!(
            refused.contains(&place) && refused.contains(why),
            "{refused}"
        );
    }
    std::fs::write(&path, SET).unwrap();
    let (issuer, metrics, _stop) = watched(&url, lines);
    assert_eq!(format!("{:?}", issuer.keys()), "[\"one\"]");
    std::fs::write(&path, "{").unwrap();
    until(|| metrics.token_keys_failures.get() > 0).await;
    assert_eq!(format!("{:?}", issuer.keys()), "[\"one\"]");
    let other = dir.path().join("other");
    std::fs::write(&other, SET.replace("one", "two")).unwrap();
    std::fs::rename(&other, &path).unwrap();
    until(|| format!("{:?}", issuer.keys()) == "[\"two\"]").await;
}
