//! Child processes that never answer, that log without end and that leave others behind: each is ended,
//! and the error names the file and the step.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_frame::{Colour, Frame, PixelFormat, VideoFormat};
use parallax_media::{
    AssembleOptions, EncodeSettings, Encoder, Kind, Limits, Programs, Timing, Tools, assemble, scan,
};

use crate::assembling::results;
use crate::clips::{Bench, PICTURES, TONE};
use crate::damaged::scripted;

/// What a child may do instead of its work, and what is said of it.
const WAYS: [(&str, &str); 3] = [
    ("exec sleep 60", "did nothing for 0.3 s"),
    (
        "exec yes 'something is wrong here, and it is said again and again' >&2",
        "64 MiB of messages",
    ),
    // A second process holds the pipes.
    ("sleep 60 & wait", "did nothing for 0.3 s"),
];

/// Long enough for messages without end, where those are meant.
fn stall_time(said: &str) -> Duration {
    if said.contains("MiB") { Duration::from_secs(60) } else { Duration::from_millis(300) }
}

#[test]
fn a_scan_that_hangs_is_ended_and_named() {
    let bench = Bench::new();
    let clip = bench.clip("film.mp4");
    let media = bench.probe(&clip);
    let path = bench.path("ffprobe");
    for (script, said) in WAYS {
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs { ffprobe: path.clone(), ..bench.tools.programs.clone() };
        // A scan is bounded as a whole.
        let bounded = !said.contains("MiB");
        let scan_time = if bounded { Duration::from_millis(300) } else { Duration::from_secs(60) };
        let limits = Limits { scan_time, ..bench.tools.limits.clone() };
        let tools = Tools::new(programs, limits).unwrap();
        let error = scan(&tools, &media, &bench.cancel).unwrap_err();
        let said = if bounded { "longer than is allowed" } else { said };
        assert_eq!(error.kind(), Kind::Input, "{script}");
        let error = error.to_string();
        assert!(error.contains("film.mp4: scan its packets"), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_encoder_that_hangs_is_ended_and_named() {
    let bench = Bench::new();
    let media = bench.probe(&bench.clip("film.mp4"));
    let pixels = PixelFormat::YUV420P;
    let format = VideoFormat { width: 640, height: 480, pixels, colour: Colour::default() };
    let format = Arc::new(format);
    let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
    for (script, said) in WAYS {
        let tools = scripted(&bench, script, stall_time(said));
        let out = bench.path("made.mp4");
        let settings = EncodeSettings::default();
        let mut encoder =
            Encoder::create(&tools, &out, &format, timing, &settings, &bench.cancel).unwrap();
        let written = (0..24).try_for_each(|n| {
            encoder.write(&Frame::zeroed(Arc::clone(&format), media.video.time_base.rescale(n, 24)))
        });
        let error = written.and_then(|()| encoder.finish()).unwrap_err().to_string();
        assert!(error.contains("encode") && error.contains("made.mp4"), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn a_join_that_hangs_is_ended_and_named() {
    let bench = Bench::new();
    let source = bench.make(
        "film.mp4",
        &[PICTURES, TONE],
        "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p -c:a aac",
    );
    let parts: Vec<PathBuf> = results(&bench, &source);
    let real = bench.tools.programs.ffmpeg.display().to_string();
    for (script, said) in WAYS {
        // Whatever comes before the join is done as ever.
        let script =
            format!("case \"$*\" in *' concat '*) {script};; *) exec {real} \"$@\";; esac");
        let stall = if said.contains("MiB") { 60_000 } else { 3_000 };
        let tools = scripted(&bench, &script, Duration::from_millis(stall));
        let out = bench.path("made.mp4");
        let options = AssembleOptions::default();
        let error = assemble(&tools, &parts, &source, &out, options, &bench.cancel).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("assemble") && error.contains("made.mp4"), "{error}");
        let said = if said.contains("MiB") { said } else { "did nothing for 3 s" };
        assert!(error.contains(said), "{error}");
        assert!(!out.exists());
    }
}
