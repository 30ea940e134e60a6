//! Runs of frames that are decoded together, shorter ones where memory runs out.

use std::ops::Range;

use candle_core::{Error, Result, bail};

/// `decode` on runs of `chunk` of so many frames, and the length of the runs that did: half of it, and half of
/// that, from the first frame on whenever memory runs out.
pub(super) fn in_chunks<T>(
    frames: usize,
    chunk: usize,
    mut decode: impl FnMut(Range<usize>) -> Result<Vec<T>>,
) -> Result<(Vec<T>, usize)> {
    if chunk == 0 {
        bail!("runs of no frames");
    }
    let mut chunk = chunk.min(frames.max(1));
    loop {
        let starts = (0..frames).step_by(chunk);
        let runs = starts.map(|start| decode(start..frames.min(start + chunk)));
        match runs.collect::<Result<Vec<_>>>() {
            Ok(parts) => return Ok((parts.into_iter().flatten().collect(), chunk)),
            Err(error) if chunk > 1 && out_of_memory(&error) => chunk /= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Whether a device had no room.
pub(super) fn out_of_memory(error: &Error) -> bool {
    // The driver's own error is wrapped in one of several types, and some of them are only text.
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Error {
        Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into())
    }

    #[test]
    fn runs_cover_every_frame_once_and_the_last_is_what_is_left() {
        for (frames, chunk, lengths) in
            [(5, 2, &[2, 2, 1][..]), (4, 8, &[4]), (6, 3, &[3, 3]), (3, 1, &[1, 1, 1])]
        {
            let mut seen = Vec::new();
            let decode = |run: Range<usize>| {
                seen.push(run.len());
                Ok(run.collect::<Vec<_>>())
            };
            let (decoded, used) = in_chunks(frames, chunk, decode).unwrap();
            assert_eq!(decoded, (0..frames).collect::<Vec<_>>());
            assert_eq!((seen.as_slice(), used), (lengths, chunk.min(frames)));
        }
        assert!(in_chunks(3, 0, |_| Ok(vec![0])).is_err());
    }

    #[test]
    fn where_memory_runs_out_all_is_decoded_anew_in_halves() {
        let mut seen = Vec::new();
        let decode = |run: Range<usize>| {
            seen.push(run.clone());
            // The second run of eight, and every one of four, finds no room.
            if run.len() == 4 || run.start == 8 && run.len() == 8 {
                return Err(full());
            }
            Ok(run.map(|frame| (frame, seen.len())).collect())
        };
        let (decoded, used) = in_chunks(17, 8, decode).unwrap();
        assert_eq!(used, 2);
        assert_eq!(seen[..4], [0..8, 8..16, 0..4, 0..2]);
        let frames: Vec<usize> = decoded.iter().map(|(frame, _)| *frame).collect();
        assert_eq!(frames, (0..17).collect::<Vec<_>>());
        assert!(decoded.iter().all(|(_, run)| *run > 3), "none is of the longer runs");
    }

    #[test]
    fn one_frame_that_has_no_room_and_other_errors_end_it() {
        let mut runs = 0;
        let decode = |_: Range<usize>| -> Result<Vec<u8>> {
            runs += 1;
            Err(full())
        };
        assert!(out_of_memory(&in_chunks(25, 8, decode).unwrap_err()));
        assert_eq!(runs, 4, "8, 4, 2 and 1");
        let other = |_: Range<usize>| -> Result<Vec<u8>> { bail!("cancelled") };
        assert!(!out_of_memory(&in_chunks(25, 8, other).unwrap_err()));
    }
}
