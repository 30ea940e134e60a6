//! Sound as an MP4's edit list plays it, where copied packets would not.
//!
//! Copying hands on what a list hides, and cuts by whole packets where one edit follows another. Such a
//! track is decoded without its list, cut here by the sample, and encoded again. One edit alone needs
//! none of this in MP4: the muxer writes it down again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::loss::Loss;
use super::streams::Container;
use crate::error::Result;
use crate::media::{Media, StreamKind};
use crate::movie::{Movie, Track};
use crate::programs::{Tools, file_url};
use crate::seconds::seconds;

/// Pieces of one track. Each is a branch of a filter graph, which are slow by the thousand.
const MOST_PIECES: usize = 500;
/// Times that a track is read from its beginning.
const MOST_RUNS: usize = 16;
/// The longest beginning that a decoder needs and nobody is meant to hear, in seconds: AAC with SBR
/// begins with some 3000 samples.
const PRIMING: f64 = 0.1;
/// Samples of a packet of AAC.
const AAC_SAMPLES: u64 = 1024;

/// The cuts of one track, in samples at its own rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Its index in the source.
    pub(super) stream: u32,
    /// Silence before the first piece.
    lead: u64,
    pieces: Vec<Piece>,
}

/// What counts of the film that a track belongs to.
#[derive(Debug, Clone, Copy)]
struct Film {
    /// Units per second.
    units: u32,
    /// Where its pictures end, in these.
    end: u64,
}

/// What one edit plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Where it begins in the track.
    start: u64,
    /// What is taken from the track.
    length: u64,
    /// What it lasts in the film: the rest is silence.
    lasts: u64,
}

/// Why edits of another rate than 1 are not kept to.
const OTHER_SPEED: &str =
    "some play at another speed or hold a moment; all is taken at its own speed";

/// How a track is taken over.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// Its packets, and the edit in them, if any.
    Copied,
    /// Cut by its list.
    Cut(Cut),
    /// Its packets, although its list plays them in another way; why.
    Uncut(String),
}

/// The cuts of a film's sounds, and the lists that are not kept to.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    pub(super) cuts: Vec<Cut>,
    pub(super) losses: Vec<Loss>,
}

impl Cut {
    /// The cuts of all sounds of `media` that are not copied into `container`.
    ///
    /// # Errors
    /// `Io` when the source cannot be read.
    pub(super) fn all(media: &Media, container: Container) -> Result<Cuts> {
        let movie = if media.is_mp4() { Movie::read(&media.path)? } else { None };
        let Some(movie) = movie.filter(|movie| !movie.fragmented) else {
            return Ok(Cuts::default());
        };
        let lasts = |track: &Track| track.edits.iter().map(|edit| edit.duration).sum();
        let end = movie.track(media.video.index, b"vide").map_or(0, lasts);
        let film = Film { units: movie.timescale, end };
        let mut found = Cuts::default();
        if movie.track(media.video.index, b"vide").is_some_and(|track| !at_normal_speed(track)) {
            let what = "the edits of the pictures".to_owned();
            found.losses.push(Loss { what, reason: OTHER_SPEED.to_owned() });
        }
        for stream in media.streams_of(StreamKind::Audio) {
            let index = stream.index;
            let track = movie.track(index, b"soun");
            let Some((track, sound)) = track.zip(stream.sound) else { continue };
            match Self::of(track, (index, sound.rate), film, container) {
                Taken::Copied => {}
                Taken::Cut(cut) => found.cuts.push(cut.begun(media.start_us, sound.rate)),
                Taken::Uncut(reason) => {
                    found
                        .losses
                        .push(Loss { what: format!("the edits of stream {index}"), reason });
                }
            }
        }
        Ok(found)
    }

