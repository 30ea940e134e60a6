//! The HTTP backend against servers that behave, refuse, hang, lie and break off.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_backends::Http;
use parallax_backends::http::Settings;
use parallax_job::{Mode, Segment};
use parallax_ports::{InferenceBackend, Invocation, Invoked, Kind, Locations};
use parallax_secret::{Given, Secret, one_line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What a server does once it has read a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Writes this and closes.
    Say(&'static str),
    /// Writes a head and then a body without end.
    Flood(&'static str),
    /// Writes a head that promises a body, and no body.
    Stall(&'static str),
    /// Writes a head a byte a second.
    Dribble,
    /// Closes without a word.
    Hang,
    /// Resets the connection.
    Reset,
}

#[derive(Clone)]
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    closed: Arc<tokio::sync::Notify>,
}

impl Server {
    async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, seen: Arc::default(), closed: Arc::default() };
        let (seen, closed) = (server.seen.clone(), server.closed.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, act, seen.clone(), closed.clone()));
            }
        });
        server
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    act: Act,
    seen: Arc<Mutex<Vec<String>>>,
    closed: Arc<tokio::sync::Notify>,
) {
    let mut bytes = Vec::new();
    let whole = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap_or("0");
        body.len() >= length.parse().unwrap()
    };
    while !whole(&bytes) {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        bytes.extend_from_slice(&some[..n]);
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Act::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        }
        Act::Stall(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Act::Dribble => {
            for byte in "HTTP/1.1 200 OK\r\nx-slow: ".bytes().chain(std::iter::repeat(b'x')) {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            closed.notify_one();
        }
        Act::Hang => {
            let _ = stream.read(&mut [0]).await;
            closed.notify_one();
        }
        Act::Reset => {
            // Closing with zero linger resets.
            let _ = stream.set_zero_linger();
        }
    }
}

/// An address where nobody listens and nobody can while this lives: a connection has it.
struct Nobody {
    url: String,
    _taken: (std::net::TcpListener, std::net::TcpStream),
}

impl Nobody {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let url = format!("http://{}", stream.local_addr().unwrap());
        Self { url, _taken: (listener, stream) }
    }
}

fn invocation() -> Invocation {
    Invocation {
        segment: Segment::new("job-1".parse().unwrap(), 2, 7, Mode::Sbs).unwrap(),
        attempt: 3,
        input: "s3://input/segments/job-1/00002_00007_sbs.mp4".parse().unwrap(),
        output: "s3://output/jobs/job-1/segments/2.mp4".parse().unwrap(),
    }
}

fn settings(servers: &[&Server]) -> Settings {
    let mut settings = Settings::new(servers.iter().map(|s| s.url.clone()).collect());
    settings.total_limit = Duration::from_secs(2);
    settings
}

