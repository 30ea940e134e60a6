//! `get_analysis`, `list_videos` and `search`: what was analysed before, where it is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::ObjectMeta;
use parallax_serving::{Call, Cost, Failure, FailureKind, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shared::{Perception, invalid};
use crate::shelf::{Shelf, is_id};
use crate::source::{PictureSource, Source};
use crate::stored::{Hit, MOST_BYTES, Maker, NO_WORDS, Stored, search};

const NO_ID: &str = "No video_id provided";
const LACKING: &str = "No image provided. Use image_base64 or image_url";
/// Bytes of an analysis that is answered whole.
const MOST_ANSWERED: u64 = 64 << 20;
/// Names of one answer.
const MOST_LISTED: usize = 1000;
/// Analyses that are searched, and the numbers in their vectors together.
const MOST_SEARCHED: usize = 1000;
const MOST_NUMBERS: usize = 128 << 20;

/// A name of an analysis.
fn id(field: &str, text: &str) -> Result<String, Failure> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    Err(Failure::field(field, "allowed are 8 hexadecimal digits, as process_video answers them"))
}

/// Which analysis.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct GetRequest {
    /// As `process_video` answered it.
    #[serde(default)]
    video_id: Option<String>,
}

/// `get_analysis`.
#[derive(Debug)]
pub(super) struct GetAnalysis(pub(super) Shelf);

#[async_trait]
impl Operation for GetAnalysis {
    type Request = GetRequest;
    type Plan = String;
    type Part = NoParts;
    type Response = Map<String, Value>;

    fn name(&self) -> &'static str {
        "get_analysis"
    }

    fn summary(&self) -> &'static str {
        "Gives an analysis that was kept."
    }

    fn plan(&self, request: GetRequest) -> Result<String, Failure> {
        let given = request.video_id.filter(|id| !id.is_empty());
        id("video_id", &given.ok_or_else(|| invalid(NO_ID))?)
    }

    fn cost(&self, _: &String) -> Cost {
        Cost::queued(Duration::from_secs(1))
    }

    async fn run(&self, id: String, _: &Call) -> Result<Map<String, Value>, Failure> {
        let Some(bytes) = self.0.read(&id, MOST_ANSWERED).await? else {
            let message = format!("Analysis not found for video: {id}");
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        let read = serde_json::from_slice(&bytes);
        read.map_err(|error| Failure::internal(format!("analysis {id}: {error}")))
    }
}

/// Which part of the list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListRequest {
    /// Names after this one.
    #[serde(default)]
    after: Option<String>,
    /// How many at most, 1 to 1000.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// An analysis.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listed {
    video_id: String,
    /// Where it is kept.
    analysis_url: String,
}

/// The analyses that are kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListResponse {
    videos: Vec<Listed>,
    /// How many are in this answer.
    count: usize,
    /// What to ask for `after`, where there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Why the store could not be listed: then there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `list_videos`.
#[derive(Debug)]
pub(super) struct ListVideos(pub(super) Shelf);

#[async_trait]
impl Operation for ListVideos {
    type Request = ListRequest;
    type Plan = (Option<String>, usize);
    type Part = NoParts;
    type Response = ListResponse;

    fn name(&self) -> &'static str {
        "list_videos"
    }

    fn summary(&self) -> &'static str {
        "Lists the analyses that are kept, in the order of their names."
    }

    fn plan(&self, request: ListRequest) -> Result<Self::Plan, Failure> {
        let given = request.after.filter(|after| !after.is_empty());
        let after = given.map(|after| id("after", &after)).transpose()?;
        Ok((after, request.limit.clamp(1, MOST_LISTED)))
    }

    fn cost(&self, _: &Self::Plan) -> Cost {
        Cost::queued(Duration::from_secs(1))
    }

    async fn run(&self, (after, limit): Self::Plan, call: &Call) -> Result<ListResponse, Failure> {
        let list = call.cancel.run_until_cancelled(self.0.list(after.as_deref(), limit)).await;
        let (names, error) = match list {
            Some(Ok(names)) => (names, None),
            Some(Err(failure)) => (Vec::new(), Some(failure.message)),
            None => return Err(Failure::cancelled()),
        };
        let next = names.last().filter(|_| names.len() == limit).cloned();
        let listed = |video_id: String| Listed {
            analysis_url: self.0.analysis_address(&video_id),
            video_id,
        };
        let videos: Vec<Listed> = names.into_iter().map(listed).collect();
        Ok(ListResponse { count: videos.len(), videos, next, error })
    }
}

