//! What the output is called: players tell the layout by the name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parallax_conversion::tag;
use parallax_media::show_path;
use parallax_stereo::Layout;

/// Bytes of the longest name that file systems hold.
const LONGEST_NAME: usize = 255;

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
        .with_context(|| format!("{}: has no file name", show_path(input)))?
        .to_string_lossy();
    let named = |stem: &str| -> String {
        let name = template.replace("{tag}", tag(layout)).replace("{stem}", stem);
        // What network shares and other systems refuse in names, and bytes that are no text.
        let plain = |c: char| !c.is_control() && !"\\/:*?\"<>|\u{fffd}".contains(c);
        name.chars().map(|c| if plain(c) { c } else { '_' }).collect()
    };
    let mut stem = &*stem;
    let mut name = named(stem);
    // The tag stays, and the film's name gives way.
    while name.len() + 1 + extension.len() > LONGEST_NAME && !stem.is_empty() {
        stem = stem.char_indices().next_back().map_or("", |(last, _)| &stem[..last]);
        name = named(stem);
    }
    ensure!(!name.trim_matches(['.', ' ']).is_empty(), "--name {template:?}: gives no name");
    Ok(input.with_file_name(format!("{name}.{extension}")))
}

/// A path as text: itself where it is text, other bytes as `\xNN`.
pub(crate) fn lossless(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| {
            let _ = write!(text, "\\x{byte:02x}");
        });
    }
    text
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
    fn a_name_at_the_limit_keeps_its_tag_and_gives_way_between_characters() {
        let input = PathBuf::from(format!("{}ü.mkv", "ü".repeat(124)));
        let path = beside(&input, Layout::FullSbs, "{stem}{tag}", "mp4").unwrap();
        let name = path.to_str().unwrap();
        assert!(name.len() <= LONGEST_NAME && name.len() >= LONGEST_NAME - 1, "{}", name.len());
        assert!(name.ends_with("ü_LRF_Full_SBS.mp4"), "{name}");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes| Path::new(std::ffi::OsStr::from_bytes(bytes));
        assert_eq!(lossless(path(b"f\xc3\xbc\xff\n")), "fü\\xff\n");
        let output = beside(path(b"a\xff\nb.mp4"), Layout::HalfSbs, "{stem}{tag}", "mp4").unwrap();
        assert_eq!(output, Path::new("a__b_LR.mp4"));
    }

    #[test]
    fn every_layout_has_a_tag_of_its_own() {
        let mut tags: Vec<_> = Layout::ALL.map(tag).to_vec();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), Layout::ALL.len());
    }
}