    /// How `track` is taken, which is stream `index` with `rate` samples per second.
    fn of(track: &Track, (stream, rate): (u32, u32), film: Film, container: Container) -> Taken {
        let played = || track.edits.iter().filter(|edit| edit.duration > 0);
        let media = || played().filter_map(|edit| edit.media_time.map(|time| (edit, time)));
        let Some((_, first)) = media().next() else { return Taken::Copied };
        if !at_normal_speed(track) {
            return Taken::Uncut(OTHER_SPEED.to_owned());
        }
        let hidden = first as f64 > PRIMING * f64::from(track.timescale);
        // A beginning before the film's has no place in Matroska.
        let cut = media().count() > 1 || container == Container::Matroska && hidden;
        if !cut || film.units == 0 || track.timescale == 0 {
            return Taken::Copied;
        }
        let Some(cut) = Self::along(track, (stream, rate), film) else { return Taken::Copied };
        let (count, runs) = (cut.pieces.len(), cut.input_count());
        if count > MOST_PIECES || runs > MOST_RUNS {
            return Taken::Uncut(format!(
                "it plays {count} pieces in {runs} passes through the track; at most {MOST_PIECES} in \
                 {MOST_RUNS} are cut to the sample, others to whole packets"
            ));
        }
        Taken::Cut(cut)
    }

    /// The pieces that the list of `track` plays; `None` when there is none.
    fn along(track: &Track, (stream, rate): (u32, u32), film: Film) -> Option<Self> {
        let samples = |time: u64, units: u32| {
            let doubled = 2 * u128::from(time) * u128::from(rate) / u128::from(units);
            u64::try_from(doubled.div_ceil(2)).unwrap_or(u64::MAX)
        };
        let (mut lead, mut pieces) = (0, Vec::<Piece>::new());
        // Sums of lengths are rounded, not lengths, so that no error grows.
        let (mut time, mut place, mut begin) = (0_u64, 0, 0);
        for edit in track.edits.iter().filter(|edit| edit.duration > 0) {
            time = time.checked_add(edit.duration)?;
            let end = samples(time, film.units);
            let (start, lasts) = (place, end - place);
            place = end;
            match (edit.media_time, pieces.last_mut()) {
                (Some(at), _) => {
                    begin = start;
                    let start = samples(at.unsigned_abs(), track.timescale);
                    let there = samples(track.duration, track.timescale).saturating_sub(start);
                    let length = if track.duration > 0 { lasts.min(there) } else { lasts };
                    pieces.push(Piece { start, length, lasts });
                }
                (None, Some(before)) => before.lasts += lasts,
                (None, None) => lead = lasts,
            }
        }
        // Silence at the end is kept beside pictures. Some lists end hours after their tracks.
        if let Some(last) = pieces.last_mut() {
            let pictures = samples(film.end, film.units).saturating_sub(begin);
            last.lasts = last.length.max(last.lasts.min(pictures));
        }
        pieces.retain(|piece| piece.lasts > 0);
        let cut = Self { stream, lead, pieces };
        (!cut.pieces.is_empty()).then_some(cut)
    }

    /// The same in a film whose first picture or sound is at `start_us`.
    fn begun(mut self, start_us: i64, rate: u32) -> Self {
        let start = i128::from(start_us) * i128::from(rate) / 1_000_000;
        let lead = (i128::from(self.lead) - start).max(0);
        self.lead = u64::try_from(lead).unwrap_or(self.lead);
        self
    }

    /// Pieces that follow each other in the track too: one pass through it gives them all, and
    /// nothing waits in memory.
    fn runs(&self) -> Vec<&[Piece]> {
        self.pieces.chunk_by(|one, next| one.start + one.length <= next.start).collect()
    }

    /// Appends the inputs that [`Self::graph`] takes.
    pub(super) fn inputs(&self, tools: &Tools, source: &Path, limit: &[&str], to: &mut Command) {
        for _ in self.runs() {
            tools.guard(to);
            to.args(limit).args(["-ignore_editlist", "1", "-i"]).arg(file_url(source));
        }
    }

