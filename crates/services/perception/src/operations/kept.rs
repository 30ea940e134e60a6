//! `get_analysis`, `list_videos` and `search`: what was analysed before, where it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::ObjectMeta;
use parallax_serving::{Call, Cost, Failure, FailureKind, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::shared::{Perception, aside, invalid};
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
        let read = aside(move || serde_json::from_slice(&bytes)).await?;
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

/// An analysis as it was in the store when it was read.
#[derive(Debug)]
struct Held {
    meta: ObjectMeta,
    /// Numbers in its vectors; 0 where it cannot be read.
    numbers: usize,
    /// What was read; `None` also where there was no room for it, which there may be later.
    stored: Option<Arc<Stored>>,
}

impl Held {
    /// What is held of an analysis of these bytes, where `room` numbers may be.
    fn read(meta: ObjectMeta, bytes: &[u8], room: usize) -> Self {
        let stored = Stored::read(bytes).ok().flatten();
        let numbers = stored.as_ref().map_or(0, |s| s.vectors.len() * s.vectors[0].len());
        Self { meta, numbers, stored: stored.filter(|_| numbers <= room).map(Arc::new) }
    }

    /// Whether reading it again gives nothing else, where `room` numbers may be.
    fn is_final(&self, room: usize) -> bool {
        self.stored.is_some() || self.numbers == 0 || self.numbers > room
    }
}

/// `search`. The analyses themselves are the index: what was read of them is held, and read again when the store has
/// others, so that a process begins with nothing and loses nothing.
#[derive(Debug)]
pub(super) struct Search {
    perception: Perception,
    shelf: Shelf,
    /// One request at a time reads what is not held: what it reads is large.
    held: Mutex<BTreeMap<String, Held>>,
}

impl Search {
    pub(super) fn new(perception: Perception, shelf: Shelf) -> Self {
        Self { perception, shelf, held: Mutex::default() }
    }

    /// The analyses as they are now, within bounds, and how many there are beyond them or that cannot be read.
    async fn stored(&self) -> Result<(Vec<Arc<Stored>>, usize), Failure> {
        let mut names = self.shelf.first(MOST_SEARCHED + 1).await?;
        let mut left_out = names.len().saturating_sub(MOST_SEARCHED);
        names.truncate(MOST_SEARCHED);
        let now: BTreeMap<_, _> = self.shelf.look(names).await?.into_iter().collect();
        let known = now.len();
        let mut held = self.held.lock().await;
        held.retain(|name, held| now.get(name) == Some(&held.meta));
        let kept = held.values().filter(|held| held.stored.is_some());
        let mut room = MOST_NUMBERS.saturating_sub(kept.map(|held| held.numbers).sum());
        for (name, meta) in now {
            // Without any room nothing is brought that would only be dropped.
            if room == 0 || held.get(&name).is_some_and(|held| held.is_final(room)) {
                continue;
            }
            let bytes = self.shelf.read(&name, MOST_BYTES).await?.unwrap_or_default();
            let read = aside(move || Held::read(meta, &bytes, room)).await?;
            room -= read.stored.as_ref().map_or(0, |_| read.numbers);
            held.insert(name, read);
        }
        let all: Vec<_> = held.values().filter_map(|held| held.stored.clone()).collect();
        left_out += known - all.len();
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
        let left_out = stored.len() - of_maker + beyond;
        let (class, by) = (seen.class, maker.clone());
        let results =
            aside(move || search((&class, &by), stored.iter().map(|s| &**s), limit)).await?;
        Ok(SearchResponse {
            results,
            searched: of_maker,
            left_out,
            model: maker.model,
            revision: maker.revision,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_no_room_for_is_read_again_once_there_is() {
        let record = serde_json::json!({
            "format": crate::record::FORMAT, "film": "f", "video_id": "0123abcd", "shots": [],
            "models": {"level1_global": {"model": "m", "revision": "r"}},
            "frame_details": [{"source_frame": 0, "timestamp": 0.0}],
            "frame_embeddings": [[0.6, 0.8]],
            "clusters": {"method": "x", "of_frames": [0], "count": 1},
        });
        let meta = ObjectMeta { size: 1, modified: parallax_job::Timestamp(0) };
        let bytes = record.to_string().into_bytes();
        let read = |bytes: &[u8], room| Held::read(meta, bytes, room);
        let dropped = read(&bytes, 1);
        assert!(dropped.stored.is_none());
        assert!(dropped.is_final(1) && !dropped.is_final(2));
        assert!(read(&bytes, 2).stored.is_some_and(|stored| stored.video_id == "0123abcd"));
        assert!(read(b"{}", 2).is_final(2));
    }
}
