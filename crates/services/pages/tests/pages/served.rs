//! A server with its folder, and requests as bytes: hosts, origins and lengths can be whatever a test wants.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parallax_listener::{Limits, Listener};
use parallax_pages::{
    Description, Drawn, EngineChoice, Kind, Look, Moment, NotSeen, Pages, Settings, Viewer,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Of the largest film that is taken.
pub(crate) const LARGEST: u64 = 1000;

/// Takes for a film what does not say otherwise.
#[derive(Debug)]
struct FakeViewer;

impl Viewer for FakeViewer {
    fn describe(&self, file: &Path, _: &CancellationToken) -> Result<Description, NotSeen> {
        if std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"no film")) {
            return Err(NotSeen(format!("{}: not a film", file.display())));
        }
        Ok(Description {
            kind: Kind::Film,
            width_px: 64,
            height_px: 36,
            frames_per_second: 25.0,
            seconds: Some(4.0),
            sounds: 1,
            codec: "h264".to_owned(),
            plays_in_browsers: true,
        })
    }

    fn draw(
        &self,
        _: &Path,
        moment: Moment,
        look: &Look,
        _: &CancellationToken,
    ) -> Result<Drawn, NotSeen> {
        let picture = format!("{} {} {}", look.disparity_percent, look.layout, moment.0);
        Ok(Drawn { png: picture.into_bytes(), parallax_percent: (-0.5, 1.25) })
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Pages that are being served.
pub(crate) struct Served {
    pub(crate) host: String,
    pub(crate) cookie: String,
    pages: Pages,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Served {
    /// Serves what is in `folder`, to a browser that opened the link.
    pub(crate) async fn start(folder: &TempDir) -> Self {
        let draft = EngineChoice { name: "draft".to_owned(), about: String::new(), missing: None };
        let settings = Settings {
            folder: folder.path().to_owned(),
            program: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert"),
            engines: vec![draft],
            largest_upload: LARGEST,
            hosts: vec![],
        };
        let stop = CancellationToken::new();
        let pages = Pages::open(settings, Arc::new(FakeViewer), stop.clone()).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, Limits::default()).await.unwrap();
        let host = listener.address().unwrap().to_string();
        let worker = pages.clone();
        let tasks = vec![
            tokio::spawn(async move { worker.run().await }),
            tokio::spawn(listener.serve(pages.routes(), stop.clone(), Duration::ZERO)),
        ];
        let mut served = Self { host, cookie: String::new(), pages, stop, tasks };
        let entered = served.get(&format!("/?token={}", served.link())).await;
        let cookie = entered.header("set-cookie").unwrap();
        served.cookie = cookie.split(';').next().unwrap().to_owned();
        served
    }

    /// The secret of the link that works now.
    pub(crate) fn link(&self) -> String {
        self.pages.links().borrow().expose().to_owned()
    }

    /// Ends as the program does.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Asks as a page of the server does, with more `headers` or others in place of the usual ones.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers, body).await;
        let mut answer = Vec::new();
        // A server that refuses without reading resets the connection after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.unwrap_or(0), head: head.to_owned(), body: body.to_owned() }
    }

    /// The connection after a request was sent.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TcpStream {
        let (origin, length) = (format!("http://{}", self.host), body.len().to_string());
        let usual = [
            ("host", &*self.host),
            ("origin", &*origin),
            ("cookie", &*self.cookie),
            ("content-length", &*length),
            ("connection", "close"),
        ];
        let others = usual.iter().filter(|(name, _)| !headers.iter().any(|(own, _)| own == name));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in others.chain(headers).filter(|(_, value)| !value.is_empty()) {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    /// Drops a film, and gives its id.
    pub(crate) async fn drop_film(&self, name: &str) -> String {
        let added = self.send("POST", &format!("/api/films?name={name}"), &[], b"a film").await;
        assert_eq!(added.status, 201, "{added:?}");
        added.json()["id"].as_str().unwrap().to_owned()
    }

    /// Has a film converted, and gives the job's id.
    pub(crate) async fn convert(&self, film: &str) -> String {
        let look =
            r#"{"engine":"draft","disparity_percent":2.5,"convergence":0.5,"layout":"full-sbs"}"#;
        let wanted = format!(r#"{{"film":"{film}","look":{look}}}"#);
        let added = self.send("POST", "/api/jobs", &[], wanted.as_bytes()).await;
        assert_eq!(added.status, 201, "{added:?}");
        added.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job is in `state`, and gives it.
    pub(crate) async fn reached(&self, job: &str, state: &str) -> serde_json::Value {
        self.job(job, |job| job["state"] == state).await
    }

    /// Waits until a job's child is at work: then it hears when it is to stop.
    pub(crate) async fn at_work(&self, job: &str) {
        self.job(job, |job| job["state"] == "converting" && job["progress"]["frames"] == 2).await;
    }

    async fn job(
        &self,
        job: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut last = serde_json::Value::Null;
        for _ in 0..1500 {
            let jobs = self.get("/api/jobs").await.json();
            let found = jobs["jobs"].as_array().unwrap().iter().find(|found| found["id"] == job);
            last = found.cloned().unwrap_or_default();
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not come to that: {last}");
    }
}
