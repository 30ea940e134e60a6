//! Sources that hold two views already.

use std::path::Path;
use std::process::Command;

use parallax_conversion::{SourceLayout, declared_views, one_view, refuse_views};
use parallax_media::{DecodeOptions, Decoder, Tools, probe};
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
        let said = refuse_views(&tools, &path, &cancel).unwrap_err().to_string();
        assert!(said.contains("already stereoscopic") && said.contains("one eye"), "{said}");

        let flat = one_view(&tools, &media, Some(SourceLayout::Flat), &cancel).unwrap().pictures;
        assert_eq!(flat.size(&media), (64, 48));
        for (layout, luma, aspect) in
            [("half-sbs-left", 16, (2, 1)), ("full-sbs-right", 235, (1, 1))]
        {
            let eye = one_view(&tools, &media, Some(layout.parse().unwrap()), &cancel).unwrap();
            let eye = eye.pictures;
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
    refuse_views(&tools, &flat, &cancel).unwrap();
}

#[test]
fn a_name_is_believed_as_far_as_the_pictures_do_not_contradict_it() {
    let folder = tempfile::tempdir().unwrap();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    let make = |name: &str| {
        let path = folder.path().join(name);
        film(&path, "");
        probe(&tools, &path, &cancel).unwrap()
    };
    // Nothing can be told of these pictures: results here are called so, those of others perhaps.
    let said = one_view(&tools, &make("film_LRF_Full_SBS.mp4"), None, &cancel).unwrap_err();
    let said = said.to_string();
    assert!(said.contains("full-sbs, as its name says"), "{said}");
    assert!(said.contains("--source-layout"), "{said}");
    let view = one_view(&tools, &make("La vie ou la mort.mp4"), None, &cancel).unwrap();
    let warning = view.warning.unwrap();
    assert!(warning.contains("half-tb") && warning.contains("nothing that can be told"));
    let view = one_view(&tools, &make("film.mp4"), None, &cancel).unwrap();
    assert_eq!(view, DecodeOptions::default().into());
}
