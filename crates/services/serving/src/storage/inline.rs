//! Inputs that come with their request: `data:` URLs (RFC 2397) of pictures and clips in base64.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::{Failure, FailureKind};

const FORM: &str = "data:TYPE;base64,DATA, where TYPE is image/…, video/… or nothing";

/// With or without padding: callers' libraries differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file that came with a request. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Inline(Arc<[u8]>);

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").field("bytes", &self.0.len()).finish()
    }
}

impl Inline {
    /// Reads a `data:` URL of at most `limit` bytes; none are taken when that is 0.
    ///
    /// # Errors
    /// `Forbidden`, `TooLarge` or `Invalid`, without a field and without what was found in it.
    pub(super) fn parse(text: &str, limit: u64) -> Result<Self, Failure> {
        if limit == 0 {
            let message = "inputs within the request are not allowed here";
            return Err(Failure::new(FailureKind::Forbidden, message));
        }
        let invalid =
            |what: &str| Failure::new(FailureKind::Invalid, format!("{what}; allowed is {FORM}"));
        let (head, data) = text.split_once(',').ok_or_else(|| invalid("no comma"))?;
        let mut parameters = head.split(';');
        let media = parameters.next().and_then(|name| name.split_once(':'));
        let media = media.map_or("", |(_, media)| media).to_ascii_lowercase();
        if !(media.is_empty() || ["image/", "video/"].iter().any(|kind| media.starts_with(kind))) {
            return Err(invalid("it is neither a picture nor a film"));
        }
        if !parameters.next_back().is_some_and(|last| last.eq_ignore_ascii_case("base64")) {
            return Err(invalid("it is not marked as base64"));
        }
        // Four letters for three bytes; the text is not read before that is known to fit.
        if data.len() as u64 / 4 * 3 > limit.saturating_add(3) {
            return Err(too_large(limit));
        }
        let bytes = BASE64.decode(data).map_err(|_| invalid("what follows is not base64"))?;
        if bytes.is_empty() {
            return Err(invalid("it is empty"));
        }
        if bytes.len() as u64 > limit {
            return Err(too_large(limit));
        }
        Ok(Self(bytes.into()))
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 in hexadecimal digits.
    pub fn digest(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn too_large(limit: u64) -> Failure {
    let message = format!("inputs within the request may have {limit} bytes at most");
    Failure::new(FailureKind::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(text: &str, limit: u64) -> FailureKind {
        Inline::parse(text, limit).unwrap_err().kind
    }

    #[test]
    fn pictures_and_clips_are_read_and_bounded() {
        for text in [
            "data:image/png;base64,YWJjZA==",
            "data:image/png;base64,YWJjZA",
            "DATA:video/mp4;codecs=avc1;BASE64,YWJjZA==",
            "data:;base64,YWJjZA==",
        ] {
            assert_eq!(Inline::parse(text, 4).unwrap().bytes(), b"abcd", "{text}");
        }
        let text = "data:image/png;base64,YWJjZA==";
        assert_eq!(kind(text, 3), FailureKind::TooLarge);
        assert_eq!(kind(text, 0), FailureKind::Forbidden);
        assert_eq!(kind(&format!("data:;base64,{}", "A".repeat(4000)), 100), FailureKind::TooLarge);
    }

    #[test]
    fn anything_else_is_refused_without_its_words() {
        for text in [
            "data:",
            "data:,canary",
            "data:image/png,canary",
            "data:text/html;base64,YWJjZA==",
            "data:image/png;base64;name=canary,YWJj",
            "data:image/png;base64,",
            "data:image/png;base64,ca nary",
            "data:image/png;base64,canary%3D",
        ] {
            let failure = Inline::parse(text, 100).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{text}");
            assert!(!failure.message.contains("canary"), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_what_is_read(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            let text = format!("data:image/png;base64,{}", BASE64.encode(&bytes));
            let read = Inline::parse(&text, 300).unwrap();
            prop_assert_eq!(read.bytes(), &bytes[..]);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = Inline::parse(&format!("data:{text}"), 100);
        }
    }
}
