//! A film's frames in words, one after the other, and the whole of it.

use std::collections::BTreeMap;

use parallax_qwen3_vl::Choice;
use parallax_serving::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::captioner::{Captioner, Subject};
use crate::picture::Channels;

/// Captions of frames from which the whole is told.
const SUMMED: usize = 4;
/// Tokens of what is told of the whole.
const SUMMARY: usize = 150;

/// How captions are made.
pub(crate) const METHOD: &str = "greedy, each next token being the likeliest; frame by frame, longer sides at most 512 pixels; the summary \
                                 from the captions of four frames";

/// How much is said.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Detail {
    /// One short sentence.
    Brief,
    /// A few sentences.
    #[default]
    Normal,
    /// All that there is.
    Detailed,
}

impl Detail {
    /// What the model is asked of a `thing`.
    pub(crate) fn words(self, thing: &str) -> String {
        match self {
            Self::Brief => format!("Describe this {thing} in one short sentence."),
            Self::Normal => format!("Describe this {thing} in two or three sentences."),
            Self::Detailed => format!(
                "Describe this {thing} in detail: the setting, the people and objects, where they are, and what they do."
            ),
        }
    }

    /// Tokens of a frame's caption.
    fn tokens(self) -> usize {
        match self {
            Self::Brief => 30,
            Self::Normal => 80,
            Self::Detailed => 400,
        }
    }
}

/// What is wanted in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Wanted {
    /// Every so many-th of the frames that are looked at.
    pub(crate) interval: usize,
    pub(crate) details: Vec<Detail>,
}

/// What frames show. What no model here can tell is null.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Captions {
    /// A line for each frame that was described.
    events: Vec<Event>,
    /// Null: nothing here finds objects.
    tracked_objects: Option<Value>,
    /// The whole in a few sentences, where four frames and more were described.
    summary: Option<String>,
}

/// What happens at a time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Event {
    timestamp: f64,
    frame_idx: usize,
    /// The shortest caption of the frame.
    action: String,
    /// Null: nothing here finds objects.
    active_tracks: Option<Value>,
}

/// What each frame shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DenseCaptions {
    /// Frames that were described.
    total_frames: usize,
    /// As `captions.summary`.
    summary: Option<String>,
    frame_captions: Vec<FrameCaptions>,
    /// Null: nothing here finds objects.
    all_objects: Option<Value>,
    /// Null, as `all_objects`.
    key_events: Option<Value>,
}

/// What one frame shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct FrameCaptions {
    frame_idx: usize,
    timestamp: f64,
    /// By how much is said.
    captions: BTreeMap<Detail, String>,
    /// Null: nothing here finds objects.
    objects: Option<Value>,
}

/// How much was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CaptionStats {
    frames_captioned: usize,
    total_captions: usize,
    /// Those that came to the most tokens before their end.
    cut_short: usize,
    /// Tokens of all captions and the summary.
    tokens: usize,
}

/// Everything in words.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) captions: Captions,
    pub(crate) dense: DenseCaptions,
    pub(crate) stats: CaptionStats,
}

/// Describes frames as they come.
pub(crate) struct Teller<'a> {
    model: &'a Captioner,
    wanted: &'a Wanted,
    cancel: &'a CancellationToken,
    frames: Vec<FrameCaptions>,
    stats: CaptionStats,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(
        model: &'a Captioner,
        wanted: &'a Wanted,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self { model, wanted, cancel, frames: Vec::new(), stats: CaptionStats::default() }
    }

    fn say(&mut self, subject: &Subject, words: &str, most: usize) -> Result<String, Failure> {
        let manner = (most, Choice::Greedy);
        let said = self.model.describe(subject, words, manner, &mut |_| Ok(()), self.cancel)?;
        self.stats.tokens += said.tokens;
        self.stats.cut_short += usize::from(!said.ended);
        Ok(said.text.trim().to_owned())
    }

    /// Describes the frame, if it is one of those that are wanted.
    ///
    /// # Errors
    /// As [`Captioner::describe`].
    pub(crate) fn frame(
        &mut self,
        frame_idx: usize,
        timestamp: f64,
        channels: &Channels,
    ) -> Result<(), Failure> {
        if !frame_idx.is_multiple_of(self.wanted.interval) {
            return Ok(());
        }
        let subject = Subject::Pictures(vec![self.model.picture(channels)?]);
        let mut captions = BTreeMap::new();
        for &detail in &self.wanted.details {
            let text = self.say(&subject, &detail.words("image"), detail.tokens())?;
            captions.insert(detail, text);
        }
        self.stats.total_captions += captions.len();
        self.stats.frames_captioned += 1;
        self.frames.push(FrameCaptions { frame_idx, timestamp, captions, objects: None });
        Ok(())
    }

    /// Tells the whole.
    ///
    /// # Errors
    /// As [`Captioner::describe`].
    pub(crate) fn end(mut self) -> Result<Told, Failure> {
        let summary = match self.frames.len() >= SUMMED {
            true => Some(self.summary()?),
            false => None,
        };
        let event = |frame: &FrameCaptions| Event {
            timestamp: frame.timestamp,
            frame_idx: frame.frame_idx,
            action: shortest(frame).to_owned(),
            active_tracks: None,
        };
        let events = self.frames.iter().map(event).collect();
        Ok(Told {
            captions: Captions { events, tracked_objects: None, summary: summary.clone() },
            dense: DenseCaptions {
                total_frames: self.frames.len(),
                summary,
                frame_captions: self.frames,
                all_objects: None,
                key_events: None,
            },
            stats: self.stats,
        })
    }

    fn summary(&mut self) -> Result<String, Failure> {
        let mut words = "These are descriptions of frames of one video, in order.\n".to_owned();
        for i in 0..SUMMED {
            let frame = &self.frames[i * (self.frames.len() - 1) / (SUMMED - 1)];
            let line = format!("At {:.1} seconds: {}\n", frame.timestamp, shortest(frame));
            words.push_str(&line);
        }
        words.push_str("Say in two or three sentences what happens in the video.");
        self.say(&Subject::Nothing, &words, SUMMARY)
    }
}

/// The caption with the least detail: there is always one.
fn shortest(frame: &FrameCaptions) -> &str {
    frame.captions.values().next().map_or("", String::as_str)
}
