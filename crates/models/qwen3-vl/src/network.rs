//! The whole network: a prompt is read in pieces, then tokens one by one.

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::Linear;

use crate::attention::{Cache, mask};
use crate::config::Config;
use crate::picture::Patches;
use crate::positions::{Place, TextAngles, places};
use crate::text::{Beside, Decoder};
use crate::vision::{Seen, Tower};

/// Tokens of a prompt that are read at once: scores of no more against all before them are in memory.
const PIECE: usize = 512;

/// A Qwen3-VL.
#[derive(Debug)]
pub struct Network {
    config: Config,
    tower: Tower,
    embedding: Tensor,
    decoder: Decoder,
    head: Linear,
    angles: TextAngles,
    device: Device,
    dtype: DType,
}

/// What is read.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Tokens, those among them that stand for pictures too.
    pub ids: Vec<u32>,
    /// Pictures and films in the order in which they stand.
    pub pictures: Vec<Patches>,
}

/// Prompts that have been read, and what was written after them. It has room for so much and no more.
#[derive(Debug)]
pub struct Session {
    cache: Cache,
    /// Tokens in front of each row that are none.
    padding: Vec<usize>,
    /// The next place of each row.
    next: Vec<u32>,
    length: usize,
    room: usize,
}

impl Session {
    /// Tokens of each row so far, those of padding with them.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Rows of one length.
struct Rows {
    ids: Vec<Vec<u32>>,
    places: Vec<Vec<Place>>,
    padding: Vec<usize>,
    next: Vec<u32>,
}

/// Features of all pictures, row after row, and which tokens they stand for.
struct Features {
    /// (row, column), in order.
    at: Vec<(usize, usize)>,
    tokens: Tensor,
    deep: Vec<Tensor>,
}

/// Those that stand in one piece of the rows.
struct Piece {
    /// Which of the piece's tokens they stand for.
    places: Vec<u32>,
    tokens: Tensor,
    deep: Vec<Tensor>,
}

impl Features {
    /// Those of `count` columns from `first` on, if there are some.
    fn piece(&self, first: usize, count: usize) -> Result<Option<Piece>> {
        let inside = |column: usize| (first..first + count).contains(&column);
        let (mut places, mut which) = (Vec::new(), Vec::new());
        for (i, &(row, column)) in self.at.iter().enumerate().filter(|(_, at)| inside(at.1)) {
            places.push((row * count + column - first) as u32);
            which.push(i as u32);
        }
        if which.is_empty() {
            return Ok(None);
        }
        let which = Tensor::new(which, self.tokens.device())?;
        let of = |features: &Tensor| features.index_select(&which, 0);
        let deep = self.deep.iter().map(of).collect::<Result<_>>()?;
        Ok(Some(Piece { places, tokens: of(&self.tokens)?, deep }))
    }
}

impl Piece {
    /// Rows of tokens with these in their places.
    fn placed(&self, x: &Tensor) -> Result<Tensor> {
        let count = x.dim(0)? as u32;
        let mut order: Vec<u32> = (0..count).collect();
        for (i, &place) in self.places.iter().enumerate() {
            order[place as usize] = count + i as u32;
        }
        Tensor::cat(&[x, &self.tokens], 0)?.index_select(&Tensor::new(order, x.device())?, 0)
    }
}

impl Network {
    /// Reads the tensors by the published names.
    ///
    /// # Errors
    /// Those of `vb`, and a configuration that no network here has.
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let (text, model) = (&config.text_config, vb.pp("model"));
        let (width, vocabulary) = (text.hidden_size, text.vocab_size);
        let language = model.pp("language_model");
        let embedding = language.pp("embed_tokens").get((vocabulary, width), "weight")?;
        let head = match config.tie_word_embeddings {
            true => Linear::of(embedding.clone(), None),
            false => Linear::without_bias(width, vocabulary, vb.pp("lm_head"))?,
        };
        Ok(Self {
            tower: Tower::new(&config.vision_config, model.pp("visual"))?,
            decoder: Decoder::new(text, language)?,
            angles: TextAngles::new(text.theta(), text.head_dim, text.section()),
            device: vb.device().clone(),
            dtype: vb.dtype(),
            config: config.clone(),
            embedding,
            head,
        })
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads prompts side by side, with room for `room` tokens after them, and gives the logits (B, vocabulary) of what
    /// comes next. `go_on` is asked between the pieces and pictures.
    ///
    /// # Errors
    /// When a prompt is empty, has a token that there is not, or its pictures are not those that its tokens stand for;
    /// and when `go_on` said no.
    pub fn read(
        &self,
        prompts: &[&Prompt],
        room: usize,
        go_on: &dyn Fn() -> bool,
        tap: &mut Tap<'_>,
    ) -> Result<(Session, Tensor)> {
        let rows = self.rows(prompts)?;
        let features = self.features(prompts, &rows, go_on, tap)?;
        let length = rows.ids[0].len();
        let mut session = Session {
            cache: Cache::new(self.config.text_config.num_hidden_layers),
            padding: rows.padding,
            next: rows.next,
            length: 0,
            room: length + room,
        };
        let mut last = None;
        while session.length < length {
            if !go_on() {
                bail!("stopped");
            }
            let piece = session.length..length.min(session.length + PIECE);
            let ids: Vec<&[u32]> = rows.ids.iter().map(|row| &row[piece.clone()]).collect();
            let places: Vec<&[Place]> = rows.places.iter().map(|row| &row[piece.clone()]).collect();
            last = Some(self.step(&mut session, &ids, &places, features.as_ref(), tap)?);
        }
        match last {
            Some(hidden) => Ok((session, self.logits(&hidden)?)),
            None => bail!("a prompt without tokens"),
        }
    }

