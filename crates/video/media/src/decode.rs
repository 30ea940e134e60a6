//! Decoding: frames with exact presentation times, or an error; never a silently short clip.
//!
//! A damaged film is repaired, or refused, as [`Tools::damaged`] asks. Repaired, it has all of its
//! frames at their times: the last good one stands in for each that cannot be read. What comes out
//! is the same on every run. Several threads make something else of damage each time, so at the
//! first sign of any the file is decoded again from its beginning, by one thread, and what was
//! handed out already is skipped.

mod expected;
mod feed;
mod log;
mod options;
mod order;
mod part;
mod span;

use std::collections::VecDeque;
use std::sync::Arc;

use parallax_frame::{Frame, TimeBase, VideoFormat};
use tokio_util::sync::CancellationToken;

use crate::damage::{Damage, DamageKind, Damaged, WAY_ON};
use crate::error::{Error, Kind, Result, show_path};
use crate::media::Media;
use crate::programs::Tools;
use crate::window::Excerpted;
pub use expected::Expected;
use feed::{End, Feed, Manner, Next, Picture};
use log::Look;
pub use options::{Crop, DecodeOptions};
use order::{Order, black, order};
pub use part::Span;
use part::{Part, Select};

/// The frames of a file's main video stream, in presentation order, upright (rotation applied).
///
/// Dropping it kills the child.
#[derive(Debug)]
pub struct Decoder {
    tools: Tools,
    order: Order,
    cancel: CancellationToken,
    feed: Option<Feed>,
    /// Only a span is read: decoders complain about what only the pictures before explain, and
    /// whoever reads the whole film tells what is wrong with it.
    span: bool,
    media: Media,
    expected: Expected,
    /// Pictures of this run of ffmpeg that were read, and those that earlier runs handed out.
    read: u64,
    skip: u64,
    /// What the last picture was like.
    look: Option<Look>,
    /// Expected times that are dealt with.
    done: usize,
    /// Pictures at other times than the expected ones are left out.
    among: bool,
    /// Times are not those of the packets: nothing can be told from a time that is missing.
    loose: bool,
    /// Time of the last picture that was due.
    last: Option<i64>,
    /// The last good picture, at the time of the last one that was due; it stands in for the next.
    held: Option<Frame>,
    /// Times before the first good picture.
    leading: Vec<i64>,
    ready: VecDeque<Frame>,
    /// Times to hand frames out at instead of those that they are counted by.
    names: Option<Arc<[i64]>>,
    /// Frames that were made.
    decoded: u64,
    damage: Damage,
}

impl Decoder {
    /// As [`Decoder::open_with`], doing nothing to the pictures.
    ///
    /// # Errors
    /// As [`Decoder::open_with`].
    pub fn open(
        tools: &Tools,
        media: &Media,
        expected: impl Into<Expected>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        Self::open_with(tools, media, expected, DecodeOptions::default(), cancel)
    }

    /// Starts decoding. `expected` are the frames that must come: the file's [`Packets`] where they
    /// are known.
    ///
    /// # Errors
    /// `Tool` when ffmpeg does not start; `Input` when the crop is not inside the picture. What is
    /// wrong with the file shows on iteration.
    pub fn open_with(
        tools: &Tools,
        media: &Media,
        expected: impl Into<Expected>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        Self::start(tools, media, expected.into(), options, Part::default(), cancel)
    }

    /// As [`Decoder::open_with`], for depth: grey of more than 12 bits comes with 16.
    ///
    /// # Errors
    /// As [`Decoder::open_with`].
    pub fn open_depth(
        tools: &Tools,
        media: &Media,
        expected: impl Into<Expected>,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let part = Part { deep: true, ..Part::default() };
        Self::start(tools, media, expected.into(), options, part, cancel)
    }

    /// As [`Decoder::open_with`]; times are the frames' numbers, from 0.
    pub(crate) fn open_numbered(
        tools: &Tools,
        media: &Media,
        expected: Expected,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let part = Part { select: Select::Numbered, ..Part::default() };
        Self::start(tools, media, expected, options, part, cancel)
    }

    /// As [`Decoder::open_with`], of a file in which there are more pictures than the expected ones:
    /// those at other times are left out. Of an excerpt no more is read than it needs.
    pub(crate) fn open_among(
        tools: &Tools,
        media: &Media,
        (times, excerpted): (Vec<i64>, Option<&Excerpted>),
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut part = Part { among: true, ..Part::default() };
        if let (Some(excerpted), Some(first), Some(last)) = (excerpted, times.first(), times.last())
        {
            part.seek_us = excerpted.seek_us;
            part.select = Select::Times(*first..last + 1);
        }
        Self::start(tools, media, Expected::Times(times.into()), options, part, cancel)
    }

