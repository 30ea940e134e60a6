//! The names of files, by which players tell how two views share a picture.

use std::path::Path;

use parallax_stereo::Layout;

/// Every layout whose name says that a picture is no ordinary one, the longer names first.
const TOLD: [Layout; 11] = [
    Layout::Vr180,
    Layout::FullSbs,
    Layout::HalfSbs,
    Layout::FullTb,
    Layout::HalfTb,
    Layout::CrossEyed,
    Layout::Rgbd,
    Layout::Anaglyph,
    Layout::AnaglyphHalfColour,
    Layout::AnaglyphOptimised,
    Layout::AnaglyphDubois,
];

/// The suffix that players know. Anaglyphs are named after what they do to colours.
pub fn tag(layout: Layout) -> &'static str {
    match layout {
        Layout::FullSbs => "_LRF_Full_SBS",
        Layout::HalfSbs => "_LR",
        Layout::FullTb => "_TBF_fulltb",
        Layout::HalfTb => "_TB",
        Layout::CrossEyed => "_RLF_cross",
        Layout::RightOnly => "_right",
        Layout::Rgbd => "_RGBD",
        Layout::Anaglyph => "_redcyan_color",
        Layout::AnaglyphHalfColour => "_redcyan_half-color",
        Layout::AnaglyphOptimised => "_redcyan_optimised",
        Layout::AnaglyphDubois => "_redcyan_dubois",
        Layout::Vr180 => "_180x180_LR",
    }
}

/// The layout of which the file at `path` has the very suffix that results get here.
pub(crate) fn tagged(path: &Path) -> Option<Layout> {
    let stem = path.file_stem()?.to_string_lossy();
    TOLD.into_iter().find(|layout| stem.ends_with(tag(*layout)))
}

/// Whether a file's name says that it is stereoscopic, and not how.
pub(crate) fn says_3d(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    stem.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "3d")
}

/// The layout in a file's name, by the words that players look for.
pub(crate) fn named(path: &Path) -> Option<Layout> {
    let stem = path.file_stem()?.to_string_lossy().to_ascii_lowercase();
    let words: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let anaglyph = has(&["redcyan", "anaglyph"]);
    Some(match () {
        () if anaglyph && has(&["dubois"]) => Layout::AnaglyphDubois,
        () if anaglyph && has(&["optimised", "optimized"]) => Layout::AnaglyphOptimised,
        () if anaglyph && has(&["half"]) => Layout::AnaglyphHalfColour,
        () if anaglyph => Layout::Anaglyph,
        () if has(&["180x180"]) => Layout::Vr180,
        () if has(&["rgbd"]) => Layout::Rgbd,
        () if has(&["rlf"]) => Layout::CrossEyed,
        () if has(&["lrf", "fsbs"]) || has(&["full"]) && has(&["sbs"]) => Layout::FullSbs,
        () if has(&["tbf", "fulltb", "fou"]) => Layout::FullTb,
        () if has(&["lr", "sbs", "hsbs", "3dh"]) => Layout::HalfSbs,
        () if has(&["tb", "ou", "hou", "htb", "3dv"]) => Layout::HalfTb,
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_players_read_them() {
        for (name, layout) in [
            ("film_LRF_Full_SBS.mp4", Some(Layout::FullSbs)),
            ("film_LR.mp4", Some(Layout::HalfSbs)),
            ("film_TBF_fulltb.mkv", Some(Layout::FullTb)),
            ("film_TB.mkv", Some(Layout::HalfTb)),
            ("film_RLF_cross.mp4", Some(Layout::CrossEyed)),
            ("film_RGBD.mp4", Some(Layout::Rgbd)),
            ("film_180x180_LR.mp4", Some(Layout::Vr180)),
            ("film_redcyan_color.mp4", Some(Layout::Anaglyph)),
            ("film_redcyan_half-color.mp4", Some(Layout::AnaglyphHalfColour)),
            ("film_redcyan_dubois.mp4", Some(Layout::AnaglyphDubois)),
            ("Movie.2012.1080p.HSBS.mkv", Some(Layout::HalfSbs)),
            ("flour.mp4", None),
            ("half full.mp4", None),
        ] {
            assert_eq!(named(Path::new(name)), layout, "{name}");
        }
    }

    #[test]
    fn our_own_suffixes_are_told_from_words_alike() {
        for layout in TOLD {
            let name = format!("film{}.mkv", tag(layout));
            assert_eq!(tagged(Path::new(&name)), Some(layout), "{name}");
            assert_eq!(named(Path::new(&name)), Some(layout), "{name}");
        }
        for name in ["film_lr.mp4", "la vie ou la mort.mp4", "film_LR_cut.mp4", "film.mp4"] {
            assert_eq!(tagged(Path::new(name)), None, "{name}");
        }
        assert!(says_3d(Path::new("Film.3D.2012.mkv")) && !says_3d(Path::new("Film.3Dh.mkv")));
    }
}