    /// How many these are.
    pub(super) fn input_count(&self) -> usize {
        self.runs().len()
    }

    /// The filters that make the sound of inputs `first` and on, called `label`, for `encoder`: that of
    /// the film from `part.0` microseconds on, `part.1` long or to its end.
    pub(super) fn graph(
        &self,
        first: usize,
        label: &str,
        encoder: &str,
        part: (i64, Option<i64>),
    ) -> String {
        let total = self.lead + self.pieces.iter().map(|piece| piece.lasts).sum::<u64>();
        // Some players, ffmpeg among them, play the last packet whole. So it is filled from the
        // other end: what the film's beginning hides, everyone hides.
        let fill = if encoder == "aac" { total.wrapping_neg() % AAC_SAMPLES } else { 0 };
        let (mut graph, mut names, mut number) = (String::new(), String::new(), 0);
        for (input, run) in self.runs().into_iter().enumerate() {
            let (input, stream, count) = (first + input, self.stream, run.len());
            // Gaps in the track are silent; without this, all that follows them would be early.
            let _ = write!(graph, "[{input}:{stream}]aresample=async=1:first_pts=0,asplit={count}");
            let splits = number..number + count;
            for n in splits.clone() {
                let _ = write!(graph, "[{label}s{n}]");
            }
            for (n, Piece { start, length, lasts }) in splits.zip(run) {
                let end = start + length;
                let _ = write!(
                    graph,
                    ";[{label}s{n}]atrim=start_pts={start}:end_pts={end},asetpts=PTS-STARTPTS,\
                     apad=whole_len={lasts}"
                );
                let before = self.lead + fill;
                if n == 0 && before > 0 {
                    let _ = write!(graph, ",adelay=delays={before}S:all=1");
                }
                let _ = write!(graph, "[{label}p{n}]");
                let _ = write!(names, "[{label}p{n}]");
            }
            graph.push(';');
            number += count;
        }
        let concat = if number > 1 { format!("concat=n={number}:v=0:a=1,") } else { String::new() };
        // Pieces are joined in microseconds, which are not the places of samples.
        let _ = write!(graph, "{names}{concat}asettb=1/sr,asetpts=N-{fill}");
        if part != (0, None) {
            let (from, length) = (seconds(part.0), part.1);
            let end = length.map(|length| format!(":end={}", seconds(part.0 + length)));
            let end = end.unwrap_or_default();
            let _ = write!(graph, ",atrim=start={from}{end},asetpts=PTS-round({from}/TB)");
        }
        let _ = write!(graph, "[{label}]");
        graph
    }
}

