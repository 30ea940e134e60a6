//! What files are, and which are refused.

use std::net::TcpListener;

use parallax_frame::{FrameRate, TimeBase};
use parallax_media::{DamageKind, Damaged, Kind, StreamKind, Tools, probe, scan};

use crate::clips::{Bench, PICTURES, TONE};

#[test]
fn fields_of_an_ordinary_file() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 \
                   -color_trc bt709 -color_range tv -vf setsar=4/3 -c:a aac \
                   -metadata:s:a:0 language=deu";
    let path = bench.make("a.mp4", &[PICTURES, TONE], options);
    let media = bench.probe(&path);
    let video = &media.video;
    assert!(media.is_mp4());
    assert_eq!((video.format.width, video.format.height), (64, 48));
    assert_eq!(video.codec, "h264");
    assert_eq!(video.format.pixels.ffmpeg_name(), "yuv420p");
    assert_eq!(video.format.colour.matrix.as_deref(), Some("bt709"));
    assert_eq!(video.sample_aspect, (4, 3));
    assert_eq!(video.time_base, TimeBase { num: 1, den: 24000 });
    assert_eq!(video.rate, FrameRate { num: 24000, den: 1001 });
    assert_eq!(video.frames, Some(24));
    let audio: Vec<_> = media.streams_of(StreamKind::Audio).collect();
    assert_eq!(audio.len(), 1);
    assert_eq!((audio[0].codec.as_str(), audio[0].language.as_deref()), ("aac", Some("deu")));
}

#[test]
fn cover_art_is_not_the_video() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let cover = bench.make("cover.png", &["color=red:size=200x200"], "-frames:v 1");
    let both = bench.path("both.mp4");
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&cover)
        .arg("-i")
        .arg(&clip)
        .args(["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"])
        .arg(&both)
        .status();
    assert!(status.unwrap().success());
    let media = bench.probe(&both);
    assert_eq!(media.video.format.width, 64);
    assert_eq!(media.streams_of(StreamKind::AttachedPicture).count(), 1);
}

fn refusal(bench: &Bench, name: &str, content: &[u8]) -> String {
    let path = bench.path(name);
    std::fs::write(&path, content).unwrap();
    let error = probe(&bench.tools, &path, &bench.cancel).unwrap_err();
    assert_eq!(error.kind(), Kind::Input, "{error}");
    assert!(error.to_string().contains(name), "{error}");
    error.to_string()
}

#[test]
fn what_is_not_a_video_is_refused() {
    let bench = Bench::new();
    refusal(&bench, "text.mp4", b"this is not a video, it is a text\n");
    let empty = refusal(&bench, "empty.mp4", b"");
    assert!(empty.contains("empty"), "{empty}");
    let audio = bench.make("audio.m4a", &[TONE], "-c:a aac");
    let error = probe(&bench.tools, &audio, &bench.cancel).unwrap_err();
    assert!(error.to_string().contains("no video stream"), "{error}");
    let missing = probe(&bench.tools, &bench.path("missing.mp4"), &bench.cancel).unwrap_err();
    assert_eq!(missing.kind(), Kind::Io);
    let folder = probe(&bench.tools, bench.path("").as_path(), &bench.cancel).unwrap_err();
    assert!(folder.to_string().contains("not a regular file"), "{folder}");
}

#[test]
fn playlists_are_refused_and_nothing_connects() {
    let bench = Bench::new();
    let clip = bench.clip("real.mp4");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/a.ts");
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n");
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\">\
         <Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\">\
         <BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n\
               m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    refusal(&bench, "hls.mp4", hls.as_bytes());
    refusal(&bench, "dash.mp4", dash.as_bytes());
    refusal(&bench, "sdp.mp4", sdp.as_bytes());
    refusal(
        &bench,
        "concat.mp4",
        format!("ffconcat version 1.0\nfile '{}'\n", clip.display()).as_bytes(),
    );
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "something connected");
}

#[test]
fn file_names_are_only_names() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    for name in ["-y.mp4", "http:x.mp4", "a%03d.mp4", "with 'quote'.mp4", "line\nbreak.mp4"] {
        let path = bench.path(name);
        std::fs::copy(&clip, &path).unwrap();
        assert_eq!(bench.scan(&bench.probe(&path)).shown(), 24, "{name:?}");
    }
}

