//! What a camera noted (Exif 2.32, a TIFF of its own): how the picture is to be turned, and the notes for
//! another picture that is upright.

/// The tag that says how the picture is to be turned.
const ORIENTATION: u16 = 0x0112;

/// What stands before the notes in a JPEG, and by mistake elsewhere.
const PREFIX: &[u8] = b"Exif\0\0";

/// One notes' bytes, in their own order.
struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Tiff<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(PREFIX).unwrap_or(bytes);
        let big = match bytes.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { bytes, big })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let two = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let four = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let value = if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
        usize::try_from(value).ok()
    }

    /// Where the value of the orientation is, and where the address of a smaller picture.
    fn places(&self) -> Option<(Option<usize>, usize)> {
        let first = self.u32(4)?;
        let entries = usize::from(self.u16(first)?);
        let entry = |n: usize| first.checked_add(2 + 12 * n);
        let mut found = None;
        for n in 0..entries {
            let at = entry(n)?;
            if self.u16(at)? == ORIENTATION {
                found = at.checked_add(8);
            }
        }
        Some((found, entry(entries)?))
    }
}

/// How the picture is to be turned, 1 to 8; 1 when nothing is said, or nothing that can be.
pub(super) fn orientation(exif: &[u8]) -> u16 {
    let said = || {
        let tiff = Tiff::of(exif)?;
        tiff.u16(tiff.places()?.0?)
    };
    said().filter(|turn| (1..=8).contains(turn)).unwrap_or(1)
}

/// The same notes for a picture that is upright, without a small picture of the other one; `None` when they
/// cannot be read.
pub(super) fn upright(exif: &[u8]) -> Option<Vec<u8>> {
    let tiff = Tiff::of(exif)?;
    let (turn, smaller) = tiff.places()?;
    let one = if tiff.big { [0, 1] } else { [1, 0] };
    let mut notes = tiff.bytes.to_vec();
    if let Some(at) = turn {
        notes.get_mut(at..at + 2)?.copy_from_slice(&one);
    }
    notes.get_mut(smaller..smaller.checked_add(4)?)?.fill(0);
    Some(notes)
}

/// ffmpeg's filters that turn a picture upright, each with a comma behind it.
pub(super) fn turned(orientation: u16) -> &'static str {
    match orientation {
        2 => "hflip,",
        3 => "hflip,vflip,",
        4 => "vflip,",
        5 => "transpose=cclock_flip,",
        6 => "transpose=clock,",
        7 => "transpose=clock_flip,",
        8 => "transpose=cclock,",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(big: bool, turn: u16) -> Vec<u8> {
        let two = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(four(8));
        bytes.extend(two(1));
        bytes.extend([two(ORIENTATION), two(3)].concat());
        bytes.extend(four(1));
        bytes.extend([two(turn), two(0)].concat());
        bytes.extend(four(26));
        bytes
    }

    #[test]
    fn notes_of_both_orders_are_read_and_set_upright() {
        for big in [true, false] {
            let notes = notes(big, 6);
            let prefixed = [PREFIX, &notes].concat();
            assert_eq!((orientation(&notes), orientation(&prefixed)), (6, 6));
            let after = upright(&notes).unwrap();
            assert_eq!(upright(&prefixed), Some(after.clone()));
            assert_eq!((orientation(&after), after.len()), (1, notes.len()));
            assert_eq!(after[after.len() - 4..], [0; 4], "no small picture of the flat one");
        }
    }

    #[test]
    fn notes_of_any_bytes_are_no_harm() {
        let notes = notes(true, 9);
        assert_eq!(orientation(&notes), 1);
        for length in 0..notes.len() {
            assert_eq!(orientation(&notes[..length]), 1);
            assert_eq!(upright(&notes[..length]), None);
        }
        let mut far = notes;
        far[4..8].fill(0xFF);
        assert_eq!((orientation(&far), upright(&far)), (1, None));
    }
}
