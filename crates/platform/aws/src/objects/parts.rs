//! How files are cut into the parts of an upload.

/// What S3 accepts as a part that is not the last.
pub(super) const SMALLEST_PART: u64 = 5 << 20;
const MOST_PARTS: u64 = 10_000;

/// How files are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Files up to this many bytes go up in one piece, larger ones in parts of at least this.
    pub(super) part: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { part: 16 << 20 }
    }
}

impl Plan {
    /// Offsets and lengths of the parts of a file.
    pub(super) fn parts(self, size: u64) -> impl Iterator<Item = (u64, u64)> {
        let part = self.part.max(size.div_ceil(MOST_PARTS));
        (0..size.div_ceil(part)).map(move |n| (n * part, part.min(size - n * part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_and_are_not_too_many() {
        let plan = Plan::default();
        for size in [plan.part + 1, plan.part * 2, plan.part * 7 + 3, 5 << 40] {
            let parts: Vec<_> = plan.parts(size).collect();
            assert!(parts.len() as u64 <= MOST_PARTS, "{size}");
            let mut end = 0;
            for (offset, length) in &parts {
                assert_eq!(*offset, end);
                end += length;
            }
            assert_eq!(end, size);
        }
    }
}
