//! A model's folder as what it is for: conversations in, text out.

use std::path::Path;

use candle_core::{DType, Device, Result};
use parallax_nn::ignore;
use parallax_weights::Error;

use crate::chat::{Message, prompt};
use crate::manifest::Opened;
use crate::network::{Network, Prompt};
use crate::picture::{
    Patches, Pixels, Preprocessing, Rgb8, VideoPreprocessing, smart_resize, smart_resize_film,
};
use crate::sampling::{Choice, Chooser};
use crate::tokenizer::{Growing, Tokenizer};

/// A network with its tokenizer and the preparation of pictures that it was published with.
#[derive(Debug)]
pub struct Model {
    network: Network,
    tokenizer: Tokenizer,
    pictures: Preprocessing,
    films: VideoPreprocessing,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The most tokens.
    pub most: usize,
    /// How each is chosen.
    pub choice: Choice,
}

/// What was written after a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text, without control tokens.
    pub text: String,
    /// Tokens that were written, that of its end not counted.
    pub tokens: usize,
    /// Whether it came to its end, and not to the most tokens.
    pub ended: bool,
}

/// A row of a batch that is being written.
#[derive(Default)]
struct Row {
    text: String,
    growing: Growing,
    ended: bool,
}

impl Model {
    /// Reads the model in `folder`, called `what` in errors: f32 on the processor, bf16 on a GPU.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn open(folder: &Path, what: &str, device: &Device) -> std::result::Result<Self, Error> {
        let dtype = if device.is_cuda() { DType::BF16 } else { DType::F32 };
        let opened = Opened::at(folder)?;
        opened.check(what)?;
        opened.checkpoint.check_values(|_| dtype)?;
        let tokenizer = Tokenizer::open(folder, opened.config.text_config.vocab_size)?;
        let network = opened.build(what, dtype, device)?;
        Ok(Self { network, tokenizer, pictures: opened.pictures, films: opened.films })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How films are sampled.
    pub fn films(&self) -> &VideoPreprocessing {
        &self.films
    }

    /// A picture's patches, its longer side being at most `longest` pixels before it is fitted into whole tokens.
    ///
    /// # Errors
    /// When the size is refused.
    pub fn picture(&self, picture: &Rgb8, longest: usize) -> Result<Patches> {
        let size = within(picture.size(), longest);
        let size = smart_resize(size, self.pictures.factor(), self.pictures.size)?;
        self.pictures.picture(picture, Some(size))
    }

    /// The size (height, width) that each of `frames` frames of a film takes, its longer side being at most `longest`
    /// pixels before, and no frame becoming more tokens than the published tools allow.
    ///
    /// # Errors
    /// When the size is refused.
    pub fn frame_size(
        &self,
        frames: usize,
        size: (usize, usize),
        longest: usize,
    ) -> Result<(usize, usize)> {
        let (factor, all) = (self.pictures.factor(), self.films.size);
        let cap = self.films.max_video_tokens * factor * factor;
        let each = cap.min(all.longest_edge / frames.max(1)).max(all.shortest_edge * 105 / 100);
        let pixels = Pixels { longest_edge: each * frames.max(1), ..all };
        smart_resize_film(frames, within(size, longest), factor, pixels)
    }

    /// The patches of frames that have the size of [`Model::frame_size`].
    ///
    /// # Errors
    /// When they have not.
    pub fn film(&self, frames: &[Rgb8]) -> Result<Patches> {
        self.pictures.patches(frames)
    }

    /// A conversation, up to where the model is to answer.
    ///
    /// # Errors
    /// When a film has another number of times than of frame pairs.
    pub fn prompt(&self, messages: &[Message<'_>]) -> Result<Prompt> {
        prompt(&self.tokenizer, self.network.config(), messages)
    }

    /// Answers prompts side by side. `told` is given the row and each piece of its text as soon as it is certain;
    /// `go_on` is asked before every token.
    ///
    /// # Errors
    /// When a prompt cannot be read, the network gives values that are no numbers, or `go_on` said no.
    pub fn write(
        &self,
        prompts: &[&Prompt],
        options: Options,
        told: &mut dyn FnMut(usize, &str),
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<Written>> {
        let (mut session, mut logits) =
            self.network.read(prompts, options.most, go_on, &mut ignore)?;
        let mut rows: Vec<Row> = prompts.iter().map(|_| Row::default()).collect();
        let mut chooser = Chooser::new(options.choice);
        for count in 1..=options.most {
            if !go_on() {
                candle_core::bail!("stopped");
            }
            let tokens = chooser.choose(&logits)?;
            for (i, (row, &token)) in rows.iter_mut().zip(&tokens).enumerate() {
                row.ended = row.ended || self.tokenizer.ends(token);
                if !row.ended {
                    let piece = row.growing.push(&self.tokenizer, token)?;
                    row.tell(piece, &mut |piece| told(i, piece));
                }
            }
            if rows.iter().all(|row| row.ended) || count == options.most {
                break;
            }
            logits = self.network.next(&mut session, &tokens)?;
        }
        let finished = rows.into_iter().enumerate().map(|(i, mut row)| {
            // A character whose last bytes never came.
            let text = self.tokenizer.text(row.growing.tokens())?;
            let rest = text.get(row.text.len()..).unwrap_or_default().to_owned();
            row.tell(rest, &mut |piece| told(i, piece));
            Ok(Written { text, tokens: row.growing.tokens().len(), ended: row.ended })
        });
        finished.collect()
    }
}

impl Row {
    fn tell(&mut self, piece: String, told: &mut dyn FnMut(&str)) {
        if !piece.is_empty() {
            told(&piece);
            self.text.push_str(&piece);
        }
    }
}

/// A size whose longer side is at most `longest`, in the same shape.
fn within((height, width): (usize, usize), longest: usize) -> (usize, usize) {
    let long = height.max(width);
    if long <= longest {
        return (height, width);
    }
    let scaled = |side: usize| ((side * longest) as f64 / long as f64).round().max(1.0) as usize;
    (scaled(height), scaled(width))
}