/// What is searched for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SearchRequest {
    #[serde(flatten)]
    picture: PictureSource,
    /// Always refused: the network knows pictures, not words.
    #[serde(default)]
    text: Option<String>,
    /// Frames to give at most, 1 to 1000.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn ten() -> usize {
    10
}

/// The frames that were found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SearchResponse {
    /// The likest first.
    results: Vec<Hit>,
    /// Analyses that were searched.
    searched: usize,
    /// Analyses that were not: of other models or weights, whose vectors cannot be compared, that cannot be read, or
    /// beyond what is searched at once.
    left_out: usize,
    /// What made the vectors that were compared.
    model: String,
    /// A digest of its weights.
    revision: String,
}

/// An analysis that was read, and what it was like in the store then.
type Held = (ObjectMeta, Option<Arc<Stored>>);

/// `search`. The analyses themselves are the index: what was read of them is held, and read again when the store has
/// others, so that a process begins with nothing and loses nothing.
#[derive(Debug)]
pub(super) struct Search {
    perception: Perception,
    shelf: Shelf,
    held: Mutex<BTreeMap<String, Held>>,
}

impl Search {
    pub(super) fn new(perception: Perception, shelf: Shelf) -> Self {
        Self { perception, shelf, held: Mutex::default() }
    }

    /// What was read of an analysis that is still like that; `None` inside where it cannot be read.
    #[allow(clippy::option_option, reason = "not read and not to be read are different answers")]
    fn known(&self, name: &str, meta: &ObjectMeta) -> Option<Option<Arc<Stored>>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(name).filter(|(then, _)| then == meta).map(|(_, stored)| stored.clone())
    }

    /// The analyses as they are now, within bounds, and how many there are beyond them or that cannot be read.
    async fn stored(&self) -> Result<(Vec<Arc<Stored>>, usize), Failure> {
        let mut names = self.shelf.list(None, MOST_SEARCHED + 1).await?;
        let mut left_out = names.len().saturating_sub(MOST_SEARCHED);
        names.truncate(MOST_SEARCHED);
        let (mut all, mut now, mut numbers) = (Vec::new(), BTreeMap::new(), 0);
        for name in names {
            let Some(meta) = self.shelf.look(&name).await? else { continue };
            let stored = match self.known(&name, &meta) {
                Some(stored) => stored,
                None if numbers > MOST_NUMBERS => None,
                None => {
                    let bytes = self.shelf.read(&name, MOST_BYTES).await?.unwrap_or_default();
                    Stored::read(&bytes).ok().flatten().map(Arc::new)
                }
            };
            numbers += stored.as_ref().map_or(0, |s| s.vectors.len() * s.vectors[0].len());
            let stored = stored.filter(|_| numbers <= MOST_NUMBERS);
            left_out += usize::from(stored.is_none());
            all.extend(stored.clone());
            now.insert(name, (meta, stored));
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok((all, left_out))
    }
}

#[async_trait]
impl Operation for Search {
    type Request = SearchRequest;
    type Plan = (Source, usize);
    type Part = NoParts;
    type Response = SearchResponse;

    fn name(&self) -> &'static str {
        "search"
    }

    fn summary(&self) -> &'static str {
        "Finds the frames of analysed films that are most like a picture."
    }

    fn plan(&self, request: SearchRequest) -> Result<Self::Plan, Failure> {
        if request.text.is_some_and(|text| !text.is_empty()) {
            return Err(invalid(NO_WORDS));
        }
        let source = self.perception.0.around.picture(request.picture, LACKING)?;
        Ok((source, request.limit.clamp(1, MOST_LISTED)))
    }

    fn cost(&self, _: &Self::Plan) -> Cost {
        Cost::queued(Duration::from_secs(2))
    }

    async fn run(
        &self,
        (source, limit): Self::Plan,
        call: &Call,
    ) -> Result<SearchResponse, Failure> {
        let (seen, _) = self.perception.see(&source, None, call).await?;
        let stored = call.cancel.run_until_cancelled(self.stored()).await;
        let (stored, beyond) = stored.unwrap_or_else(|| Err(Failure::cancelled()))?;
        let made = self.perception.0.model.made("");
        let maker = Maker { model: made.model, revision: made.revision };
        let of_maker = stored.iter().filter(|stored| stored.maker == maker).count();
        let results = search((&seen.class, &maker), stored.iter().map(|s| &**s), limit);
        Ok(SearchResponse {
            results,
            searched: of_maker,
            left_out: stored.len() - of_maker + beyond,
            model: maker.model,
            revision: maker.revision,
        })
    }
}
