//! One run of ffmpeg: raw pictures, the time of each, and what is said of it.
//!
//! Pictures go through standard output. A second output of the same process is a `framecrc` line
//! with each picture's time; it goes through a pipe of its own, which the child has as its standard
//! input: descriptors beyond the first three cannot be given to a child without unsafe code. Pictures
//! and times come from the same decoder, so they cannot drift apart.

use std::collections::BTreeSet;
use std::io::{BufReader, PipeReader, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use parallax_frame::TimeBase;
use tokio_util::sync::CancellationToken;

use super::log::{Log, Look, Said, is_concealed};
use super::order::{Order, fit};
use crate::child::{Child, Ended, Pipe, bounded_line};
use crate::error::{Error, Kind, Result};
use crate::programs::{Tools, file_url};
use crate::seconds::seconds;

/// Pipe buffer asked of the kernel: what an unprivileged process may have by default.
const PIPE_BYTES: i32 = 1 << 20;
/// How long a picture that was read waits for the line that names it, which was written before. It
/// may be missing where ffmpeg wrote it into the middle of another one.
const NAMED: Duration = Duration::from_secs(10);

/// How to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Manner {
    /// One thread decodes. What several make of damage depends on which is faster.
    pub(super) single: bool,
    /// Frames of other sizes or shapes are fitted in with bars.
    pub(super) fit: bool,
}

/// One picture as it comes.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) pts: i64,
    pub(super) data: Vec<u8>,
    /// ffmpeg cannot vouch for it.
    pub(super) bad: bool,
    /// Something was wrong with it or before it.
    pub(super) doubtful: bool,
    /// Its own size and shape; `None` when nobody said.
    pub(super) look: Option<Look>,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Picture(Picture),
    /// Nothing. `torn` says that a picture was incomplete or had no time.
    End {
        torn: bool,
    },
}

/// A running ffmpeg.
#[derive(Debug)]
pub(super) struct Feed {
    child: Child,
    stdout: Pipe<ChildStdout>,
    times: Receiver<i64>,
    said: Receiver<Said>,
    bad: BTreeSet<i64>,
    /// Said of a picture that did not come yet.
    early: Option<Said>,
    pub(super) doubtful: bool,
    pub(super) concealed: bool,
    bytes: usize,
    pub(super) manner: Manner,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) ended: Ended,
    /// A picture was incomplete or had no time, or a time no picture.
    pub(super) torn: bool,
    pub(super) doubtful: bool,
    pub(super) concealed: bool,
}

impl Feed {
    pub(super) fn start(
        tools: &Tools,
        order: &Order,
        manner: Manner,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut command = command(tools, order, manner);
        let (from_child, to_us) = std::io::pipe()
            .map_err(|e| Error::new(Kind::Io, format!("create a pipe for ffmpeg: {e}")))?;
        let (send, said) = channel();
        let mut log = Log::new(send, !tools.version.at_least(6, 0));
        let patience = tools.patience(0);
        let stdin = Stdio::from(to_us);
        let mut child =
            Child::spawn_with(&mut command, stdin, cancel, patience, move |line| log.read(line))?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Error::new(Kind::Io, "ffmpeg has no standard output"));
        };
        // Only for speed: a smaller pipe works too.
        let _ = fcntl(&stdout.inner, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let times = read_times(from_child, order.time_base);
        Ok(Self {
            child,
            stdout,
            times,
            said,
            bad: BTreeSet::new(),
            early: None,
            doubtful: false,
            concealed: false,
            bytes: order.bytes,
            manner,
        })
    }

    /// The next picture.
    pub(super) fn next(&mut self) -> std::io::Result<Next> {
        let mut data = Vec::with_capacity(self.bytes);
        let read = self.stdout.by_ref().take(self.bytes as u64).read_to_end(&mut data)?;
        if read < self.bytes {
            return Ok(Next::End { torn: read > 0 });
        }
        let Ok(pts) = self.child.waiting(|| self.times.recv()) else {
            return Ok(Next::End { torn: true });
        };
        let look = self.listen(pts);
        let bad = self.bad.remove(&pts);
        Ok(Next::Picture(Picture { pts, data, bad, doubtful: self.doubtful, look }))
    }

    /// Hears everything that was said of the picture at `pts`; returns what it is like.
    fn listen(&mut self, pts: i64) -> Option<Look> {
        loop {
            let said = match self.early.take() {
                Some(said) => said,
                None => match self.said.recv_timeout(NAMED) {
                    Ok(said) => said,
                    Err(_) => {
                        // Its line is lost, and with it what may have been said.
                        self.doubtful = true;
                        return None;
                    }
                },
            };
            match said {
                Said::Bad(pts) => {
                    self.bad.insert(pts);
                }
                Said::Coming { pts: coming, .. } if coming > pts => {
                    (self.early, self.doubtful) = (Some(said), true);
                    return None;
                }
                Said::Coming { pts: coming, look, doubtful, concealed } => {
                    self.doubtful |= doubtful;
                    self.concealed |= concealed;
                    if coming == pts {
                        return Some(look);
                    }
                }
            }
        }
    }

    /// Waits for the child. `torn` is what [`Feed::next`] said.
    pub(super) fn end(self, torn: bool) -> Result<End> {
        let Self { child, stdout, times, said, mut doubtful, mut concealed, .. } = self;
        drop(stdout);
        let ended = child.wait()?;
        // The pipe is closed, so this waits for its reader only.
        let more = times.recv_timeout(NAMED).is_ok();
        for said in said.try_iter() {
            match said {
                Said::Bad(_) => doubtful = true,
                Said::Coming { doubtful: d, concealed: c, .. } => {
                    doubtful |= d;
                    concealed |= c;
                }
            }
        }
        // Words after the last picture.
        let said = |sign: &str| ended.tail.iter().any(|line| line.contains(sign));
        concealed |= ended.tail.iter().any(|line| is_concealed(line));
        doubtful |= concealed || said("[error]") || said("[fatal]");
        Ok(End { ended, torn: torn || more, doubtful, concealed })
    }
}

