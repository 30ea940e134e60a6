//! Sources whose clocks, lead-ins, lengths or keys are odd.

use std::path::Path;

use parallax_media::{EncodeSettings, Encoder, Kind, Timing, probe};

use crate::clips::{Bench, PICTURES};

#[test]
fn encrypted_films_are_named_as_such_before_anything_is_decoded() {
    let bench = Bench::new();
    let key = "-encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff \
               -encryption_kid 0123456789abcdef0123456789abcdef";
    let options = format!("-c:v libx264 -pix_fmt yuv420p {key}");
    let hidden = bench.make("hidden.mp4", &[PICTURES], &options);
    let error = probe(&bench.tools, &hidden, &bench.cancel).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let said = error.to_string();
    assert!(said.ends_with("encrypted (cenc): a decrypted copy is needed"), "{said}");

    // The scrambling bits of every packet of a transport stream.
    let clip = bench.make("a.ts", &[PICTURES], "-c:v libx264 -pix_fmt yuv420p");
    let mut bytes = std::fs::read(clip).unwrap();
    bytes.chunks_exact_mut(188).for_each(|packet| packet[3] |= 0x80);
    let path = bench.path("scrambled.ts");
    std::fs::write(&path, bytes).unwrap();
    let said = probe(&bench.tools, &path, &bench.cancel).unwrap_err().to_string();
    assert!(said.contains("encrypted (scrambled") && said.contains("decrypted copy"), "{said}");
}

/// Sets every bit of the durations in an MP4's headers of version 0.
fn forget_durations(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for (kind, at) in [(b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)] {
        let places: Vec<usize> =
            (0..bytes.len() - 40).filter(|&place| bytes[place..place + 4] == kind[..]).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|place| bytes[place + at..place + at + 4].fill(0xFF));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_duration_of_all_ones_is_unknown_rather_than_days() {
    let bench = Bench::new();
    let options = "-c:v libx264 -pix_fmt yuv420p -movflags +frag_keyframe+empty_moov";
    let clip = bench.make("a.mp4", &[PICTURES], options);
    forget_durations(&clip);
    let media = bench.probe(&clip);
    assert_eq!((media.duration_seconds, media.video.duration), (None, None));
    assert_eq!(bench.scan(&media).shown(), 24);
}

#[test]
fn an_odd_sample_aspect_reaches_the_result_exactly() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let media = bench.probe(&clip);
    for aspect in [(110, 109), (1216, 1215)] {
        let path = bench.path("shaped.mp4");
        let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
        let settings = EncodeSettings { sample_aspect: aspect, ..EncodeSettings::default() };
        let format = &media.video.format;
        let mut encoder =
            Encoder::create(&bench.tools, &path, format, timing, &settings, &bench.cancel).unwrap();
        for frame in bench.decoder(&clip) {
            encoder.write(&frame.unwrap()).unwrap();
        }
        encoder.finish().unwrap();
        assert_eq!(bench.probe(&path).video.sample_aspect, aspect);
    }
}
