//! When to try again, and how long to wait before.

use std::time::Duration;

use rand::RngExt;

use crate::error::Error;
use crate::settings::Settings;

/// How a try ended that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may pass: a broken connection, silence, 408, 429, 5xx.
    Transient {
        why: String,
        /// Pause that the hub asked for.
        after: Option<Duration>,
    },
    /// The bytes were not those announced.
    Corrupt { expected: String, found: String },
    /// It will not pass.
    Permanent(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Permanent(error)
    }
}

/// Downloads of a file that may end with the wrong digest.
const CORRUPT: u32 = 3;

/// The tries of one file.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    settings: &'a Settings,
    what: &'a str,
    failed: u32,
    corrupt: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(settings: &'a Settings, what: &'a str) -> Self {
        Self { settings, what, failed: 0, corrupt: 0 }
    }

    /// Something came: what went wrong before does not count any more.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// What to say and how long to wait before the next try.
    ///
    /// # Errors
    /// No further try.
    pub(crate) fn after(&mut self, failure: Failure) -> Result<(String, Duration), Error> {
        let (why, asked) = match failure {
            Failure::Permanent(error) => return Err(error),
            Failure::Corrupt { expected, found } => {
                self.corrupt += 1;
                if self.corrupt >= CORRUPT {
                    let (what, tries) = (self.what.to_owned(), self.corrupt);
                    return Err(Error::Corrupt { what, expected, found, tries });
                }
                (format!("damaged: {found} instead of {expected}"), None)
            }
            Failure::Transient { why, after } => {
                self.failed += 1;
                if self.failed >= self.settings.tries {
                    let (what, tries) = (self.what.to_owned(), self.failed);
                    return Err(Error::Unreachable { what, tries, why });
                }
                (why, after)
            }
        };
        let doublings = self.failed.saturating_sub(1).min(16);
        let pause = self.settings.first_pause * (1 << doublings);
        let pause = pause.min(self.settings.longest_pause);
        // Between half and all of it, so that many downloads do not come back together.
        let pause = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        Ok((why, asked.map_or(pause, |asked| asked.max(pause)).min(self.settings.longest_pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transient(after: Option<u64>) -> Failure {
        Failure::Transient { why: "reset".into(), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn pauses_double_and_end() {
        let settings = Settings::new("weights".into());
        let mut tries = Tries::new(&settings, "file");
        let mut most = settings.first_pause;
        for _ in 1..settings.tries {
            let (_, pause) = tries.after(transient(None)).unwrap();
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
            most *= 2;
        }
        let error = tries.after(transient(None)).unwrap_err();
        assert!(matches!(error, Error::Unreachable { tries: 6, .. }), "{error}");
    }

    #[test]
    fn progress_starts_the_count_again() {
        let settings = Settings::new("weights".into());
        let mut tries = Tries::new(&settings, "file");
        for _ in 0..100 {
            tries.after(transient(None)).unwrap();
            tries.progressed();
        }
    }

    #[test]
    fn the_hub_may_ask_for_more_but_not_for_everything() {
        let settings = Settings::new("weights".into());
        let mut tries = Tries::new(&settings, "file");
        assert_eq!(tries.after(transient(Some(7))).unwrap().1, Duration::from_secs(7));
        assert_eq!(tries.after(transient(Some(86_400))).unwrap().1, settings.longest_pause);
    }

    #[test]
    fn damage_ends_after_three_downloads_whatever_progress_they_made() {
        let settings = Settings::new("weights".into());
        let mut tries = Tries::new(&settings, "file");
        let corrupt = || Failure::Corrupt { expected: "a".into(), found: "b".into() };
        for _ in 0..2 {
            tries.after(corrupt()).unwrap();
            tries.progressed();
        }
        let error = tries.after(corrupt()).unwrap_err().to_string();
        assert_eq!(error, "file: damaged in 3 downloads: b instead of a");
    }
}