impl End {
    /// Whether ffmpeg gave up because nothing of the stream can be decoded, as against memory or a
    /// filter that failed.
    pub(super) fn nothing_decodable(&self) -> bool {
        let sign = "Cannot determine format of input";
        self.ended.gave_up() && self.ended.tail.iter().any(|line| line.contains(sign))
    }
}

fn command(tools: &Tools, order: &Order, manner: Manner) -> Command {
    let mut command = tools.ffmpeg();
    // Every line in full and in order: see `log`.
    command.args(["-loglevel", "repeat+level+info", "-debug_ts"]);
    if order.strict {
        // Refuse to go on after an error: ffmpeg would conceal damage and end well.
        command.arg("-xerror");
    } else {
        command.args(["-max_error_rate", "1"]);
    }
    if manner.single {
        command.args(["-threads", "1"]);
    }
    tools.guard(&mut command);
    if let Some(us) = order.seek_us {
        // Only roughly there: the filter below is exact.
        command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &seconds(us)]);
    }
    // Without -copyts ffmpeg shifts times by a start that it rounded to microseconds.
    command.args(["-copyts", "-i"]).arg(file_url(&order.path));
    let stream = format!("0:{}", order.stream);
    let (width, height) = order.size;
    let scale = if manner.fit { fit(order) } else { format!("scale={width}:{height}") };
    let bars =
        if manner.fit { format!(",pad={width}:{height}:-1:-1:eval=frame") } else { String::new() };
    let Order { select, before, scaling, after, .. } = order;
    let filter = format!("{select}{before}{scale}{scaling}{bars}{after}");
    command.args(["-map", &stream, "-an", "-sn", "-dn", "-vf", &filter]);
    command.args(["-pix_fmt", &order.pixels, "-c:v", "rawvideo", "-f", "rawvideo"]);
    command.args(tools.passthrough()).arg("pipe:1");
    command.args(["-map", &stream, "-vf", &format!("{select}showinfo=checksum=0")]);
    let TimeBase { num, den } = order.time_base;
    command.args(["-c:v", "wrapped_avframe", "-enc_time_base"]);
    command.arg(format!("{num}:{den}")).args(tools.passthrough());
    command.args(["-f", "framecrc", "-flush_packets", "1", "pipe:0"]);
    command
}

/// Reads `framecrc` lines as they come; ends at the first that is not one, or in another unit.
fn read_times(pipe: PipeReader, unit: TimeBase) -> Receiver<i64> {
    let (send, times) = channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        while let Some((line, _)) = bounded_line(&mut pipe) {
            match parse(&line) {
                Some(Note::Unit(num, den)) => {
                    let TimeBase { num: n, den: d } = unit;
                    if u64::from(num) * u64::from(d) != u64::from(n) * u64::from(den) {
                        return;
                    }
                }
                Some(Note::Time(pts)) => {
                    if send.send(pts).is_err() {
                        return;
                    }
                }
                None if line.starts_with('#') => {}
                None => return,
            }
        }
    });
    times
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Note {
    /// Unit of the times that follow.
    Unit(u32, u32),
    /// Presentation time of the next picture.
    Time(i64),
}

fn parse(line: &str) -> Option<Note> {
    if let Some(unit) = line.strip_prefix("#tb 0: ") {
        let (num, den) = unit.split_once('/')?;
        return Some(Note::Unit(num.parse().ok()?, den.parse().ok()?));
    }
    let mut fields = line.strip_prefix("0,")?.split(',').map(str::trim);
    let _dts: i64 = fields.next()?.parse().ok()?;
    let pts = fields.next()?.parse().ok()?;
    let _duration: i64 = fields.next()?.parse().ok()?;
    let _size: u64 = fields.next()?.parse().ok()?;
    fields.next()?.strip_prefix("0x")?;
    Some(Note::Time(pts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_framecrc_lines_are_times() {
        let line = "0,      -1001,       1001,     1001,      472, 0x9613165d";
        assert_eq!(parse(line), Some(Note::Time(1001)));
        assert_eq!(parse("#tb 0: 1/24000"), Some(Note::Unit(1, 24000)));
        assert_eq!(parse("[error] 0, 1, 2, 3, 4, 0x5"), None);
        assert_eq!(parse("0, 1, 2"), None);
    }
}
