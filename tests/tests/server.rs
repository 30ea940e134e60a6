//! `inference-server` under the worker's backends, as a process.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use parallax_backends::Http;
use parallax_backends::http::Settings;
use parallax_job::{Mode, Segment, Uri};
use parallax_ports::{InferenceBackend, Invocation, Invoked, Kind, ObjectStore};
use parallax_tests::{Clip, Moto, Server, bin, clip, finish, frame_md5s};
use tokio_util::sync::CancellationToken;

const CLIP: Clip = Clip { size: (128, 72), frames: 24, encoder: &["-preset", "ultrafast"] };

fn invocation(mode: Mode, input: Uri, output: Uri) -> Invocation {
    let segment = Segment::new("job-1".parse().unwrap(), 0, 1, mode).unwrap();
    Invocation { segment, attempt: 1, input, output }
}

async fn invoke(server: &Server, invocation: &Invocation) -> parallax_ports::Result<Invoked> {
    let backend = Http::new(&Settings::new(vec![format!("http://{}", server.address)])).unwrap();
    backend.invoke(invocation, &CancellationToken::new()).await
}

/// The same clip, converted by `parallax convert`.
fn converted(clip: &Path, layout: &str) -> Vec<String> {
    let output = clip.with_file_name(format!("{layout}.mp4"));
    let mut command = Command::new(bin("parallax"));
    command.arg("convert").arg(clip).args(["--layout", layout, "--output"]).arg(&output);
    let done = finish(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    frame_md5s(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_backend_gets_what_convert_makes_from_files_and_s3() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("input/segments")).unwrap();
    let source = clip(&folder.path().join("input/segments/a.mp4"), CLIP);
    let moto = Moto::start().await;
    let objects = moto.objects(&["input", "output"]).await;
    let server = Server::start(folder.path(), &moto.variables());
    for (mode, layout) in [(Mode::Sbs, "full-sbs"), (Mode::Anaglyph, "anaglyph")] {
        let expected = converted(&source, layout);
        assert!(expected.len() == 24, "{expected:?}");

        let result = folder.path().join(format!("output/{mode}.mp4"));
        let (input, output) = (Uri::file(&source).unwrap(), Uri::file(&result).unwrap());
        let answer = invoke(&server, &invocation(mode, input, output)).await.unwrap();
        assert_eq!(answer, Invoked::Finished);
        assert_eq!(frame_md5s(&result), expected);

        let input: Uri =
            format!("s3://input/segments/job-1/00000_00001_{mode}.mp4").parse().unwrap();
        let output: Uri = format!("s3://output/jobs/job-1/segments/{mode}.mp4").parse().unwrap();
        objects.upload(&source, &input).await.unwrap();
        let answer = invoke(&server, &invocation(mode, input, output.clone())).await.unwrap();
        assert_eq!(answer, Invoked::Finished);
        let fetched = folder.path().join("fetched.mp4");
        objects.download(&output, &fetched).await.unwrap();
        assert_eq!(frame_md5s(&fetched), expected);
        std::fs::remove_file(fetched).unwrap();
    }
    assert_eq!(server.metric("parallax_serving_frames_total"), 96.0);
    let missing: Uri = "s3://input/segments/none.mp4".parse().unwrap();
    let output: Uri = "s3://output/jobs/job-1/segments/none.mp4".parse().unwrap();
    let error = invoke(&server, &invocation(Mode::Sbs, missing, output.clone())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(objects.head(&output).await.unwrap().is_none());
}
