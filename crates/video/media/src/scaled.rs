//! Smaller pictures than those that were drawn: each view by itself, so that no seam mixes them.

use serde::{Deserialize, Serialize};

/// What every view of a picture is scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// Views beside and above each other, at least 1 of each.
    pub views: (u32, u32),
    /// Width and height of one of them.
    pub size: (u32, u32),
}

impl Scaled {
    /// The filter, with a comma behind it.
    pub(crate) fn filter(self) -> String {
        let ((columns, rows), (width, height)) = (self.views, self.size);
        let scale = format!("scale={width}:{height}:flags=lanczos+accurate_rnd");
        let (crop, stack) = match (columns, rows) {
            (2, 1) => (["crop=iw/2:ih:0:0", "crop=iw/2:ih:iw/2:0"], "hstack"),
            (1, 2) => (["crop=iw:ih/2:0:0", "crop=iw:ih/2:0:ih/2"], "vstack"),
            _ => return format!("{scale},"),
        };
        let [first, second] = crop.map(|crop| format!("{crop}:exact=1,{scale}"));
        format!("split[a][b];[a]{first}[one];[b]{second}[two];[one][two]{stack},")
    }
}
