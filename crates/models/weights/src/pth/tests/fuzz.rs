//! Made-up files: whatever is not refused lies within the file.

use std::fs::File;
use std::os::unix::fs::FileExt;

use parallax_fuzz::Cases;

use super::write::{Floats, dict, file, global};
use super::{VALUES, golden};
use crate::pth::{Pickled, places};

/// What pickles and archives are made of.
const WORDS: [&str; 19] = [
    "cos\nsystem\n",
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ccollections\nOrderedDict\n",
    "ctorch\nHalfStorage\n",
    ")R",
    "R",
    "Q",
    "(",
    "t",
    "u",
    "s",
    "h\0",
    "q\0",
    "}",
    "K\u{1}",
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "PK\u{6}\u{6}",
];

/// Reads these bytes as a file, and every tensor of it.
fn read(bytes: &[u8], scratch: &File) -> Option<usize> {
    scratch.set_len(0).unwrap();
    scratch.write_all_at(bytes, 0).unwrap();
    let places = places(scratch, None).ok()?;
    let pickled = Pickled { file: scratch.try_clone().unwrap(), places };
    for (name, entry) in pickled.entries() {
        let size = entry.elements() as usize * entry.dtype.size_in_bytes();
        let held = pickled.look(&name, |view| Ok(view.data().len())).unwrap();
        assert!(held == size && size <= bytes.len(), "{name}: {held} of {size}");
    }
    Some(pickled.places.len())
}

#[test]
fn fuzz_archives() {
    let tensor = Floats::default().pickled();
    let corpus = [
        std::fs::read(golden("small.pth")).unwrap(),
        file(&dict(&[("x", tensor.clone())]), &[&VALUES]).bytes,
        file(&dict(&[("x", tensor)]), &[&VALUES, &VALUES]).wide(|_| ()),
    ];
    let scratch = tempfile::tempfile().unwrap();
    let mut sound = 0;
    Cases::new(6_000, &corpus, &WORDS)
        .run(|input| sound += usize::from(read(input, &scratch).is_some()));
    assert!(sound >= corpus.len(), "{sound}");
}

#[test]
fn fuzz_pickles() {
    let half = Floats { storage: ("torch", "HalfStorage"), stored: 12, ..Floats::default() };
    let empty = [global("collections", "OrderedDict"), b")R".to_vec()].concat();
    let corpus = [
        dict(&[("x", Floats::default().pickled())]),
        dict(&[("x", half.pickled()), ("y", half.pickled())]),
        dict(&[("x", Floats { offset: 3, shape: vec![3], strides: vec![1], ..half }.pickled())]),
        dict(&[("x", empty)]),
        b"\x80\x02}q\0(X\x01\0\0\0xq\x01h\0h\0\x86q\x02h\x01\x85q\x03u.".to_vec(),
    ];
    let scratch = tempfile::tempfile().unwrap();
    let mut sound = 0;
    Cases::new(8_000, &corpus, &WORDS).run(|input| {
        let bytes = file(input, &[&VALUES]).bytes;
        sound += usize::from(read(&bytes, &scratch).is_some());
    });
    assert!(sound > 2, "{sound}");
}
