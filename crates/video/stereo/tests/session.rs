//! What a session keeps for an estimator that works in windows and an inpainter that works in chunks.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{
    Clip, DepthEstimator, Error, Inpainter, Placed, Plane, Run, Session, StereoPair, StereoSession,
};

type Known = Vec<(Frame, Plane)>;

/// Gives depth three frames at a time; another shot begins at one time.
#[derive(Debug)]
struct Windows {
    cut: i64,
    held: Vec<Frame>,
    next: Option<Frame>,
    over: bool,
}

impl Windows {
    fn give(&mut self) -> Known {
        let depth = |frame: Frame| (frame, Plane::filled(4, 4, 0.5));
        self.held.drain(..).map(depth).collect()
    }
}

impl DepthEstimator for Windows {
    fn push(&mut self, frame: Frame) -> Result<Known, Error> {
        if frame.pts == self.cut {
            (self.next, self.over) = (Some(frame), true);
            return Ok(self.give());
        }
        self.held.push(frame);
        Ok(if self.held.len() == 3 { self.give() } else { Vec::new() })
    }

    fn more(&mut self) -> Result<Known, Error> {
        self.over = false;
        self.held.extend(self.next.take());
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Known, Error> {
        Ok(self.give())
    }

    fn begins_shot(&self, _pts: i64) -> Option<bool> {
        Some(false)
    }

    fn ends_shot(&self) -> bool {
        self.over
    }

    fn looks_ahead_in_windows(&self) -> bool {
        true
    }
}

/// A frame with its number in the shot and the clip's number of the shot's first, or the end of one.
#[derive(Debug, PartialEq)]
enum Told {
    Frame(i64, usize, i64),
    End,
}

/// Keeps pairs until their shot ends, and what it was told.
#[derive(Debug)]
struct Chunks(Arc<Mutex<Vec<Told>>>, Vec<StereoPair>);

impl Inpainter for Chunks {
    fn draw(&mut self, frame: Frame, _: &Plane, at: &Placed) -> Result<Vec<StereoPair>, Error> {
        self.0.lock().unwrap().push(Told::Frame(frame.pts, at.in_shot, at.shot_begins));
        self.1.push(StereoPair { left: frame.clone(), right: frame });
        Ok(Vec::new())
    }

    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error> {
        self.0.lock().unwrap().push(Told::End);
        Ok(std::mem::take(&mut self.1))
    }
}

/// What an inpainter is told of frames 2 to 8 of a film of two shots, and the times of the pairs.
fn told(cut: i64) -> (Vec<Told>, Vec<i64>) {
    let pixels = PixelFormat::YUV420P;
    let format = Arc::new(VideoFormat { width: 16, height: 12, pixels, colour: Colour::default() });
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let frame = |pts| Frame::zeroed(Arc::clone(&format), pts);
    let estimator = Windows { cut, held: Vec::new(), next: None, over: false };
    let told = Arc::new(Mutex::new(Vec::new()));
    let inpainter = Chunks(Arc::clone(&told), Vec::new());
    let mut session = StereoSession::with(estimator, inpainter, &clip, &Run::default()).unwrap();
    let mut pairs = Vec::new();
    (0..2).for_each(|pts| session.lead_in(frame(pts)).unwrap());
    (2..9).for_each(|pts| pairs.extend(session.push(frame(pts)).unwrap()));
    (9..11).for_each(|pts| pairs.extend(session.lead_out(frame(pts)).unwrap()));
    pairs.extend(session.finish().unwrap());
    let times = pairs.iter().map(|pair| pair.left.pts).collect();
    (std::mem::take(&mut *told.lock().unwrap()), times)
}

#[test]
fn frames_are_counted_from_the_beginning_of_their_shot() {
    use Told::{End, Frame};
    let (found, times) = told(6);
    assert_eq!(times, [2, 3, 4, 5, 6, 7, 8]);
    let first = [2, 3, 4, 5].map(|pts| Frame(pts, pts as usize, -2));
    let second = [6, 7, 8].map(|pts| Frame(pts, pts as usize - 6, 4));
    let wanted: Vec<Told> = first.into_iter().chain([End]).chain(second).chain([End]).collect();
    assert_eq!(found, wanted);
    // A shot that ends before the clip begins, and one that begins after it.
    let (found, times) = told(1);
    assert_eq!(times, [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((&found[0], &found[1]), (&End, &Frame(2, 1, -1)));
    let (found, _) = told(9);
    assert_eq!(found.iter().filter(|told| **told == End).count(), 2);
    assert_eq!(found[6], Frame(8, 8, -2));
}
