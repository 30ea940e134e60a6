//! What a folder of the store holds.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use async_trait::async_trait;
use parallax_job::Uri;
use parallax_ports::{Error, Kind, Listing, Result};

use super::place::{PARTIAL, Place, Root};
use super::{LocalObjects, blocking};
use crate::error::io;

#[async_trait]
impl Listing for LocalObjects {
    async fn list(&self, folder: &Uri, after: Option<&Uri>, limit: usize) -> Result<Vec<Uri>> {
        let (root, place) = (self.root.clone(), self.root.place(folder)?);
        let after = after.map(|uri| self.root.place(uri)).transpose()?;
        blocking(move || {
            let mut found = Vec::new();
            gather(&root, &place, &mut found)?;
            found.sort_by(|a, b| a.key.cmp(&b.key));
            let beyond = |place: &Place| after.as_ref().is_none_or(|after| place.key > after.key);
            let some = found.into_iter().filter(beyond).take(limit);
            some.map(|place| address(&place.path)).collect()
        })
        .await
    }
}

fn address(path: &Path) -> Result<Uri> {
    Uri::file(path).map_err(|error| {
        Error::new(Kind::Internal, format!("{}: has no address", path.display())).with_source(error)
    })
}

/// Every object below a folder. Links are nobody's objects and are not followed.
fn gather(root: &Root, folder: &Place, found: &mut Vec<Place>) -> Result<()> {
    let entries = match fs::read_dir(&folder.path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(io("list", &folder.path, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| io("list", &folder.path, error))?;
        let kind = entry.file_type().map_err(|error| io("look at", &entry.path(), error))?;
        if entry.file_name() == PARTIAL {
            continue;
        }
        let place = root.place(&address(&entry.path())?)?;
        if kind.is_dir() {
            gather(root, &place, found)?;
        } else if kind.is_file() {
            found.push(place);
        }
    }
    Ok(())
}
