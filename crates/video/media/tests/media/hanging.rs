//! Child processes that never answer, that log without end and that leave others behind: each is ended,
//! and the error names the file and the step.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_frame::{Colour, Frame, PixelFormat, VideoFormat};
use parallax_media::{
    AssembleOptions, Decoder, EncodeSettings, Encoder, Expected, Kind, Limits, Programs, Timing,
    Tools, assemble, scan,
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
        let written =
            (0..24).try_for_each(|n| encoder.write(&Frame::zeroed(Arc::clone(&format), n * 1000)));
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

/// Numbers of the processes, but for those that only wait to be counted, whose command line has `mark`.
fn processes(mark: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let has = |number: &String| {
        let read = |name| std::fs::read_to_string(format!("/proc/{number}/{name}"));
        let said = read("cmdline").is_ok_and(|line| line.contains(mark));
        said && !read("stat").is_ok_and(|stat| stat.contains(") Z "))
    };
    numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(has).collect()
}

/// Waits until nothing of what a script started is left: it was sent the signal, and dies when the kernel
/// gets to it.
fn nobody_is_left(mark: &str) {
    while !processes(mark).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What an encoder says whose program is `script`, and whether it left a file.
fn encoded(bench: &Bench, tools: &Tools) -> Result<(), parallax_media::Error> {
    let pixels = PixelFormat::YUV420P;
    let format = VideoFormat { width: 64, height: 48, pixels, colour: Colour::default() };
    let format = Arc::new(format);
    let media = bench.probe(&bench.clip("film.mp4"));
    let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
    let out = bench.path("made.mp4");
    let settings = EncodeSettings::default();
    let mut encoder = Encoder::create(tools, &out, &format, timing, &settings, &bench.cancel)?;
    let written =
        (0..24).try_for_each(|n| encoder.write(&Frame::zeroed(Arc::clone(&format), n * 1000)));
    let done = written.and_then(|()| encoder.finish());
    let left: Vec<_> = std::fs::read_dir(bench.path("")).unwrap().flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name().to_string_lossy().contains("made"));
    assert_eq!(left.count(), 0, "a file is left");
    done
}

#[test]
fn a_decoder_that_talks_and_gets_nowhere_is_ended() {
    let bench = Bench::new();
    let media = bench.probe(&bench.clip("film.mp4"));
    for (script, frames) in [
        // A byte of a picture now and then.
        ("while :; do printf x; sleep 0.02; done", u64::MAX),
        // Signs of work, and never a picture.
        ("while :; do echo 'decoder -> pts:1' >&2; sleep 0.002; done", 20),
    ] {
        let mut tools = scripted(&bench, script, Duration::from_millis(400));
        tools.limits.frames = frames;
        let decoder = Decoder::open(&tools, &media, Expected::Frames(24), &bench.cancel).unwrap();
        let error = decoder.last().unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        let error = error.to_string();
        assert!(error.contains("film.mp4") && error.contains("too little of its time"), "{error}");
    }
}

#[test]
fn what_forks_without_end_is_ended_with_all_that_it_started() {
    let bench = Bench::new();
    // Nobody else sleeps for as long.
    let mark = format!("70{:07}", std::process::id());
    let script = format!(
        "(while :; do sleep {mark} & (sleep {mark} & sleep {mark}) & sleep 0.02; done) & \
         trap '' TERM HUP INT; while :; do sleep {mark}; done"
    );
    let tools = scripted(&bench, &script, Duration::from_millis(400));
    let error = encoded(&bench, &tools).unwrap_err().to_string();
    assert!(error.contains("did nothing for 0.4 s"), "{error}");
    nobody_is_left(&mark);
}

#[test]
fn what_writes_without_end_is_ended_by_the_system() {
    let bench = Bench::new();
    // The name of the output comes last.
    let script = "for last; do :; done; exec yes >\"${last#file:}\"";
    let mut tools = scripted(&bench, script, Duration::from_secs(600));
    tools.limits.child_file_bytes = 1 << 20;
    let error = encoded(&bench, &tools).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    let error = error.to_string();
    assert!(error.contains("made.mp4: ffmpeg wrote a larger file than is allowed"), "{error}");
}

#[test]
fn what_computes_without_end_is_ended_by_the_system() {
    let bench = Bench::new();
    let mut tools = scripted(&bench, "while :; do :; done", Duration::from_secs(600));
    tools.limits.child_cpu_time = Duration::from_secs(1);
    let error = encoded(&bench, &tools).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    let error = error.to_string();
    assert!(error.contains("made.mp4: ffmpeg used more processor time than is allowed"), "{error}");
}
