//! A conversation as tokens, laid out as the published template does for text, pictures and films.

use candle_core::{Result, bail};

use crate::config::Config;
use crate::network::Prompt;
use crate::picture::Patches;
use crate::tokenizer::Tokenizer;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Says what is wanted of all answers.
    System,
    /// Asks.
    User,
    /// Answered before.
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of what is said.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// Text, in which nothing is a control token.
    Text(&'a str),
    /// A picture.
    Picture(&'a Patches),
    /// A film, and the time of each of its frame pairs in seconds.
    Film(&'a Patches, &'a [f64]),
}

/// What one says.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part<'a>>,
}

/// Tokens so far, and text that follows them: it becomes tokens as a whole.
struct Writer<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    text: String,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn control(&mut self, tokens: impl IntoIterator<Item = u32>) -> Result<()> {
        if !self.text.is_empty() {
            self.ids.extend(self.tokenizer.tokens(&self.text)?);
            self.text.clear();
        }
        self.ids.extend(tokens);
        Ok(())
    }
}

/// The conversation, up to where the assistant is to answer. Each frame pair of a film is told with its time, as the
/// model was released with and vLLM has it.
///
/// # Errors
/// When a film has another number of times than of frame pairs.
pub(crate) fn prompt(
    tokenizer: &Tokenizer,
    config: &Config,
    messages: &[Message<'_>],
) -> Result<Prompt> {
    let mut writer = Writer { tokenizer, ids: Vec::new(), text: String::new() };
    let mut pictures = Vec::new();
    let merge = config.vision_config.spatial_merge_size;
    let (start, end) = (config.vision_start_token_id, config.vision_end_token_id);
    let block = |pad: u32, count: usize| {
        [start].into_iter().chain(std::iter::repeat_n(pad, count)).chain([end])
    };
    for message in messages {
        writer.control([tokenizer.begin])?;
        writer.text(message.role.name());
        writer.text("\n");
        for part in &message.parts {
            match part {
                Part::Text(text) => writer.text(text),
                Part::Picture(picture) => {
                    let count = picture.grid.pairs * picture.tokens_of_a_pair(merge);
                    writer.control(block(config.image_token_id, count))?;
                    pictures.push((*picture).clone());
                }
                Part::Film(film, seconds) => {
                    if seconds.len() != film.grid.pairs {
                        bail!("{} times for {} frame pairs", seconds.len(), film.grid.pairs);
                    }
                    for second in *seconds {
                        writer.text(&format!("<{second:.1} seconds>"));
                        let count = film.tokens_of_a_pair(merge);
                        writer.control(block(config.video_token_id, count))?;
                    }
                    pictures.push((*film).clone());
                }
            }
        }
        writer.control([tokenizer.end])?;
        writer.text("\n");
    }
    writer.control([tokenizer.begin])?;
    writer.text("assistant\n");
    writer.control([])?;
    Ok(Prompt { ids: writer.ids, pictures })
}
