//! Names that come from outside, and ids that are made here.

use std::path::Path;

/// Bytes of the longest name that is kept: what a conversion appends has room.
const LONGEST: usize = 160;

/// Endings by which programs of this machine would run a file. Nothing here runs one, but a person might
/// click on it.
const RUN: [&str; 8] = ["exe", "sh", "bat", "cmd", "com", "desktop", "js", "html"];

/// A name for a file of that name: of a path the last part, without what file systems, shells and terminals
/// take for something else. It has an ending, and does not begin with a dot or a dash.
pub(crate) fn safe(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain = |c: char| !c.is_control() && !is_invisible(c) && !":*?\"<>|\u{fffd}".contains(c);
    let cleaned: String = last.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let cleaned = cleaned.trim().trim_start_matches(['.', '-']).trim_end_matches('.');
    let (stem, ending) = cleaned.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    let usual = !ending.is_empty()
        && ending.len() <= 8
        && ending.chars().all(|c| c.is_ascii_alphanumeric())
        && !RUN.contains(&&*ending);
    if stem.trim().is_empty() || !usual {
        return None;
    }
    let mut stem = stem.trim_end().to_owned();
    while stem.len() + 1 + ending.len() > LONGEST {
        stem.pop();
    }
    Some(format!("{stem}.{ending}"))
}

/// Marks that turn the order of what follows, and others that nobody sees.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A new id: 64 random bits.
pub(crate) fn id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Whether `text` may be an id: then it is also a harmless part of a path.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What kind of content the ending of a name of ours says.
pub(crate) fn content_type(path: &Path) -> &'static str {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match &*ending {
        "mp4" => "video/mp4",
        "mkv" => "video/x-matroska",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_in_their_folder() {
        for (given, kept) in [
            ("clip.mp4", Some("clip.mp4")),
            ("../../etc/passwd.mp4", Some("passwd.mp4")),
            (r"C:\films\My Film.MKV", Some("My Film.mkv")),
            ("<img src=x>.mp4", Some("_img src=x_.mp4")),
            ("--help.mp4", Some("help.mp4")),
            (".hidden.mp4", Some("hidden.mp4")),
            ("a\nb\u{202e}c.mp4", Some("a_b_c.mp4")),
            ("fête.mp4", Some("fête.mp4")),
            ("..", None),
            ("", None),
            ("film", None),
            (".mp4", None),
            ("a.mp4/", None),
            ("run.sh", None),
            ("a.m p4", None),
        ] {
            assert_eq!(safe(given).as_deref(), kept, "{given:?}");
        }
        let long = safe(&format!("{}.mp4", "ü".repeat(400))).unwrap();
        assert!(long.len() <= LONGEST && long.ends_with("ü.mp4"), "{long}");
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(is_id(&id()));
        for other in ["", "..", "0123456789abcdeF", "0123456789abcde/", "0123456789abcdef0"] {
            assert!(!is_id(other), "{other:?}");
        }
    }
}
