//! What a conversion would look like.

use std::time::Duration;

use parallax_conversion::{Preview, PreviewDepth, preview};
use parallax_media::{Tools, probe, scan};
use parallax_stereo::{Draft, Geometry, Rendering};
use tokio_util::sync::CancellationToken;

use crate::clips::make;

#[test]
fn a_preview_of_high_dynamic_range_is_shown_as_an_ordinary_screen_can() {
    let dir = tempfile::tempdir().unwrap();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    // 203 cd/m², the reference white, in 10 bits of PQ and of HLG.
    for (transfer, luma) in [("smpte2084", 573), ("arib-std-b67", 721), ("bt709", 573)] {
        let grey = format!(
            "nullsrc=size=64x48:rate=24,trim=end_frame=4,format=yuv420p10,\
             geq=lum={luma}:cb=512:cr=512"
        );
        let options = format!(
            "-c:v libx264 -qp 1 -preset ultrafast -color_trc {transfer} -color_primaries bt2020 \
             -colorspace bt2020nc -color_range tv"
        );
        let film = make(&dir, &format!("{transfer}.mp4"), &[&grey], &options);
        let media = probe(&tools, &film, &cancel).unwrap();
        let packets = scan(&tools, &media, &cancel).unwrap();
        let how = Preview {
            depth: PreviewDepth::Estimated { model: &Draft, back: Duration::MAX },
            geometry: Geometry::default(),
            rendering: Rendering::default(),
            pictures: parallax_media::DecodeOptions::default(),
            tile_width: 32,
        };
        let sheet = preview(&tools, (&media, &packets), &[2], how, &cancel).unwrap();
        // Reference white is a little over half of the screen's light; unmapped PQ is 148.
        let want: u8 = if transfer == "bt709" { 148 } else { 191 };
        let left = &sheet.rgb[3 * 16..3 * 17];
        assert!(left.iter().all(|v| v.abs_diff(want) <= 2), "{transfer}: {left:?}, not {want}");
    }
}
