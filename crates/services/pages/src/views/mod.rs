//! Pages as text. Whatever comes from files or their owners is escaped by the templates.

mod index;
mod jobs;
mod watch;

use maud::{Markup, html};
use parallax_web::page;

pub(crate) use index::{film_view, index};
pub(crate) use jobs::job_view;
pub(crate) use watch::watch;

/// The styles of every page.
const STYLES: [&str; 2] = ["base.css", "style.css"];

/// The top of every page.
fn banner() -> Markup {
    html! {
        header.banner {
            a.brand href="/" {
                img src="/assets/icon.svg" alt="" width="28" height="28";
                "Parallax"
            }
            span.where { "on this computer; nothing leaves it" }
        }
    }
}

/// For whoever may not see anything.
pub(crate) fn refused(why: &str) -> String {
    let body = html! {
        (banner())
        main.narrow {
            h1 { "Not yet" }
            p { (why) }
        }
    };
    page("Parallax", &STYLES, None, &body)
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

/// `1:05` or `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(bytes(999), "1 kB");
        assert_eq!(bytes(12_340_000), "12.3 MB");
        assert_eq!(bytes(100_000_000_000), "100.0 GB");
        assert_eq!(clock(64.6), "1:05");
        assert_eq!(clock(3723.0), "1:02:03");
    }
}
