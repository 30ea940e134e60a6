//! More frames in between, and loops.

use parallax_media::{Effect, EncodeSettings, Error, Kind, LoopStyle};

use crate::clips::{Bench, decoded_times, pictures};

/// Bytes of one picture of the usual clip.
const PICTURE: usize = 64 * 48 * 3 / 2;

/// Lossless, so that pictures can be compared.
fn exact() -> EncodeSettings {
    EncodeSettings { crf: 0, preset: "ultrafast".to_owned(), ..EncodeSettings::default() }
}

impl Bench {
    fn effect<T>(
        &self,
        input: &str,
        work: impl FnOnce(&Effect<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (input, output, settings) = (self.path(input), self.path("out.mp4"), exact());
        let (tools, cancel) = (&self.tools, &self.cancel);
        let effect = Effect { tools, input: &input, output: &output, settings: &settings, cancel };
        let result = work(&effect);
        assert_eq!(output.exists(), result.is_ok(), "a result appears whole or not at all");
        result
    }
}

#[test]
fn interpolation_multiplies_the_rate_and_keeps_the_length() {
    let bench = Bench::new();
    bench.clip("a.mp4");
    let mut told = Vec::new();
    let made = bench.effect("a.mp4", |e| e.interpolate(3, &mut |n| told.push(n))).unwrap();
    assert!((66..=72).contains(&made), "{made}");
    assert!(told.is_sorted() && told.last().is_some_and(|last| *last >= made), "{told:?}");
    let media = bench.probe(&bench.path("out.mp4"));
    assert_eq!((media.video.rate.num, media.video.rate.den), (72000, 1001));
    let seconds =
        media.video.time_base.seconds(*decoded_times(&bench.path("out.mp4")).last().unwrap());
    assert!((0.88..1.01).contains(&seconds), "{seconds}");
    let pictures = pictures(&bench.path("out.mp4"), "yuv420p");
    let distinct: std::collections::BTreeSet<&[u8]> = pictures.chunks(PICTURE).collect();
    assert!(distinct.len() >= 36, "frames in between are their own: {}", distinct.len());
}

#[test]
fn a_ping_pong_comes_back_the_way_it_went() {
    let bench = Bench::new();
    let source = pictures(&bench.clip("a.mp4"), "yuv420p");
    let made = bench.effect("a.mp4", |e| e.make_loop(LoopStyle::PingPong, &mut |_| ())).unwrap();
    assert_eq!(made, 46);
    let pictures = pictures(&bench.path("out.mp4"), "yuv420p");
    let (source, made): (Vec<_>, Vec<_>) =
        (source.chunks(PICTURE).collect(), pictures.chunks(PICTURE).collect());
    assert_eq!(made[..24], source[..]);
    for step in 1..23 {
        assert!(made[46 - step] == source[step], "{step}");
    }
}

#[test]
fn a_crossfade_ends_where_it_begins() {
    let bench = Bench::new();
    let source = pictures(&bench.clip("a.mp4"), "yuv420p");
    let style = LoopStyle::Crossfade { frames: 6 };
    assert_eq!(bench.effect("a.mp4", |e| e.make_loop(style, &mut |_| ())).unwrap(), 18);
    let pictures = pictures(&bench.path("out.mp4"), "yuv420p");
    let (source, made): (Vec<_>, Vec<_>) =
        (source.chunks(PICTURE).collect(), pictures.chunks(PICTURE).collect());
    assert_eq!(made[..12], source[6..18], "the body is as it was");
    for step in 0..6 {
        let weight = (step + 1) as f32 / 7.0;
        for (n, sample) in made[12 + step].iter().enumerate() {
            let (tail, head) = (source[18 + step][n], source[step][n]);
            let expected = f32::from(tail) * (1.0 - weight) + f32::from(head) * weight;
            assert!(
                (f32::from(*sample) - expected).abs() <= 1.5,
                "{step} {n}: {sample} {expected}"
            );
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let bench = Bench::new();
    bench.clip("a.mp4");
    std::fs::write(bench.path("text.mp4"), "no video").unwrap();
    let refused = |result: Result<u64, Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        error.to_string()
    };
    for factor in [0, 1, 9] {
        let error = refused(bench.effect("a.mp4", |e| e.interpolate(factor, &mut |_| ())));
        assert!(error.contains("allowed are 2 to 8"), "{error}");
    }
    for frames in [0, 13] {
        let style = LoopStyle::Crossfade { frames };
        let error = refused(bench.effect("a.mp4", |e| e.make_loop(style, &mut |_| ())));
        assert!(error.contains("allowed are 1 to 12"), "{error}");
    }
    refused(bench.effect("text.mp4", |e| e.interpolate(2, &mut |_| ())));
    bench.cancel.cancel();
    let stopped = bench.effect("a.mp4", |e| e.interpolate(2, &mut |_| ())).unwrap_err();
    assert_eq!(stopped.kind(), Kind::Cancelled);
}
