//! Text to tokens and back.

use std::path::Path;

use parallax_weights::Error;

/// Bytes of a `tokenizer.json` beyond which it is none; the published one has 7 MB.
const MOST_BYTES: u64 = 64 << 20;

/// The tokenizer of a model, and its control tokens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) end_of_text: u32,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `folder`, whose tokens are fewer than `vocabulary`.
    ///
    /// # Errors
    /// When it is missing, none, or lacks a control token.
    pub(crate) fn open(folder: &Path, vocabulary: usize) -> Result<Self, Error> {
        let path = folder.join("tokenizer.json");
        let malformed = |why: String| Error::Malformed { path: path.clone(), why };
        let io = |source| Error::Io { path: path.clone(), source };
        let bytes = std::fs::metadata(&path).map_err(io)?.len();
        if bytes > MOST_BYTES {
            return Err(malformed(format!("{bytes} bytes: allowed are {MOST_BYTES}")));
        }
        let text = std::fs::read(&path).map_err(io)?;
        let inner = tokenizers::Tokenizer::from_bytes(text);
        let mut inner = inner.map_err(|error| malformed(error.to_string()))?;
        // What a user wrote is text, whatever it looks like.
        inner.set_encode_special_tokens(true);
        let most = inner.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if most >= vocabulary {
            return Err(malformed(format!("a token {most}: vocab_size is {vocabulary}")));
        }
        let control = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| malformed(format!("it has no token {token}")))
        };
        let (begin, end) = (control("<|im_start|>")?, control("<|im_end|>")?);
        let end_of_text = control("<|endoftext|>")?;
        Ok(Self { inner, begin, end, end_of_text })
    }

    /// The tokens of a text, none of which is a control token.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn tokens(&self, text: &str) -> candle_core::Result<Vec<u32>> {
        let encoded = self.inner.encode_fast(text, false).map_err(candle_core::Error::msg)?;
        Ok(encoded.get_ids().to_vec())
    }

    /// The text of tokens, without control tokens; bytes that are no text yet become a replacement character.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn text(&self, tokens: &[u32]) -> candle_core::Result<String> {
        self.inner.decode(tokens, true).map_err(candle_core::Error::msg)
    }

    /// Whether an answer ends with this token.
    pub(crate) fn ends(&self, token: u32) -> bool {
        token == self.end || token == self.end_of_text
    }
}

/// Text that grows token by token, told piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    tokens: Vec<u32>,
    /// Tokens whose text has been told whole, and that text's length among `tail`'s.
    told: usize,
    tail: usize,
}

impl Growing {
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The text that is certain with one token more: none while a character lacks bytes.
    pub(crate) fn push(
        &mut self,
        tokenizer: &Tokenizer,
        token: u32,
    ) -> candle_core::Result<String> {
        self.tokens.push(token);
        let text = tokenizer.text(&self.tokens[self.tail..])?;
        let known = tokenizer.text(&self.tokens[self.tail..self.told])?;
        if text.ends_with('\u{fffd}') || text.len() <= known.len() {
            return Ok(String::new());
        }
        let new = text.get(known.len()..).unwrap_or_default().to_owned();
        // What comes next is decoded behind what was told last, for tokenizers that look back.
        (self.tail, self.told) = (self.told, self.tokens.len());
        Ok(new)
    }
}