async fn ask(act: Act) -> parallax_ports::Result<Invoked> {
    let server = Server::start(act).await;
    let backend = Http::new(&settings(&[&server])).unwrap();
    let answer = backend.invoke(&invocation(), &CancellationToken::new()).await;
    assert_eq!(server.requests().len(), 1, "a request is never repeated");
    answer
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";

#[tokio::test]
async fn the_request_carries_both_spellings_a_name_and_the_token() {
    let server = Server::start(Act::Say(OK)).await;
    let token = Given::new("TOKEN", Some(Secret::new("s3cret")), None, one_line).unwrap();
    let with_token = Settings { token, ..settings(&[&server]) };
    let backend = Http::new(&with_token).unwrap();
    let answer = backend.invoke(&invocation(), &CancellationToken::new()).await.unwrap();
    assert_eq!(answer, Invoked::Finished);
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /invocations HTTP/1.1"), "{head}");
    assert!(head.contains("authorization: Bearer s3cret"), "{head}");
    assert!(head.contains("x-request-id: job-1/7/2/3"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let it = invocation();
    let (input, output) = (it.input.to_string(), it.output.to_string());
    let expected = serde_json::json!({
        "s3_input_uri": input, "s3_output_uri": output,
        "input_uri": input, "output_uri": output, "mode": "sbs",
    });
    assert_eq!(body, expected);
    assert!(!format!("{backend:?}").contains("s3cret"));
}

#[tokio::test]
async fn answers_mean_what_the_contract_says() {
    let accepted = ask(Act::Say("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(accepted.unwrap(), Invoked::Accepted(Locations::default()));
    for (text, kind, after) in [
        (
            "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            Kind::Throttled,
            Some(7),
        ),
        (
            "HTTP/1.1 503 Loading\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n",
            Kind::Unavailable,
            Some(9),
        ),
        ("HTTP/1.1 503 Loading\r\ncontent-length: 0\r\n\r\n", Kind::Unavailable, None),
        ("HTTP/1.1 400 Bad\r\ncontent-length: 9\r\n\r\nno such x", Kind::Rejected, None),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", Kind::Internal, None),
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", Kind::Unauthorized, None),
    ] {
        let error = ask(Act::Say(text)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{text}");
        assert_eq!(error.retry_after(), after.map(Duration::from_secs), "{text}");
    }
    let error = ask(Act::Say("HTTP/1.1 400 Bad\r\ncontent-length: 9\r\n\r\nno such x")).await;
    assert!(error.unwrap_err().to_string().contains("no such x"), "the reason is passed on");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(Act::Say(OK)).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}/invocations\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url
    );
    let error = ask(Act::Say(location.leak())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn silence_after_the_request_is_ambiguous() {
    for act in [Act::Hang, Act::Reset, Act::Say(""), Act::Say("HTTP/1.1 20")] {
        let error = ask(act).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{act:?}: {}", error.chain());
    }
}

#[tokio::test]
async fn nobody_listening_is_not() {
    let nobody = Nobody::new();
    let backend = Http::new(&Settings::new(vec![nobody.url.clone()])).unwrap();
    let error = backend.invoke(&invocation(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.chain());
}

#[tokio::test]
async fn the_status_counts_whatever_becomes_of_the_body() {
    let flood = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    assert_eq!(ask(Act::Flood(flood)).await.unwrap(), Invoked::Finished);
    let stall = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    assert_eq!(ask(Act::Stall(stall)).await.unwrap(), Invoked::Finished);
    let flood = "HTTP/1.1 400 Bad\r\ncontent-length: 99999999999\r\n\r\n";
    let error = ask(Act::Flood(flood)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.to_string().len() < 1000);
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let server = Server::start(Act::Hang).await;
    let backend = Http::new(&Settings::new(vec![server.url.clone()])).unwrap();
    let cancel = CancellationToken::new();
    let (work, stop) = (invocation(), cancel.clone());
    let stopper = async {
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(backend.invoke(&work, &cancel), stopper);
    assert_eq!(answer.unwrap_err().kind(), Kind::Cancelled);
    tokio::time::timeout(Duration::from_secs(60), server.closed.notified()).await.unwrap();
}

#[tokio::test]
async fn work_goes_to_a_server_that_takes_it() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
    let busy = Server::start(Act::Say(busy)).await;
    let well = Server::start(Act::Say(OK)).await;
    let gone = Nobody::new();
    let mut three = settings(&[&busy, &well]);
    three.urls.push(gone.url.clone());
    let backend = Http::new(&three).unwrap();
    for _ in 0..6 {
        let answer = backend.invoke(&invocation(), &CancellationToken::new()).await;
        assert_eq!(answer.unwrap(), Invoked::Finished);
    }
    assert_eq!(busy.requests().len(), 1, "who asked to be left alone is left alone");
    assert_eq!(well.requests().len(), 6);
    // Nobody takes it: the shortest wait is passed on.
    let soon = "HTTP/1.1 429 Busy\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";
    let soon = Server::start(Act::Say(soon)).await;
    let backend = Http::new(&settings(&[&busy, &soon])).unwrap();
    let error = backend.invoke(&invocation(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (Kind::Throttled, Some(Duration::from_secs(5)))
    );
    // What may be running on one server is asked of no other.
    let broken = Server::start(Act::Reset).await;
    let backend = Http::new(&settings(&[&broken, &well])).unwrap();
    let before = well.requests().len();
    let error = backend.invoke(&invocation(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(well.requests().len(), before);
}

#[tokio::test]
async fn a_head_that_never_ends_does_not_hold_an_attempt() {
    let server = Server::start(Act::Dribble).await;
    let limits = Settings {
        answer_limit: Duration::from_secs(2),
        ..Settings::new(vec![server.url.clone()])
    };
    let backend = Http::new(&limits).unwrap();
    let (work, never) = (invocation(), CancellationToken::new());
    let asked = backend.invoke(&work, &never);
    // Without the limit it lasts until the total one, which is 21 minutes.
    let answer = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("it ends");
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "it may be at work: {}", error.chain());
    assert!(error.to_string().contains("within 2 s"), "{error}");
    tokio::time::timeout(Duration::from_secs(60), server.closed.notified()).await.unwrap();
}

/// A server on TLS whose certificate is none.
fn start_untrusted() -> String {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    // An Ed25519 key as PKCS #8 is this head and any 32 bytes.
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend([7; 32]);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certificate = CertificateDer::from(vec![0; 64]);
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(certified)));
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        }
    });
    url
}

#[tokio::test]
async fn a_bad_certificate_is_the_deployments_fault_and_another_server_is_asked() {
    let untrusted = start_untrusted();
    let backend = Http::new(&Settings::new(vec![untrusted.clone()])).unwrap();
    let error = backend.invoke(&invocation(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{}", error.chain());
    assert!(
        error.chain().contains("certificate") && error.chain().contains("127.0.0.1"),
        "{error}"
    );
    let well = Server::start(Act::Say(OK)).await;
    let backend = Http::new(&Settings::new(vec![untrusted, well.url.clone()])).unwrap();
    for _ in 0..3 {
        let answer = backend.invoke(&invocation(), &CancellationToken::new()).await;
        assert_eq!(answer.unwrap(), Invoked::Finished);
    }
}