#[test]
fn a_file_without_its_index_is_refused() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let bytes = std::fs::read(clip).unwrap();
    let index = bytes.windows(4).position(|four| four == b"moov").unwrap();
    let said = refusal(&bench, "headless.mp4", &bytes[..index - 4]);
    assert!(said.contains("moov"), "{said}");
}

#[test]
fn truncated_files_are_cut_to_what_is_whole_or_refused_by_the_scan() {
    let bench = Bench::new();
    let strict = bench.tools.for_film(Damaged::Refuse);
    let whole = bench.make("a.mkv", &[PICTURES], "-c:v libx264 -qp 10 -g 6");
    let front = bench.remake("front.mp4", &whole, "-c copy -movflags +faststart");
    let stream = bench.remake("a.ts", &whole, "-c copy");
    for (path, name) in [(whole, "cut.mkv"), (front, "cut.mp4"), (stream, "cut.ts")] {
        let bytes = std::fs::read(path).unwrap();
        let cut = bench.path(name);
        std::fs::write(&cut, &bytes[..(bytes.len() * 6 / 10) | 1]).unwrap();
        let media = bench.probe(&cut);
        let error = scan(&strict, &media, &bench.cancel).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains("truncated"), "{error}");
        let packets = bench.scan(&media);
        assert_eq!(packets.damage.count(DamageKind::CutShort), 1, "{name}");
        assert!((10..24).contains(&packets.shown()), "{name}: {}", packets.shown());
    }
}

#[test]
fn limits_name_what_was_found_and_what_is_allowed() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let limited = |change: fn(&mut Tools)| {
        let mut tools = bench.tools.clone();
        change(&mut tools);
        let error = probe(&tools, &clip, &bench.cancel).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        error.to_string()
    };
    let pixels = limited(|tools| tools.limits.frame_pixels = 3000);
    assert!(pixels.contains("64x48") && pixels.contains("3000"), "{pixels}");
    assert!(limited(|tools| tools.limits.file_bytes = 10).contains("allowed are 10"));
    assert!(limited(|tools| tools.limits.frames = 23).contains("24 frames; allowed are 23"));
    let duration = limited(|tools| tools.limits.duration = std::time::Duration::from_millis(500));
    assert!(duration.contains("s long"), "{duration}");
}

#[test]
fn an_absurd_size_in_the_headers_is_refused() {
    let bench = Bench::new();
    // The sizes of a y4m header are believed before any picture is read.
    let y4m = b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n";
    let said = refusal(&bench, "huge.y4m", y4m);
    assert!(said.contains("60000x60000"), "{said}");
}

#[test]
fn a_file_is_read_again_only_when_it_changed() {
    let bench = Bench::new();
    let path = bench.clip("a.mp4");
    let packets = scan(&bench.tools, &bench.probe(&path), &bench.cancel).unwrap();
    // Programs that answer nothing: what is known is not asked for.
    let mut deaf = bench.tools.clone();
    deaf.programs.ffprobe = "/bin/false".into();
    let linked = bench.path("linked.mp4");
    std::fs::hard_link(&path, &linked).unwrap();
    let media = probe(&deaf, &linked, &bench.cancel).unwrap();
    assert_eq!(media.path, linked, "named as it is asked for");
    assert_eq!(scan(&deaf, &media, &bench.cancel).unwrap(), packets);
    // Another ending may be another format to ffmpeg.
    let renamed = bench.path("renamed.ts");
    std::fs::hard_link(&path, &renamed).unwrap();
    assert!(probe(&deaf, &renamed, &bench.cancel).is_err());
    // Other limits are checked anew.
    let mut strict = bench.tools.clone();
    strict.limits.frames = 23;
    let refused = scan(&strict, &bench.probe(&path), &bench.cancel).unwrap_err();
    assert!(refused.to_string().contains("more frames than the 23"), "{refused}");
    // The same size, but written a moment later.
    let bytes = std::fs::read(&path).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&path, bytes).unwrap();
    assert!(probe(&deaf, &path, &bench.cancel).is_err());
    assert!(scan(&deaf, &media, &bench.cancel).is_err());
}
