//! Pages as text. Whatever comes from stores or their users is escaped by the templates.

mod deed;
mod frame;
mod job;
mod jobs;
mod overview;
mod permits;
mod queues;
mod records;
mod timeline;

pub(crate) use deed::{confirm, done};
pub(crate) use frame::{Visitor, enter, refused, whole};
pub(crate) use job::job;
pub(crate) use jobs::jobs;
pub(crate) use overview::overview;
pub(crate) use permits::permits;
pub(crate) use queues::queues;
pub(crate) use records::{acts, replicas};

use maud::{Markup, html};
use parallax_job::Timestamp;

use crate::deed::Deed;

/// What changes of a page.
pub(crate) struct Parts {
    pub(crate) title: String,
    /// The page in a sentence, for who hears it.
    pub(crate) said: String,
    pub(crate) html: Markup,
}

/// A time, which the page's script turns into how long ago that is.
fn time(at: Timestamp) -> Markup {
    let utc = at.to_utc();
    let (date, rest) = utc.split_once('T').unwrap_or((&utc, ""));
    let clock = rest.get(..8).unwrap_or_default();
    html! { time datetime=(utc) { (date) " " (clock) " UTC" } }
}

/// A span for people: `45 s`, `12 min`, `3.5 h`, `2.1 d`.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 99.5 => format!("{seconds:.0} s"),
        seconds if seconds < 5970.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.1} d", seconds / 86_400.0),
    }
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

/// `1 job`, `2 jobs`.
fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A button: the way to the page that says what would be done, and asks.
fn button(deed: &Deed, of: &str) -> Markup {
    let label = format!("{} {of}", deed.label());
    let class = if deed.is_final() { "button final" } else { "button" };
    html! { a class=(class) href={ "/do/" (deed.path()) } aria-label=(label) { (deed.label()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        let spans = [0.0, 99.0, 100.0, 5900.0, 7200.0, 200_000.0].map(span);
        assert_eq!(spans, ["0 s", "99 s", "2 min", "98 min", "2.0 h", "2.3 d"]);
        assert_eq!(bytes(999), "1 kB");
        assert_eq!(bytes(12_340_000), "12.3 MB");
        assert_eq!((count(1, "job"), count(0, "job")), ("1 job".to_owned(), "0 jobs".to_owned()));
        let time = time(Timestamp(1_700_000_000_123)).into_string();
        assert!(time.contains(">2023-11-14 22:13:20 UTC<"), "{time}");
    }
}