    fn start(
        tools: &Tools,
        media: &Media,
        expected: Expected,
        options: DecodeOptions,
        part: Part,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut media = media.clone();
        let span = part.span;
        let strict = tools.damaged == Damaged::Refuse && !span;
        let order = order(&mut media, options, &part, strict)?;
        let feed = Some(Feed::start(tools, &order, Manner::default(), cancel)?);
        Ok(Self {
            tools: tools.clone(),
            order,
            cancel: cancel.clone(),
            feed,
            span,
            media,
            expected,
            read: 0,
            skip: 0,
            look: None,
            done: 0,
            among: part.among,
            loose: false,
            last: None,
            held: None,
            leading: Vec::new(),
            ready: VecDeque::new(),
            names: part.names,
            decoded: 0,
            damage: Damage::default(),
        })
    }

    /// Format of every frame.
    pub fn format(&self) -> &Arc<VideoFormat> {
        &self.media.video.format
    }

    /// Unit of the frames' times: the stream's own.
    pub fn time_base(&self) -> TimeBase {
        self.media.video.time_base
    }

    /// What was mended so far; complete once the last frame has come.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    fn read(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(mut frame) = self.ready.pop_front() {
                self.decoded += 1;
                let name = self.names.as_ref().and_then(|names| names.get(frame.pts as usize));
                frame.pts = name.copied().unwrap_or(frame.pts);
                return Ok(Some(frame));
            }
            let Some(feed) = &mut self.feed else { return Ok(None) };
            let next =
                feed.next().map_err(|e| Error::io("read pictures of", &self.media.path, e))?;
            match next {
                Next::Picture(picture) => self.take(picture)?,
                Next::End { torn } => self.end(torn)?,
            }
        }
    }

    /// Where in the film a picture is: seconds after the first.
    fn seconds(&self, pts: i64) -> f64 {
        let video = &self.media.video;
        let first = match &self.expected {
            Expected::Times(times) => times.first().copied(),
            _ => video.start,
        };
        video.time_base.seconds(pts.saturating_sub(first.unwrap_or(0)))
    }

    fn repairs(&self) -> bool {
        self.tools.damaged == Damaged::Repair
    }

    /// Begins again in another manner; what was handed out is skipped.
    fn again(&mut self, manner: Manner) -> Result<()> {
        self.skip = self.skip.max(self.read);
        (self.read, self.look) = (0, None);
        // The old child goes first: two would take twice the memory.
        self.feed = None;
        self.feed = Some(Feed::start(&self.tools, &self.order, manner, &self.cancel)?);
        Ok(())
    }

    fn take(&mut self, picture: Picture) -> Result<()> {
        let Some(manner) = self.feed.as_ref().map(|feed| feed.manner) else { return Ok(()) };
        let (width, height) = self.order.size;
        let other_size = picture.look.is_some_and(|look| !self.order.is_as_the_first(look));
        let single = manner.single || self.repairs() && picture.doubtful;
        // Bars go by whole chroma samples.
        let fit = manner.fit || other_size && width % 2 == 0 && height % 2 == 0;
        if (Manner { single, fit }) != manner {
            return self.again(Manner { single, fit });
        }
        self.read += 1;
        // Where a stream changes, decoders begin anew, and some lose the picture before.
        let changes = self.look.is_some() && picture.look.is_some() && self.look != picture.look;
        self.look = picture.look.or(self.look);
        if self.read <= self.skip {
            return Ok(());
        }
        let Picture { pts, data, bad, doubtful, .. } = picture;
        if self.among
            && let Expected::Times(times) = &self.expected
            && times.binary_search(&pts).is_err()
        {
            return Ok(());
        }
        if other_size {
            self.damage.note(DamageKind::Size, Some(self.seconds(pts)));
        }
        let frame = Frame::new(Arc::clone(self.format()), pts, data);
        let mut frame = frame.map_err(|e| Error::input(&self.media.path, e))?;
        if !self.repairs() {
            frame.pts = self.ascending(pts);
            self.ready.push_back(frame);
            return Ok(());
        }
        if let Expected::Times(times) = &self.expected
            && !self.loose
        {
            let times = Arc::clone(times);
            match times[self.done..].binary_search(&pts) {
                // Without a word: a decoder that waits for a picture which needs no lost one.
                Ok(missing) if missing > 0 && !doubtful && !changes && !manner.single => {
                    self.read -= 1;
                    return self.again(Manner { single: true, ..manner });
                }
                Ok(missing) => {
                    for &time in &times[self.done..self.done + missing] {
                        self.replace(time)?;
                    }
                    self.done += missing + 1;
                }
                // At a time that no packet has; what is due will be filled.
                Err(_) if doubtful || self.damage.count(DamageKind::Picture) > 0 => return Ok(()),
                // Nothing is amiss so far: it is the times that differ.
                Err(_) => self.loose = true,
            }
        }
        if bad { self.replace(pts) } else { self.give(frame) }
    }

    /// The time of a picture, or the next one to its predecessor's where it does not come after that: of
    /// packets without times, decoders guess some.
    fn ascending(&mut self, pts: i64) -> i64 {
        let least = self.last.map_or(i64::MIN, |last| last.saturating_add(1));
        if pts < least {
            self.damage.note(DamageKind::DoubleTime, Some(self.seconds(pts)));
        }
        let pts = pts.max(least);
        self.last = Some(pts);
        pts
    }

    /// Hands out a good picture.
    fn give(&mut self, mut frame: Frame) -> Result<()> {
        frame.pts = self.ascending(frame.pts);
        for pts in std::mem::take(&mut self.leading) {
            let mut stand_in = frame.clone();
            stand_in.pts = pts;
            self.ready.push_back(stand_in);
        }
        self.ready.extend(self.held.replace(frame));
        Ok(())
    }

    /// Puts the last good picture, or the first one to come, where there is none.
    fn replace(&mut self, pts: i64) -> Result<()> {
        self.damage.note(DamageKind::Picture, Some(self.seconds(pts)));
        self.check()?;
        let pts = self.ascending(pts);
        match &self.held {
            None => self.leading.push(pts),
            Some(held) => {
                let mut stand_in = held.clone();
                stand_in.pts = pts;
                self.ready.extend(self.held.replace(stand_in));
            }
        }
        Ok(())
    }

    /// Refuses a film that is mostly damage.
    fn check(&self) -> Result<()> {
        match (&self.tools.film, self.expected.count()) {
            _ if self.span => Ok(()),
            (Some(film), _) => {
                let bad = |damage: &Damage| damage.count(DamageKind::Picture);
                // Without places: those of other parts are on other clocks.
                let mut all = Damage::default();
                let count = bad(&film.damage.so_far()) + bad(&self.damage);
                all.note_many(DamageKind::Picture, count, None);
                all.check(&self.media.path, film.pictures)
            }
            (None, Some(pictures)) => self.damage.check(&self.media.path, pictures),
            (None, None) => Ok(()),
        }
    }

    /// Waits for the child and sees to it that every frame has come. `torn` says that a picture was
    /// incomplete or had no time.
    fn end(&mut self, torn: bool) -> Result<()> {
        let Some(feed) = self.feed.take() else { return Ok(()) };
        let manner = feed.manner;
        let end = feed.end(torn)?;
        if self.repairs() {
            return self.end_repaired(&end, manner);
        }
        let decoded = self.decoded;
        let short = self.expected.count().is_some_and(|expected| expected != decoded);
        let checked = if short || end.torn || end.concealed && !self.span {
            Err(end.ended.failure(&self.doing(decoded), Kind::Input))
        } else {
            end.ended.check(&self.doing(decoded), Kind::Input)
        };
        let on = |error: Error| match error.kind() {
            Kind::Input if !self.span && !end.ended.was_ended() => {
                error.saying(|what| format!("{what}{WAY_ON}"))
            }
            _ => error,
        };
        checked.map_err(on)?;
        self.tell();
        Ok(())
    }

    fn end_repaired(&mut self, end: &End, manner: Manner) -> Result<()> {
        let made = self.decoded + u64::from(self.held.is_some());
        let doing = self.doing(made);
        let doubtful = end.doubtful || !self.damage.is_empty();
        if !end.nothing_decodable() {
            end.ended.check(&doing, Kind::Input)?;
        }
        let fault = || Err(end.ended.failure(&doing, Kind::Input));
        if end.torn && !doubtful {
            return fault();
        }
        let due = match &self.expected {
            Expected::Times(times) if !self.loose => times[self.done..].to_vec(),
            expected => {
                let count = expected.count().unwrap_or(made);
                let (missing, more) = (count.abs_diff(made), made > count);
                if missing > 0 && (!doubtful || more || self.loose) {
                    return fault();
                }
                // Nobody knows where they belong.
                self.damage.note_many(DamageKind::Picture, missing, None);
                self.check()?;
                Vec::new()
            }
        };
        if !due.is_empty() && !manner.single {
            // Several threads may have lost more than one does.
            return self.again(Manner { single: true, ..manner });
        }
        for time in due {
            self.replace(time)?;
        }
        if self.held.is_none() {
            let leading = std::mem::take(&mut self.leading);
            if leading.is_empty() && self.expected.count() == Some(0) {
                return Ok(());
            }
            let part = self.tools.film.is_some() || self.span;
            if !part || leading.is_empty() {
                end.ended.check(&doing, Kind::Input)?;
                let what = "no picture of it can be read: it is damaged, or not the video it says";
                return Err(Error::input(&self.media.path, what));
            }
            // The rest of the film is worth having.
            let format = Arc::clone(self.format());
            self.ready.extend(leading.into_iter().map(|pts| black(&format, pts)));
        }
        self.ready.extend(self.held.take());
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        if self.span {
            return;
        }
        self.tools.damage.add(&self.damage);
        if let Some(film) = &self.tools.film {
            film.damage.add(&self.damage);
        }
    }

    fn doing(&self, decoded: u64) -> String {
        let of = self.expected.count().map_or(String::new(), |count| format!(" of {count}"));
        let path = show_path(&self.media.path);
        format!("{path}: damaged or truncated, {decoded}{of} frames decoded")
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.read().transpose();
        if matches!(frame, Some(Err(_))) {
            self.feed = None;
            self.ready.clear();
        }
        frame
    }
}