/// Whether what the edits of `track` play is played as it was recorded.
fn at_normal_speed(track: &Track) -> bool {
    let mut played =
        track.edits.iter().filter(|edit| edit.duration > 0 && edit.media_time.is_some());
    played.all(|edit| edit.normal_speed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::movie::Edit;

    const MP4: Container = Container::Mp4;

    /// The cuts of a track of two seconds at 48000 samples, whose edits are in milliseconds.
    fn taken(edits: &[(u64, Option<i64>)], container: Container) -> Taken {
        let edit = |&(duration, media_time): &(u64, Option<i64>)| {
            let normal_speed = media_time.is_some();
            Edit { duration, media_time, normal_speed }
        };
        let edits = edits.iter().map(edit).collect();
        let track = Track { timescale: 48_000, duration: 96_000, edits, ..Track::default() };
        Cut::of(&track, (1, 48_000), Film { units: 1000, end: 2000 }, container)
    }

    fn cut(edits: &[(u64, Option<i64>)], container: Container) -> Option<Cut> {
        match taken(edits, container) {
            Taken::Cut(cut) => Some(cut),
            Taken::Copied => None,
            Taken::Uncut(reason) => panic!("{reason}"),
        }
    }

    fn pieces(cut: &Cut) -> Vec<(u64, u64, u64)> {
        cut.pieces.iter().map(|piece| (piece.start, piece.length, piece.lasts)).collect()
    }

    #[test]
    fn one_edit_is_copied_unless_matroska_would_play_what_it_hides() {
        assert_eq!(cut(&[(2000, Some(1024))], MP4), None);
        assert_eq!(cut(&[(400, None), (1000, Some(24_000))], MP4), None);
        assert_eq!(cut(&[(2000, Some(1024))], Container::Matroska), None);
        let hidden = cut(&[(1000, Some(24_000))], Container::Matroska).unwrap();
        assert_eq!(pieces(&hidden), [(24_000, 48_000, 48_000)]);
        assert_eq!(cut(&[], MP4), None);
    }

    #[test]
    fn empty_edits_are_silent_and_so_is_what_a_track_lacks_beside_pictures() {
        let edits = [(100, None), (400, Some(0)), (50, None), (9000, Some(48_000)), (10, None)];
        let cut = cut(&edits, MP4).unwrap();
        assert_eq!(cut.lead, 4800);
        // The track has a second left, and there are pictures for 1.45 seconds.
        assert_eq!(pieces(&cut), [(0, 19_200, 21_600), (48_000, 48_000, 69_600)]);
    }

    #[test]
    fn what_goes_back_in_the_track_is_read_again() {
        let forward = cut(&[(100, Some(0)), (100, Some(4800)), (100, Some(48_000))], MP4).unwrap();
        assert_eq!(forward.input_count(), 1);
        let back = cut(&[(100, Some(48_000)), (100, Some(0)), (100, Some(0))], MP4).unwrap();
        assert_eq!(back.input_count(), 3);
    }

    #[test]
    fn lists_that_are_too_long_or_change_the_speed_are_told() {
        let told = |edits: &[(u64, Option<i64>)]| match taken(edits, MP4) {
            Taken::Uncut(reason) => reason,
            other => panic!("{other:?}"),
        };
        let many: Vec<(u64, Option<i64>)> = (0..501).map(|n| (1, Some(n * 96))).collect();
        assert!(told(&many).contains("501 pieces in 1 passes"), "{}", told(&many));
        assert!(cut(&many[1..], MP4).is_some());
        let back: Vec<(u64, Option<i64>)> = (0..17).map(|n| (10, Some(9600 - n * 480))).collect();
        assert!(told(&back).contains("17 pieces in 17 passes"), "{}", told(&back));
        let slow = Edit { duration: 1000, media_time: Some(0), normal_speed: false };
        let track = Track { timescale: 48_000, edits: vec![slow], ..Track::default() };
        let taken = Cut::of(&track, (1, 48_000), Film { units: 1000, end: 2000 }, MP4);
        assert!(matches!(taken, Taken::Uncut(reason) if reason.contains("speed")));
    }

    #[test]
    fn aac_is_filled_at_its_beginning_which_is_hidden() {
        let cut = cut(&[(400, Some(0)), (800, Some(48_000))], MP4).unwrap();
        let graph = cut.graph(2, "one", "aac", (0, None));
        // 57600 samples are 56.25 packets.
        assert!(graph.contains("adelay=delays=768S"), "{graph}");
        assert!(graph.ends_with("asetpts=N-768[one]"), "{graph}");
        assert!(!cut.graph(2, "one", "alac", (0, None)).contains("adelay"));
    }

    #[test]
    fn thirds_of_a_second_do_not_add_up_to_an_error() {
        let edits: Vec<Edit> = (0..30)
            .map(|n| Edit { duration: 10, media_time: Some(n * 100), normal_speed: true })
            .collect();
        let track = Track { timescale: 300, duration: 9000, edits, ..Track::default() };
        let cut = Cut::along(&track, (1, 44_100), Film { units: 30, end: 0 }).unwrap();
        let total: u64 = cut.pieces.iter().map(|piece| piece.lasts).sum();
        assert_eq!(total, 441_000);
    }
}
