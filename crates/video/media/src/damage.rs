//! What is wrong with a film that is converted all the same: what, where and how often.
//!
//! A recording of two hours with one lost packet is worth converting. What was mended is counted
//! here, and told at the end; a film that is mostly damage is still refused, because nobody wants
//! hours of work on a still picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Places that are kept of each kind: enough to look at, however long the film.
const PLACES: usize = 5;
/// Unreadable pictures that are always survived: of a short film they may be a large part.
const FEW_PICTURES: u64 = 25;
/// One picture of so many may be unreadable.
const PART_OF_PICTURES: u64 = 4;

/// What to do about a source that is damaged. Defaults to [`Damaged::Repair`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damaged {
    /// Go on: bad pictures repeat the last good one, and what was mended is told.
    #[default]
    Repair,
    /// Stop at the first damage.
    Refuse,
}

impl Damaged {
    /// The names that are allowed.
    pub const NAMES: [&'static str; 2] = ["repair", "refuse"];

    /// Its name, as options and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Damaged::Repair => "repair",
            Damaged::Refuse => "refuse",
        }
    }
}

impl FromStr for Damaged {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "repair" => Ok(Damaged::Repair),
            "refuse" => Ok(Damaged::Refuse),
            _ => Err(format!("\"{}\": allowed are repair and refuse", name.escape_debug())),
        }
    }
}

/// The refusal of the damaged film at `path`, with the way to convert it all the same.
pub(crate) fn refused(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::input(path, format!("{what}{WAY_ON}"))
}

/// What a refusal that was asked for ends with.
pub(crate) const WAY_ON: &str = "; refused as was asked: --damaged repair converts it all the same";

/// A kind of damage, and with it what was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DamageKind {
    /// A picture that cannot be read: the last good one is repeated, before the first good one that.
    Picture,
    /// A torn packet: dropped.
    Packet,
    /// Pictures before the first that can be decoded: dropped.
    LeadIn,
    /// The clock starts again: continued.
    Clock,
    /// Two pictures at one time: the later one is moved.
    DoubleTime,
    /// A picture of another size than the first one, or with pixels of another shape: fitted into
    /// that, with bars.
    Size,
    /// The file ends before its headers say.
    CutShort,
    /// A picture that is missing from the file, by the gap that it left: the one before stays longer.
    Lost,
}

impl DamageKind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            DamageKind::Picture => "picture",
            DamageKind::Packet => "packet",
            DamageKind::LeadIn => "lead-in",
            DamageKind::Clock => "clock",
            DamageKind::DoubleTime => "double-time",
            DamageKind::Size => "size",
            DamageKind::CutShort => "cut-short",
            DamageKind::Lost => "lost",
        }
    }

    /// What happened to `count` of them.
    fn told(self, count: u64) -> String {
        let (one, many) = match self {
            DamageKind::Picture => (
                "1 picture cannot be read and is replaced by its neighbour",
                "pictures cannot be read and are replaced by the last good one",
            ),
            DamageKind::Packet => ("1 torn packet is dropped", "torn packets are dropped"),
            DamageKind::LeadIn => (
                "1 picture before the first that can be decoded is left out",
                "pictures before the first that can be decoded are left out",
            ),
            DamageKind::Clock => {
                ("the clock jumps once and is continued", "jumps of the clock are continued")
            }
            DamageKind::DoubleTime => (
                "1 picture at the time of another is moved",
                "pictures at the times of others are moved",
            ),
            DamageKind::Size => (
                "1 picture of another size or shape is fitted into the first one's, with bars",
                "pictures of another size or shape are fitted into the first one's, with bars",
            ),
            DamageKind::CutShort => {
                ("the file ends before its headers say", "files end before their headers say")
            }
            DamageKind::Lost => (
                "1 picture is missing from the file: the one before stays longer",
                "pictures or so are missing from the file: those before the gaps stay longer",
            ),
        };
        if count == 1 { one.to_owned() } else { format!("{count} {many}") }
    }
}

/// How often something occurred, and where first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Found {
    /// How often.
    pub count: u64,
    /// The first places, ascending, in seconds of the film.
    pub places: Vec<f64>,
}

/// The damage of a film or of a part of it. Empty when there is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Damage {
    found: BTreeMap<DamageKind, Found>,
}

impl Damage {
    /// Counts one `kind` at `seconds`; `None` when nobody knows where.
    pub fn note(&mut self, kind: DamageKind, seconds: Option<f64>) {
        self.note_many(kind, 1, seconds);
    }

    /// Counts `count` of `kind`, the first at `seconds`.
    pub fn note_many(&mut self, kind: DamageKind, count: u64, seconds: Option<f64>) {
        if count == 0 {
            return;
        }
        let found = self.found.entry(kind).or_default();
        found.count += count;
        found.keep(seconds);
    }

    /// Adds what was found in another part of the same film, on the same clock.
    pub fn merge(&mut self, other: &Damage) {
        for (&kind, theirs) in &other.found {
            let found = self.found.entry(kind).or_default();
            found.count += theirs.count;
            found.keep(theirs.places.iter().copied());
        }
    }

