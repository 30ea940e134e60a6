//! The mark on an attempt's request, which tells later whether its backend may have been asked.
//!
//! A request is written and marked before its backend is asked, and whoever writes it asks only
//! within a part of its lease. So once the lease is over, a request that is not there, or that is
//! still an earlier attempt's, proves that the attempt reached nobody. Anything else proves
//! nothing: all attempts at a segment write to one address, those of another cut too, and a
//! previous release left no marks. An earlier attempt's mark is believed only where every earlier
//! attempt is known to have been begun: a write whose answer was lost may come late, over this one's.

use parallax_job::{Segment, Uri};

use crate::ledger::SegmentRow;
use crate::{ObjectStore, Result};

/// The mark of an attempt.
pub fn mark(segment: &Segment, attempt: u32) -> String {
    format!("attempt {attempt} {} {}", segment.total, segment.mode)
}

/// Whether the backend may have been asked for the latest attempt of `row`, whose requests are
/// written to `uri`.
///
/// # Errors
/// The store's.
pub async fn may_be_asked(objects: &dyn ObjectStore, uri: &Uri, row: &SegmentRow) -> Result<bool> {
    match objects.note(uri).await? {
        Some(found) => Ok(row.refusals > 0 || !is_earlier(&found, &row.segment, row.attempt)),
        None => Ok(objects.head(uri).await?.is_some()),
    }
}

/// Whether a mark is one of an earlier attempt at the same segment of the same cut.
fn is_earlier(found: &str, segment: &Segment, attempt: u32) -> bool {
    let number = found.strip_prefix("attempt ").and_then(|rest| rest.split(' ').next());
    let number = number.and_then(|text| text.parse::<u32>().ok());
    number.is_some_and(|number| number < attempt && found == mark(segment, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::Mode;

    #[test]
    fn only_an_earlier_attempt_at_the_same_cut_proves_that_this_one_was_not_begun() {
        let of = |total, mode| Segment::new("job".parse().unwrap(), 1, total, mode).unwrap();
        let segment = of(3, Mode::Sbs);
        assert!(is_earlier(&mark(&segment, 1), &segment, 2));
        assert!(is_earlier(&mark(&segment, 9), &segment, 10), "numbers, not letters");
        assert!(!is_earlier(&mark(&segment, 2), &segment, 2));
        assert!(!is_earlier(&mark(&segment, 3), &segment, 2), "it may have come after");
        assert!(!is_earlier(&mark(&of(4, Mode::Sbs), 1), &segment, 2), "another cut's");
        assert!(!is_earlier(&mark(&of(3, Mode::Anaglyph), 1), &segment, 2));
        assert!(!is_earlier("", &segment, 2) && !is_earlier("attempt", &segment, 2));
    }
}
