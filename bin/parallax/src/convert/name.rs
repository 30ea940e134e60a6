//! What the output is called: players tell the layout by the name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parallax_stereo::Layout;

/// The suffix that players know. Anaglyphs are named after what they do to colours.
pub(crate) fn tag(layout: Layout) -> &'static str {
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

/// `template` filled in for `input`, beside it, with `extension`.
///
/// # Errors
/// When the input has no name or the template gives none.
pub(crate) fn beside(
    input: &Path,
    layout: Layout,
    template: &str,
    extension: &str,
) -> Result<PathBuf> {
    let stem = input
        .file_stem()
        .with_context(|| format!("{}: has no file name", input.display()))?
        .to_string_lossy();
    let name = template.replace("{tag}", tag(layout)).replace("{stem}", &stem);
    // What network shares and other systems refuse in names.
    let name: String = name
        .chars()
        .map(|c| if c.is_control() || "\\/:*?\"<>|".contains(c) { '_' } else { c })
        .collect();
    ensure!(!name.trim_matches(['.', ' ']).is_empty(), "--name {template:?}: gives no name");
    Ok(input.with_file_name(format!("{name}.{extension}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_recognise_the_layout_by_the_name() {
        let cases = [
            (Layout::FullSbs, "{stem}{tag}", "clip_LRF_Full_SBS.mp4"),
            (Layout::HalfSbs, "{stem}{tag}", "clip_LR.mp4"),
            (Layout::Anaglyph, "{stem}{tag}", "clip_redcyan_color.mp4"),
            (Layout::Vr180, "{stem}.180{tag}", "clip.180_180x180_LR.mp4"),
            (Layout::FullTb, "a/b:{stem}", "a_b_clip.mp4"),
        ];
        for (layout, template, name) in cases {
            let path = beside(Path::new("films/clip.mkv"), layout, template, "mp4").unwrap();
            assert_eq!(path, Path::new("films").join(name));
        }
        assert!(beside(Path::new("x.mp4"), Layout::FullSbs, "..", "mp4").is_err());
    }

    #[test]
    fn every_layout_has_a_tag_of_its_own() {
        let mut tags: Vec<_> = Layout::ALL.map(tag).to_vec();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), Layout::ALL.len());
    }
}
