//! Finding the ffmpeg programs, and the one way their command lines begin.
//!
//! Every child starts from an empty environment: it needs no credentials and cannot leak any.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

use crate::child::{self, Patience};
use crate::damage::{DamageLog, Damaged};
use crate::error::{Error, Kind, Result, escape, show_path};
use crate::limits::{DEMUXERS, Limits};
use crate::remembered::Remembered;

/// How long a program may take to tell its version.
const ANSWER: Duration = Duration::from_secs(30);

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The `ffmpeg` program.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` program.
    pub ffprobe: PathBuf,
    /// util-linux `prlimit`, which bounds memory, processor time and files of children where it exists.
    pub prlimit: Option<PathBuf>,
}

impl Programs {
    /// Looks on `PATH`.
    ///
    /// # Errors
    /// `Tool` when either program is missing.
    pub fn find() -> Result<Self> {
        Self::find_with(None, None)
    }

    /// Takes the given programs and looks on `PATH` for the rest.
    ///
    /// # Errors
    /// `Tool` when either program is missing.
    pub fn find_with(ffmpeg: Option<PathBuf>, ffprobe: Option<PathBuf>) -> Result<Self> {
        let required = |given: Option<PathBuf>, name: &str| match given {
            Some(path) if path.is_file() => Ok(path),
            Some(path) => {
                Err(Error::new(Kind::Tool, format!("{name}: no program at {}", show_path(&path))))
            }
            None => on_path(name).ok_or_else(|| {
                Error::new(
                    Kind::Tool,
                    format!("{name} is not on PATH: install ffmpeg 4.4 or later"),
                )
            }),
        };
        Ok(Self {
            ffmpeg: required(ffmpeg, "ffmpeg")?,
            ffprobe: required(ffprobe, "ffprobe")?,
            prlimit: on_path("prlimit"),
        })
    }

    /// Asks `ffmpeg` for its version.
    ///
    /// # Errors
    /// `Tool` when it does not run or answers something else.
    pub fn version(&self) -> Result<Version> {
        let refuse = |what: String| {
            Error::new(Kind::Tool, format!("{} -version: {what}", show_path(&self.ffmpeg)))
        };
        let mut command = Command::new(&self.ffmpeg);
        command.arg("-version");
        clean_environment(&mut command);
        let nobody = CancellationToken::new();
        let (output, ended) = child::capture(&mut command, &nobody, Some(ANSWER), 64 << 10)
            .map_err(|e| refuse(e.to_string()))?;
        ended.check("it does not answer", Kind::Tool).map_err(|e| refuse(e.to_string()))?;
        let text = String::from_utf8_lossy(&output);
        let line = text.lines().next().unwrap_or_default();
        let name = line
            .strip_prefix("ffmpeg version ")
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or_else(|| refuse(format!("answered \"{}\"", escape(line, 200))))?;
        Ok(Version::parse(name))
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A version of ffmpeg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As ffmpeg prints it, for example `5.1.9-0+deb12u1`.
    pub name: String,
    /// Major and minor number; `None` for builds from a snapshot, which are taken as recent.
    pub number: Option<(u32, u32)>,
}

impl Version {
    fn parse(name: &str) -> Self {
        let mut parts = name.trim_start_matches('n').split(['.', '-']);
        let mut next = || parts.next().and_then(|part| part.parse().ok());
        let number = next().map(|major| (major, next().unwrap_or(0)));
        Self { name: escape(name, 100), number }
    }

    /// Whether this is at least `major.minor`.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.number.is_none_or(|number| number >= (major, minor))
    }
}

/// The programs, their version and the limits: what every operation of this crate is given.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Where the programs are.
    pub programs: Programs,
    /// Version of `ffmpeg`.
    pub version: Version,
    /// Limits on inputs.
    pub limits: Limits,
    /// What to do about damaged sources.
    pub damaged: Damaged,
    /// What is mended is told here. Shared by clones: [`Tools::for_film`] begins a new one.
    pub damage: DamageLog,
    /// The film whose parts the files are; `None` when a file is a film.
    pub film: Option<WholeFilm>,
    /// What was read of files already. Shared by clones.
    pub(crate) remembered: Remembered,
}

/// A film of which some files are parts: how much damage is too much is for the whole to say.
#[derive(Debug, Clone)]
pub struct WholeFilm {
    /// Its pictures; as many as there can be when nobody knows.
    pub pictures: u64,
    /// What was mended in all of its parts. Places are on the clocks of the parts.
    pub damage: DamageLog,
}

impl Tools {
    /// Finds the programs on `PATH`; default limits.
    ///
    /// # Errors
    /// `Tool` when a program is missing or older than 4.4.
    pub fn find() -> Result<Self> {
        Self::new(Programs::find()?, Limits::default())
    }

    /// Checks the version of given programs.
    ///
    /// # Errors
    /// `Tool` when it does not run or is older than 4.4.
    pub fn new(programs: Programs, limits: Limits) -> Result<Self> {
        let version = programs.version()?;
        if !version.at_least(4, 4) {
            let found = format!("ffmpeg {} is too old: allowed are 4.4 and later", version.name);
            return Err(Error::new(Kind::Tool, found));
        }
        Ok(Self {
            programs,
            version,
            limits,
            damaged: Damaged::default(),
            damage: DamageLog::default(),
            film: None,
            remembered: Remembered::default(),
        })
    }

    /// The same tools for one film: what is mended in it is in this one's `damage` alone.
    pub fn for_film(&self, damaged: Damaged) -> Self {
        Self { damaged, damage: DamageLog::default(), film: None, ..self.clone() }
    }

    /// The same tools with a log of damage of their own.
    #[must_use]
    pub fn with_own_damage(self) -> Self {
        Self { damage: DamageLog::default(), ..self }
    }

    /// The same tools for one part of `film`: what is mended in the part is in this one's `damage`
    /// alone, and counts for the film too.
    pub fn for_part(&self, film: &WholeFilm) -> Self {
        let film = Some(film.clone());
        Self { film, ..self.clone().with_own_damage() }
    }

    /// `ffmpeg` with the options that every use has.
    pub(crate) fn ffmpeg(&self) -> Command {
        self.ffmpeg_writing(self.limits.child_file_bytes)
    }

    /// The same, for a copy of `bytes`: what it writes is not much more.
    pub(crate) fn ffmpeg_copying(&self, bytes: u64) -> Command {
        let most = bytes.saturating_mul(2).saturating_add(1 << 30);
        self.ffmpeg_writing(match self.limits.child_file_bytes {
            0 => most,
            limit => limit.min(most),
        })
    }

    fn ffmpeg_writing(&self, most: u64) -> Command {
        let mut command = self.limited(&self.programs.ffmpeg, most);
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error", "-y"]);
        command
    }

    /// `ffprobe` with the options that every use has.
    pub(crate) fn ffprobe(&self) -> Command {
        let mut command = self.limited(&self.programs.ffprobe, self.limits.child_file_bytes);
        command.args(["-hide_banner", "-loglevel", "level+error"]);
        command
    }

    fn limited(&self, program: &Path, file_bytes: u64) -> Command {
        let mut command = match &self.programs.prlimit {
            Some(prlimit) => {
                let mut command = Command::new(prlimit);
                command.arg("--core=0");
                if self.limits.child_memory_bytes > 0 {
                    let bytes = allowed(Resource::RLIMIT_AS, self.limits.child_memory_bytes);
                    command.arg(format!("--as={bytes}"));
                }
                let seconds = self.limits.child_cpu_time.as_secs();
                if seconds > 0 {
                    // The second one is for whoever does not listen to the first.
                    let [first, last] =
                        [seconds, seconds + 30].map(|s| allowed(Resource::RLIMIT_CPU, s));
                    command.arg(format!("--cpu={first}:{last}"));
                }
                if file_bytes > 0 {
                    let bytes = allowed(Resource::RLIMIT_FSIZE, file_bytes);
                    command.arg(format!("--fsize={bytes}"));
                }
                command.arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        clean_environment(&mut command);
        command
    }

    /// The options before `-i` of a foreign file: no network, no playlists, bounded headers.
    pub(crate) fn guard(&self, command: &mut Command) {
        command.args(["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS]);
        // One more than is allowed: ffmpeg leaves out in silence what exceeds its limit, so that
        // only a stream too many shows that there are any.
        command.arg("-max_streams").arg(self.limits.streams.saturating_add(1).to_string());
        command.arg("-max_pixels").arg(self.limits.frame_pixels.min(i32::MAX as u64).to_string());
    }

    /// How long a child is waited for that copies `bytes` without a word: 8 MiB a second is what a
    /// slow disk reads and writes.
    pub(crate) fn patience(&self, bytes: u64) -> Patience {
        let stall = self.limits.stall_time + Duration::from_secs(bytes / (8 << 20));
        Patience { wall: None, stall, signs: self.limits.frames.saturating_mul(2) }
    }

    /// `-fps_mode passthrough`, which had another name before 5.1.
    pub(crate) fn passthrough(&self) -> [&'static str; 2] {
        [if self.version.at_least(5, 1) { "-fps_mode" } else { "-vsync" }, "passthrough"]
    }
}

/// A path as ffmpeg's `file:` protocol, so that a leading dash or a colon is only a character.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// `wanted`, or what is left of it where somebody has bounded this process itself: nobody raises such a bound.
fn allowed(resource: Resource, wanted: u64) -> u64 {
    getrlimit(resource).map_or(wanted, |(_, most)| wanted.min(most))
}

fn clean_environment(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C");
    for name in ["PATH", "LD_LIBRARY_PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_distributions_and_snapshots_compare() {
        assert_eq!(Version::parse("5.1.9-0+deb12u1").number, Some((5, 1)));
        assert_eq!(Version::parse("n7.0").number, Some((7, 0)));
        assert_eq!(Version::parse("N-109-gabc").number, None);
        assert!(!Version::parse("4.4.2").at_least(5, 1));
        assert!(Version::parse("N-109-gabc").at_least(7, 0));
    }

    #[test]
    fn a_missing_program_is_a_tool_error_that_names_it() {
        let error = Programs::find_with(Some("/nonexistent/ffmpeg".into()), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Tool);
        assert!(error.to_string().contains("/nonexistent/ffmpeg"), "{error}");
    }
    #[test]
    fn a_copy_may_write_as_much_as_there_is_to_copy() {
        let programs = Programs {
            ffmpeg: "/bin/ffmpeg".into(),
            ffprobe: "/bin/ffprobe".into(),
            prlimit: Some("/bin/prlimit".into()),
        };
        let version = Version::parse("5.1");
        let tools = Tools {
            programs,
            version,
            limits: Limits::default(),
            damaged: Damaged::default(),
            damage: DamageLog::default(),
            film: None,
            remembered: Remembered::default(),
        };
        let limits = |command: &Command| {
            let all = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
            let of = |arg: &String| arg.starts_with("--fsize") || arg.starts_with("--cpu");
            all.filter(of).collect::<Vec<_>>().join(" ")
        };
        let cpu = "--cpu=1209600:1209630";
        assert_eq!(limits(&tools.ffmpeg()), format!("{cpu} --fsize=1099511627776"));
        let copy = limits(&tools.ffmpeg_copying(1 << 30));
        assert_eq!(copy, format!("{cpu} --fsize={}", 3u64 << 30));
        assert_eq!(limits(&tools.ffmpeg_copying(u64::MAX)), limits(&tools.ffmpeg()));
    }
}
