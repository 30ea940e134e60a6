//! Times in ffmpeg's words.

/// Microseconds as ffmpeg's seconds.
pub(crate) fn seconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_keep_their_sign_and_zeros() {
        assert_eq!(seconds(-1_400_001), "-1.400001");
        assert_eq!(seconds(-5), "-0.000005");
        assert_eq!(seconds(2_000_000), "2.000000");
    }
}