    /// The same on a clock that shows `seconds` where this one shows 0.
    pub fn shifted(mut self, seconds: f64) -> Self {
        self.found.values_mut().for_each(|f| f.places.iter_mut().for_each(|at| *at += seconds));
        self
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Every kind that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (DamageKind, &Found)> {
        self.found.iter().map(|(&kind, found)| (kind, found))
    }

    /// How often `kind` occurred.
    pub fn count(&self, kind: DamageKind) -> u64 {
        self.found.get(&kind).map_or(0, |found| found.count)
    }

    /// One line for each kind: what, how often, where.
    pub fn lines(&self) -> Vec<String> {
        self.iter()
            .map(|(kind, found)| format!("{}{}", kind.told(found.count), found.where_()))
            .collect()
    }

    /// Refuses a film that is mostly damage: more than a quarter of its `pictures` cannot be read,
    /// and more than 25.
    ///
    /// # Errors
    /// `Input`, which names the film at `path`, how much is unreadable and where it begins.
    pub fn check(&self, path: &Path, pictures: u64) -> Result<()> {
        let bad = self.count(DamageKind::Picture);
        if bad <= FEW_PICTURES || bad <= pictures / PART_OF_PICTURES {
            return Ok(());
        }
        let place = self.found.get(&DamageKind::Picture).and_then(|found| found.places.first());
        let from = place.map_or(String::new(), |&at| format!(", from {} on", clock(at)));
        let what = format!(
            "mostly damaged: {bad} of {pictures} pictures cannot be read{from}; a quarter is \
             survived. Get another copy, or cut out the part that is whole"
        );
        Err(Error::input(path, what))
    }
}

impl Found {
    fn keep(&mut self, places: impl IntoIterator<Item = f64>) {
        self.places.extend(places);
        self.places.sort_by(f64::total_cmp);
        self.places.truncate(PLACES);
    }

    /// `, at 1.000 s, 0:02:03.500 and 3 more`.
    fn where_(&self) -> String {
        let mut text = String::new();
        let rest = self.count.saturating_sub(self.places.len() as u64);
        let last = self.places.len().saturating_sub(1);
        for (index, &at) in self.places.iter().enumerate() {
            let before = match index {
                0 => ": at ",
                _ if index == last && rest == 0 => " and ",
                _ => ", ",
            };
            let _ = write!(text, "{before}{}", clock(at));
        }
        if rest > 0 && !self.places.is_empty() {
            let _ = write!(text, " and {rest} more");
        }
        text
    }
}

/// A place in a film: seconds, and from a minute on hours, minutes and seconds.
fn clock(seconds: f64) -> String {
    if seconds.abs() < 60.0 {
        return format!("{seconds:.3} s");
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let ms = (seconds.abs() * 1000.0).round() as u64;
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{sign}{}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Where damage is collected while a film is read, shared by everything that reads it.
#[derive(Debug, Clone, Default)]
pub struct DamageLog(Arc<Mutex<Damage>>);

impl DamageLog {
    /// Adds `damage`.
    pub fn add(&self, damage: &Damage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).merge(damage);
    }

    /// Everything so far.
    pub fn so_far(&self) -> Damage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn parts_add_up_on_the_films_clock() {
        let mut film = Damage::default();
        for segment in [2, 0, 1] {
            let mut part = Damage::default();
            for at in [1.0, 2.0, 3.0] {
                part.note(DamageKind::Picture, Some(at));
            }
            film.merge(&part.shifted(f64::from(segment) * 100.0));
        }
        film.note(DamageKind::Clock, None);
        assert_eq!(film.count(DamageKind::Picture), 9);
        assert_eq!(
            film.lines(),
            [
                "9 pictures cannot be read and are replaced by the last good one: at 1.000 s, \
                 2.000 s, 3.000 s, 0:01:41.000, 0:01:42.000 and 4 more",
                "the clock jumps once and is continued",
            ]
        );
    }

    #[test]
    fn a_film_that_is_mostly_damage_is_refused_and_a_short_one_survives_a_few() {
        let damage = |bad| {
            let mut damage = Damage::default();
            damage.note_many(DamageKind::Picture, bad, Some(7.5));
            damage
        };
        let film = Path::new("film.ts");
        assert!(damage(25).check(film, 30).is_ok());
        assert!(damage(250).check(film, 1000).is_ok());
        let error = damage(251).check(film, 1000).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        let said = error.to_string();
        assert!(said.starts_with("film.ts: mostly damaged: 251 of 1000"), "{said}");
        assert!(said.contains("from 7.500 s on"), "{said}");
    }

    #[test]
    fn it_reads_back_what_it_writes() {
        let mut damage = Damage::default();
        damage.note(DamageKind::DoubleTime, Some(0.25));
        let json = serde_json::to_string(&damage).unwrap();
        assert_eq!(json, r#"{"double-time":{"count":1,"places":[0.25]}}"#);
        assert_eq!(serde_json::from_str::<Damage>(&json).unwrap(), damage);
    }

    #[test]
    fn policies_are_named_and_others_are_refused() {
        for name in Damaged::NAMES {
            assert_eq!(name.parse::<Damaged>().unwrap().name(), name);
        }
        assert!("ignore".parse::<Damaged>().unwrap_err().contains("repair and refuse"));
    }
}
