//! Where analyses are kept: an object store, under the names that clients of the earlier service know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parallax_job::Uri;
use parallax_ports::{Listing, ObjectMeta, ObjectStore};
use parallax_serving::{Failure, FailureKind};

use crate::stored::MOST_BYTES;

/// What failures are told of.
const FIELD: &str = "store";
/// Objects that are written or looked at at the same time.
const AT_ONCE: usize = 8;
/// Objects of others that are passed over.
const MOST_STRANGE: usize = 1000;
/// Digits of an analysis's name.
const DIGITS: usize = 8;

/// A store of analyses. Clones share it.
#[derive(Debug, Clone)]
pub struct Shelf {
    objects: Arc<dyn ObjectStore>,
    listing: Arc<dyn Listing>,
    root: String,
    public: Option<String>,
}

/// Where the parts of one analysis were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) frames: Vec<String>,
    pub(crate) thumbnail: Option<String>,
    pub(crate) analysis: String,
}

impl Shelf {
    /// The store `objects`, which `listing` lists, below `root`: `s3://bucket`, `gs://bucket/folder`, `file:///folder`.
    /// Answers name objects below `public`, an address that readers reach, or else below `root`.
    ///
    /// # Errors
    /// When `root` is no such address.
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        listing: Arc<dyn Listing>,
        root: &str,
        public: Option<&str>,
    ) -> Result<Self, String> {
        let root = root.trim_end_matches('/').to_owned();
        format!("{root}/x").parse::<Uri>().map_err(|error| error.to_string())?;
        let public = public.map(|public| public.trim_end_matches('/').to_owned());
        Ok(Self { objects, listing, root, public })
    }

    fn uri(&self, key: &str) -> Result<Uri, Failure> {
        let uri = format!("{}/{key}", self.root).parse();
        uri.map_err(|error| Failure::internal(format!("{FIELD}: {error}")))
    }

    /// The address of an object as answers have it.
    fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.public.as_ref().unwrap_or(&self.root))
    }

    /// The address of an analysis as answers have it.
    pub(crate) fn analysis_address(&self, id: &str) -> String {
        self.address(&analysis(id))
    }

    /// Writes an analysis: its frames first, itself last, so that what is there is whole. `identity`, a digest, tells
    /// the film and what was asked of it from others: eight digits may be those of two.
    ///
    /// # Errors
    /// `Conflict` where an analysis of another film has the name; as the store says; frames that were written stay and are written again by the next try.
    pub(crate) async fn keep(
        &self,
        (id, identity): (&str, &str),
        frames: &[PathBuf],
        (thumbnail, json): (Option<&Path>, &[u8]),
    ) -> Result<Places, Failure> {
        self.free((id, identity)).await?;
        let uri = self.uri(&analysis(id))?;
        let keys: Vec<String> = (0..frames.len()).map(|n| frame(id, n)).collect();
        let mut writes = Vec::new();
        for (key, path) in keys.iter().zip(frames) {
            writes.push(self.upload(key, path));
        }
        futures::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        if let Some(path) = thumbnail {
            self.upload(&thumbnail_key(id), path).await?;
        }
        let written = self.objects.write_noted(&uri, json, identity).await;
        written.map_err(|error| Failure::of_store(&error, FIELD))?;
        Ok(Places {
            frames: keys.iter().map(|key| self.address(key)).collect(),
            thumbnail: thumbnail.map(|_| self.address(&thumbnail_key(id))),
            analysis: self.analysis_address(id),
        })
    }

    /// Looks whether an analysis may have the name `id`; `identity` as [`Shelf::keep`] has it.
    ///
    /// # Errors
    /// `Conflict` where an analysis of another film has it; as the store says.
    pub(crate) async fn free(&self, (id, identity): (&str, &str)) -> Result<(), Failure> {
        let noted = self.objects.note(&self.uri(&analysis(id))?).await;
        let noted = noted.map_err(|error| Failure::of_store(&error, FIELD))?;
        if noted.is_some_and(|noted| noted != identity) {
            let message = format!("{FIELD}: the analysis of another film is called {id}, too");
            return Err(Failure::new(FailureKind::Conflict, message));
        }
        Ok(())
    }

    async fn upload(&self, key: &str, path: &Path) -> Result<(), Failure> {
        let uri = self.uri(key)?;
        let done = self.objects.upload(path, &uri).await;
        done.map_err(|error| Failure::of_store(&error, FIELD))
    }

    /// The analysis called `id`, of at most `most` bytes; `None` when there is none.
    ///
    /// # Errors
    /// `TooLarge`, or as the store says.
    pub(crate) async fn read(&self, id: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let uri = self.uri(&analysis(id))?;
        let told = |error: parallax_ports::Error| Failure::of_store(&error, FIELD);
        let Some(meta) = self.objects.head(&uri).await.map_err(told)? else { return Ok(None) };
        if meta.size > most {
            let at = self.analysis_address(id);
            let message = format!(
                "the analysis has {} bytes; answered are at most {most}: it is at {at}",
                meta.size
            );
            return Err(Failure::new(FailureKind::TooLarge, message));
        }
        self.objects.read(&uri, most.min(MOST_BYTES)).await.map(Some).map_err(told)
    }

    /// What is known of the analyses called so without reading them, in their order; those that are gone are left
    /// out.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn look(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<(String, ObjectMeta)>, Failure> {
        let mut looks = Vec::new();
        for name in names {
            let uri = self.uri(&analysis(&name))?;
            looks.push(async move {
                let meta = self.objects.head(&uri).await;
                let meta = meta.map_err(|error| Failure::of_store(&error, FIELD))?;
                Ok(meta.map(|meta| (name, meta)))
            });
        }
        let found: Vec<_> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The names of at most `most` analyses after `after`, in their order.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn list(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, Failure> {
        self.walk(after.map(|id| self.uri(&beyond(id))).transpose()?, "", most).await
    }

    /// The names of the first `most` analyses, in their order: as [`Shelf::list`], sooner and with more questions to
    /// the store where it has more of them.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn first(&self, most: usize) -> Result<Vec<String>, Failure> {
        let mut walks = Vec::new();
        for digit in
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"]
        {
            let start = self.uri(&format!("{PROCESSED}/{digit}"))?;
            walks.push(self.walk(Some(start), digit, most));
        }
        let mut walks = futures::stream::iter(walks).buffered(AT_ONCE);
        let mut names = Vec::new();
        while names.len() < most {
            let Some(more) = walks.try_next().await? else { break };
            names.extend(more);
        }
        names.truncate(most);
        Ok(names)
    }

    /// The names of at most `most` analyses that begin so and come after `after`, in their order.
    async fn walk(
        &self,
        mut after: Option<Uri>,
        beginning: &str,
        most: usize,
    ) -> Result<Vec<String>, Failure> {
        let folder = self.uri(PROCESSED)?;
        let mut names = Vec::new();
        // What nobody here wrote is passed over one by one, and not without end.
        for _ in 0..most + MOST_STRANGE {
            if names.len() == most {
                break;
            }
            let one = self.listing.list(&folder, after.as_ref(), 1).await;
            let one = one.map_err(|error| Failure::of_store(&error, FIELD))?;
            let Some(uri) = one.first() else { break };
            let text = uri.to_string();
            let below = text.split_once(&format!("/{PROCESSED}/")).map(|(_, below)| below);
            let name = below.and_then(|below| below.split('/').next()).unwrap_or_default();
            if !name.starts_with(beginning) {
                break;
            }
            // Frames without an analysis are what a try left that failed.
            if is_id(name) && text.ends_with("/analysis.json") {
                names.push(name.to_owned());
            }
            // Whatever else lies under the name is passed over, and so is what nobody here wrote.
            let beyond = if is_id(name) { Some(self.uri(&beyond(name))?) } else { None };
            after = Some(beyond.filter(|beyond| beyond > uri).unwrap_or_else(|| uri.clone()));
        }
        Ok(names)
    }
}