    /// Adds a token to each row and gives the logits (B, vocabulary) of what comes next.
    ///
    /// # Errors
    /// When there is no room, or another number of tokens than rows.
    pub fn next(&self, session: &mut Session, tokens: &[u32]) -> Result<Tensor> {
        if tokens.len() != session.next.len() {
            bail!("{} tokens for {} rows", tokens.len(), session.next.len());
        }
        self.check(tokens)?;
        let places: Vec<[Place; 1]> = session.next.iter().map(|&next| [[next; 3]]).collect();
        let places: Vec<&[Place]> = places.iter().map(|place| &place[..]).collect();
        let ids: Vec<&[u32]> = tokens.chunks(1).collect();
        let hidden = self.step(session, &ids, &places, None, &mut parallax_nn::ignore)?;
        session.next.iter_mut().for_each(|next| *next += 1);
        self.logits(&hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        let most = self.config.text_config.vocab_size;
        match ids.iter().find(|&&id| id as usize >= most) {
            Some(id) => bail!("a token {id}: there are {most}"),
            None => Ok(()),
        }
    }

    fn is_vision(&self, id: u32) -> bool {
        id == self.config.image_token_id || id == self.config.video_token_id
    }

    /// The prompts as rows of one length, padded in front.
    fn rows(&self, prompts: &[&Prompt]) -> Result<Rows> {
        let length = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0);
        let merge = self.config.vision_config.spatial_merge_size;
        let mut rows = Rows { ids: vec![], places: vec![], padding: vec![], next: vec![] };
        for prompt in prompts {
            self.check(&prompt.ids)?;
            let frames: Vec<(usize, usize)> = prompt
                .pictures
                .iter()
                .flat_map(|p| {
                    let frame = (p.grid.rows / merge, p.grid.columns / merge);
                    std::iter::repeat_n(frame, p.grid.pairs)
                })
                .collect();
            let (own, next) = places(&prompt.ids, |id| self.is_vision(id), &frames)?;
            let padding = length - prompt.ids.len();
            if prompt.ids.is_empty() {
                bail!("a prompt without tokens");
            }
            rows.ids.push([vec![0; padding], prompt.ids.clone()].concat());
            rows.places.push([vec![[0; 3]; padding], own].concat());
            rows.padding.push(padding);
            rows.next.push(next);
        }
        if rows.ids.is_empty() {
            bail!("no prompt");
        }
        Ok(rows)
    }

    /// What the pictures of all prompts are to the text.
    fn features(
        &self,
        prompts: &[&Prompt],
        rows: &Rows,
        go_on: &dyn Fn() -> bool,
        tap: &mut Tap<'_>,
    ) -> Result<Option<Features>> {
        let mut at = Vec::new();
        for (row, (ids, &padding)) in rows.ids.iter().zip(&rows.padding).enumerate() {
            let columns = (padding..ids.len()).filter(|&column| self.is_vision(ids[column]));
            at.extend(columns.map(|column| (row, column)));
        }
        let mut seen: Vec<Seen> = Vec::new();
        for picture in prompts.iter().flat_map(|prompt| &prompt.pictures) {
            if !go_on() {
                bail!("stopped");
            }
            seen.push(self.tower.forward(picture, tap)?);
        }
        if seen.is_empty() {
            return Ok(None);
        }
        let joined =
            |of: &dyn Fn(&Seen) -> Tensor| Tensor::cat(&seen.iter().map(of).collect::<Vec<_>>(), 0);
        let deep = (0..self.config.vision_config.deepstack_visual_indexes.len())
            .map(|i| joined(&|seen| seen.deep[i].clone()))
            .collect::<Result<_>>()?;
        Ok(Some(Features { at, tokens: joined(&|seen| seen.tokens.clone())?, deep }))
    }

    /// Goes on by some tokens of each row: the hidden state (B, C) of the last.
    fn step(
        &self,
        session: &mut Session,
        ids: &[&[u32]],
        places: &[&[Place]],
        features: Option<&Features>,
        tap: &mut Tap<'_>,
    ) -> Result<Tensor> {
        let (batch, count, first) = (ids.len(), ids[0].len(), session.length);
        if first + count > session.room {
            bail!("{} tokens: there is room for {}", first + count, session.room);
        }
        let device = &self.device;
        let flat = Tensor::from_vec(ids.concat(), batch * count, device)?;
        let mut x = self.embedding.index_select(&flat, 0)?;
        let piece = match features {
            Some(features) => features.piece(first, count)?,
            None => None,
        };
        if let Some(piece) = &piece {
            x = piece.placed(&x)?;
        }
        let x = x.reshape((batch, count, self.config.text_config.hidden_size))?;
        tap("embed", &x)?;
        let turns = self.angles.turns(places, (device, self.dtype))?;
        let mask = mask(first, count, &session.padding, (device, self.dtype))?;
        let places =
            piece.as_ref().map(|piece| Tensor::new(&piece.places[..], device)).transpose()?;
        let deep = places.as_ref().zip(piece.as_ref().map(|piece| &piece.deep[..]));
        let beside = Beside { turns: &turns, mask: mask.as_ref(), deep };
        let y = self.decoder.forward(&x, &beside, &mut session.cache, tap)?;
        session.length += count;
        y.narrow(1, count - 1, 1)?.squeeze(1)?.contiguous()
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)?.to_dtype(DType::F32)
    }
}
