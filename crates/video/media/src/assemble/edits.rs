//! Sound as an MP4's edit list plays it, where copied packets would not.
//!
//! Copying hands on what a list hides, and cuts by whole packets where one edit follows another. Such a
//! track is decoded without its list, cut here by the sample, and encoded again. One edit alone needs
//! none of this in MP4: the muxer writes it down again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::streams::Container;
use crate::error::Result;
use crate::movie::{Edit, Movie, Track};
use crate::probe::{Media, StreamKind};
use crate::programs::{Tools, file_url};

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

impl Cut {
    /// The cuts of all sounds of `media` that are not copied into `container`.
    ///
    /// # Errors
    /// `Io` when the source cannot be read.
    pub(super) fn all(media: &Media, container: Container) -> Result<Vec<Self>> {
        let movie = if media.is_mp4() { Movie::read(&media.path)? } else { None };
        let Some(movie) = movie.filter(|movie| !movie.fragmented) else { return Ok(Vec::new()) };
        let lasts = |track: &Track| track.edits.iter().map(|edit| edit.duration).sum();
        let end = movie.track(media.video.index, b"vide").map_or(0, lasts);
        let film = Film { units: movie.timescale, end };
        let sounds = media.streams_of(StreamKind::Audio).filter_map(|stream| {
            let track = movie.track(stream.index, b"soun")?;
            let rate = stream.sound?.rate;
            let cut = Self::of(track, (stream.index, rate), film, container)?;
            Some(cut.begun(media.start_us, rate))
        });
        Ok(sounds.collect())
    }

    /// The cuts of `track`, which is stream `index` with `rate` samples per second; `None` when it
    /// is played as it is, or in a way that nothing here knows.
    fn of(
        track: &Track,
        (stream, rate): (u32, u32),
        film: Film,
        container: Container,
    ) -> Option<Self> {
        let played: Vec<&Edit> = track.edits.iter().filter(|edit| edit.duration > 0).collect();
        let media = || played.iter().filter_map(|edit| edit.media_time.map(|time| (edit, time)));
        let first = media().next()?.1;
        let hidden = first as f64 > PRIMING * f64::from(track.timescale);
        // A beginning before the film's has no place in Matroska.
        let cut = media().count() > 1 || container == Container::Matroska && hidden;
        let known = media().all(|(edit, _)| edit.normal_speed);
        if !cut || !known || film.units == 0 || track.timescale == 0 {
            return None;
        }
        let samples = |time: u64, units: u32| {
            let doubled = 2 * u128::from(time) * u128::from(rate) / u128::from(units);
            u64::try_from(doubled.div_ceil(2)).unwrap_or(u64::MAX)
        };
        let (mut lead, mut pieces) = (0, Vec::<Piece>::new());
        // Sums of lengths are rounded, not lengths, so that no error grows.
        let (mut time, mut place, mut begin) = (0_u64, 0, 0);
        for edit in &played {
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
        let count = cut.pieces.len();
        (count > 0 && count <= MOST_PIECES && cut.runs().len() <= MOST_RUNS).then_some(cut)
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

    /// The filters that make the sound of inputs `first` and on, called `label`, for `encoder`.
    pub(super) fn graph(&self, first: usize, label: &str, encoder: &str) -> String {
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
        let _ = write!(graph, "{names}{concat}asettb=1/sr,asetpts=N-{fill}[{label}]");
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MP4: Container = Container::Mp4;

    /// The cuts of a track of two seconds at 48000 samples, whose edits are in milliseconds.
    fn cut(edits: &[(u64, Option<i64>)], container: Container) -> Option<Cut> {
        let edit = |&(duration, media_time): &(u64, Option<i64>)| {
            let normal_speed = media_time.is_some();
            Edit { duration, media_time, normal_speed }
        };
        let edits = edits.iter().map(edit).collect();
        let track = Track { timescale: 48_000, duration: 96_000, edits, ..Track::default() };
        Cut::of(&track, (1, 48_000), Film { units: 1000, end: 2000 }, container)
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
    fn aac_is_filled_at_its_beginning_which_is_hidden() {
        let cut = cut(&[(400, Some(0)), (800, Some(48_000))], MP4).unwrap();
        let graph = cut.graph(2, "one", "aac");
        // 57600 samples are 56.25 packets.
        assert!(graph.contains("adelay=delays=768S"), "{graph}");
        assert!(graph.ends_with("asetpts=N-768[one]"), "{graph}");
        assert!(!cut.graph(2, "one", "alac").contains("adelay"));
    }

    #[test]
    fn thirds_of_a_second_do_not_add_up_to_an_error() {
        let edits: Vec<Edit> = (0..30)
            .map(|n| Edit { duration: 10, media_time: Some(n * 100), normal_speed: true })
            .collect();
        let track = Track { timescale: 300, duration: 9000, edits, ..Track::default() };
        let cut = Cut::of(&track, (1, 44_100), Film { units: 30, end: 0 }, MP4).unwrap();
        let total: u64 = cut.pieces.iter().map(|piece| piece.lasts).sum();
        assert_eq!(total, 441_000);
    }
}