const PROCESSED: &str = "videos/processed";

fn analysis(id: &str) -> String {
    format!("{PROCESSED}/{id}/analysis.json")
}

fn frame(id: &str, number: usize) -> String {
    format!("{PROCESSED}/{id}/frames/frame_{number:04}.jpg")
}

fn thumbnail_key(id: &str) -> String {
    format!("thumbnails/{id}_thumb.jpg")
}

/// A key after all of an analysis.
fn beyond(id: &str) -> String {
    format!("{PROCESSED}/{id}/~")
}

/// Whether a name is one that an analysis may have: nothing that is a path.
pub(crate) fn is_id(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == DIGITS && name.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_eight_digits_and_nothing_else() {
        assert!(is_id("0123abcd"));
        for bad in [
            "",
            "0123abc",
            "0123abcde",
            "0123ABCD",
            "../../..",
            "0123abc/",
            "0123abc\0",
            "%2e%2e%2",
        ] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn keys_are_those_that_clients_know() {
        assert_eq!(analysis("0123abcd"), "videos/processed/0123abcd/analysis.json");
        assert_eq!(frame("0123abcd", 7), "videos/processed/0123abcd/frames/frame_0007.jpg");
        assert_eq!(thumbnail_key("0123abcd"), "thumbnails/0123abcd_thumb.jpg");
    }

    fn memory() -> (Arc<parallax_conformance::memory::MemoryObjects>, Shelf) {
        let clock = Arc::new(parallax_ports::SystemClock);
        let objects = Arc::new(parallax_conformance::memory::MemoryObjects::new(clock, Vec::new()));
        let shelf = Shelf::new(objects.clone(), objects.clone(), "s3://films", None).unwrap();
        (objects, shelf)
    }

    #[tokio::test]
    async fn a_name_is_free_for_the_film_that_has_it_and_no_other() {
        let (objects, shelf) = memory();
        let id = "0123abcd";
        shelf.free((id, "one")).await.unwrap();
        let uri = shelf.uri(&analysis(id)).unwrap();
        objects.write_noted(&uri, b"{}", "one").await.unwrap();
        shelf.free((id, "one")).await.unwrap();
        let refused = shelf.free((id, "other")).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict);
    }

    #[tokio::test]
    async fn walks_side_by_side_find_what_one_walk_finds() {
        let (objects, shelf) = memory();
        let ids = ["00000000", "0fffffff", "10000000", "9abcdef0", "a0000000", "ffffffff"];
        for id in ids {
            objects.write(&shelf.uri(&analysis(id)).unwrap(), b"{}").await.unwrap();
            objects.write(&shelf.uri(&frame(id, 0)).unwrap(), b"x").await.unwrap();
        }
        for stray in ["0", "00", "0x/analysis.json", "A0000000/analysis.json", "g/x"] {
            let uri = shelf.uri(&format!("{PROCESSED}/{stray}")).unwrap();
            objects.write(&uri, b"x").await.unwrap();
        }
        for most in [0, 1, 3, 6, 7] {
            let found = shelf.first(most).await.unwrap();
            assert_eq!(found, shelf.list(None, most).await.unwrap(), "{most}");
            assert_eq!(found, ids[..most.min(6)], "{most}");
        }
        let names = ["ffffffff", "12345678", "00000000"].map(str::to_owned);
        let looks = shelf.look(names.to_vec()).await.unwrap();
        let of: Vec<_> = looks.iter().map(|(name, meta)| (name.as_str(), meta.size)).collect();
        assert_eq!(of, [("ffffffff", 2), ("00000000", 2)]);
    }
}
