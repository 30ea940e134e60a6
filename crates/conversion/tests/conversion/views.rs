//! Sources that hold two views already.

use std::path::Path;
use std::process::Command;

use parallax_conversion::{SourceLayout, declared_views, one_view};
use parallax_media::{Decoder, Tools, probe};
use tokio_util::sync::CancellationToken;

/// A film whose left half is dark and whose right half is bright, encoded with `options`.
fn film(path: &Path, options: &str) {
    let source =
        "color=black:size=64x48:rate=25,trim=end_frame=3,drawbox=x=32:w=32:color=white:t=fill";
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:v", "libx264"]);
    command.args(["-pix_fmt", "yuv420p"]).args(options.split_whitespace()).arg(path);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_film_that_declares_two_views_is_refused_and_one_eye_of_it_is_taken_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    for (name, options, from) in [
        ("container.mkv", "-metadata:s:v:0 stereo_mode=left_right", "container"),
        ("stream.mp4", "-x264-params frame-packing=3", "stream"),
    ] {
        let path = folder.path().join(name);
        film(&path, options);
        let media = probe(&tools, &path, &cancel).unwrap();
        let said = one_view(&tools, &media, None, &cancel).unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("side by side"), "{said}");
        assert!(said.contains(from) && said.contains("--source-layout"), "{said}");

        let flat = one_view(&tools, &media, Some(SourceLayout::Flat), &cancel).unwrap();
        assert_eq!(flat.size(&media), (64, 48));
        for (layout, luma, aspect) in
            [("half-sbs-left", 16, (2, 1)), ("full-sbs-right", 235, (1, 1))]
        {
            let eye = one_view(&tools, &media, Some(layout.parse().unwrap()), &cancel).unwrap();
            assert_eq!((eye.size(&media), eye.sample_aspect(&media)), ((32, 48), aspect));
            let mut frames = Decoder::open_with(&tools, &media, Some(3), eye, &cancel).unwrap();
            let frame = frames.next().unwrap().unwrap();
            // Away from the seam, which the codec blurs.
            let at = frame.plane(0)[24 * 32 + 16];
            assert!(at.abs_diff(luma) <= 2, "{layout}: {at}");
        }
    }
    let flat = folder.path().join("flat.mp4");
    film(&flat, "");
    let media = probe(&tools, &flat, &cancel).unwrap();
    assert_eq!(declared_views(&tools, &media, &cancel).unwrap(), None);
}
