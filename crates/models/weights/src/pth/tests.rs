//! What is read, and everything that is not.

#![allow(clippy::unwrap_used)]

mod fuzz;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use self::write::{Floats, Zip, dict, file, global, int, text, tuple};
use super::refusal::Refusal;
use super::{Place, places};
use crate::{Checkpoint, Error};

/// Six floats.
const VALUES: [u8; 24] =
    [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64, 0, 0, 160, 64, 0, 0, 192, 64];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What a file of these bytes holds.
fn read(bytes: &[u8]) -> Result<Vec<(String, Place)>, Refusal> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Ok(places(&file, None)?.into_iter().collect())
}

/// Why it is refused, with the message that a user sees.
#[track_caller]
fn refused(what: &str, bytes: &[u8]) -> String {
    let refusal = read(bytes).expect_err(what);
    refusal.of(Path::new("m.pth")).to_string()
}

/// A file of one tensor.
fn with(tensor: &Floats) -> Vec<u8> {
    file(&dict(&[("x", tensor.pickled())]), &[&VALUES]).bytes
}

/// Every tensor of a file.
fn tensors(path: &Path, dtype: DType) -> Vec<(String, Tensor)> {
    let checkpoint = Checkpoint::open_file(path).unwrap();
    let entries = checkpoint.entries().clone();
    let build = |vb: candle_nn::VarBuilder| {
        let get = |(name, entry): (&String, &crate::Entry)| {
            Ok((name.clone(), vb.get(entry.shape.as_slice(), name)?))
        };
        entries.iter().map(get).collect()
    };
    checkpoint.build("a test", dtype, &Device::Cpu, build).unwrap()
}

#[test]
fn what_torch_saved_is_what_it_saved_as_safetensors() {
    let (pickled, plain) = (golden("small.pth"), golden("small.safetensors"));
    let [one, other] = [&pickled, &plain].map(|path| Checkpoint::open_file(path).unwrap());
    assert_eq!(one.entries(), other.entries());
    assert_eq!((one.entries().len(), one.plan(DType::F16)), (12, other.plan(DType::F16)));
    for dtype in [DType::F32, DType::BF16] {
        for (one, other) in tensors(&pickled, dtype).into_iter().zip(tensors(&plain, dtype)) {
            let values = |tensor: &Tensor| {
                let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
                flat.to_vec1::<f64>().unwrap()
            };
            assert_eq!((&one.0, values(&one.1)), (&other.0, values(&other.1)));
        }
    }
    one.check_values(|_| DType::F32).unwrap();
    let narrow = one.check_values(|_| DType::F16).unwrap_err().to_string();
    assert!(narrow.contains("small.pth") && narrow.contains("bf16 (1 too large of 2"), "{narrow}");
}

#[test]
fn only_named_files_are_read_by_what_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.pth", "model.pt", "model.bin", "model.txt"] {
        std::fs::copy(golden("small.pth"), folder.path().join(name)).unwrap();
    }
    let open = |name: &str| Checkpoint::open_file(&folder.path().join(name));
    assert_eq!(open("model.pth").unwrap().paths(), [folder.path().join("model.pth")]);
    assert!(matches!(open("model.pt"), Err(Error::Pickle { .. })));
    assert!(matches!(open("model.bin"), Err(Error::Pickle { .. })));
    assert!(matches!(open("model.txt"), Err(Error::Malformed { .. })));
    assert!(matches!(open("none.pth"), Err(Error::Io { .. })));
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Pickle { .. })));
}

#[test]
fn tensors_are_parts_of_storages() {
    let shapes = |tensor: Floats| {
        let bytes = with(&tensor);
        let (name, place) = read(&bytes).unwrap().remove(0);
        let span = place.span;
        let data = bytes[span.start as usize..(span.start + span.bytes) as usize].to_vec();
        (name, place.dtype, place.shape, data)
    };
    let whole = Floats::default();
    assert_eq!(shapes(whole.clone()), ("x".into(), DType::F32, vec![2, 3], VALUES.to_vec()));
    let row = Floats { offset: 3, shape: vec![1, 3], strides: vec![77, 1], ..whole.clone() };
    assert_eq!(shapes(row).3, VALUES[12..]);
    let scalar = Floats { offset: 5, shape: vec![], strides: vec![], ..whole.clone() };
    assert_eq!((shapes(scalar.clone()).2, shapes(scalar).3), (vec![], VALUES[20..].to_vec()));
    let none = Floats { offset: 6, shape: vec![0, 9], strides: vec![1, 5], ..whole.clone() };
    assert!(shapes(none).3.is_empty());
    let long = ("torch", "LongStorage");
    let three = Floats { stored: 3, shape: vec![3], strides: vec![1], storage: long, ..whole };
    assert_eq!(shapes(three).1, DType::I64);
}

#[test]
fn a_tensor_that_is_no_plain_part_of_its_storage_is_refused() {
    let float = Floats::default();
    let shaped = |shape: &[i64], strides: &[i64]| Floats {
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        ..Floats::default()
    };
    let huge = i64::MAX;
    for (what, tensor) in [
        ("reaches out", Floats { offset: 1, ..float.clone() }),
        ("reaches out", Floats { offset: -1, ..float.clone() }),
        ("reaches out", Floats { offset: huge, ..float.clone() }),
        ("reaches out", shaped(&[2, 4], &[4, 1])),
        ("reaches out", shaped(&[1 << 61], &[1])),
        ("too large", shaped(&[huge, huge, huge], &[huge, huge, 1])),
        ("its shape is none", shaped(&[-2, 3], &[3, 1])),
        ("its shape is none", shaped(&[1; 9], &[1; 9])),
        ("differ in length", shaped(&[2, 3], &[1])),
        ("does not lie in one piece", shaped(&[3, 2], &[1, 3])),
        ("does not lie in one piece", shaped(&[2, 2], &[3, 1])),
        ("does not lie in one piece", shaped(&[6], &[0])),
        ("should have 7 values and has 24 bytes", Floats { stored: 7, ..float.clone() }),
        ("should have", Floats { stored: 3, ..float.clone() }),
        ("should have", Floats { stored: huge, ..float.clone() }),
        ("another way than by torch.save", Floats { stored: -6, ..float.clone() }),
        ("its storage \"1\" is missing", Floats { key: "1", ..float.clone() }),
        ("is missing", Floats { key: "../data.pkl", ..float.clone() }),
        ("another way", Floats { storage: ("collections", "OrderedDict"), ..float.clone() }),
        ("of another kind", Floats { more: b"N".to_vec(), ..float }),
    ] {
        let message = refused(what, &with(&tensor));
        assert!(message.contains(what) && message.contains(": x: "), "{what}: {message}");
    }
}

#[test]
fn what_a_pickle_would_call_is_named_and_not_called() {
    let call = |of: Vec<u8>| [of, text("id"), b"\x85R".to_vec()].concat();
    let mut double = Floats { storage: ("torch", "DoubleStorage"), ..Floats::default() };
    for (name, pickle) in [
        ("os.system", [b"\x80\x02".to_vec(), call(global("os", "system")), b".".to_vec()].concat()),
        ("posix.system", dict(&[("x", call(global("posix", "system")))])),
        ("builtins.eval", dict(&[("x", tuple(&[tuple(&[call(global("builtins", "eval"))])]))])),
        ("torch.load", dict(&[("x", global("torch", "load"))])),
        (
            "torch._utils._rebuild_parameter",
            dict(&[("x", global("torch._utils", "_rebuild_parameter"))]),
        ),
        ("os.system", dict(&[("x", b"(X\x02\0\0\0idios\nsystem\n".to_vec())])),
        ("collections.OrderedDict", dict(&[("x", b"(icollections\nOrderedDict\n".to_vec())])),
        ("torch.DoubleStorage", dict(&[("x", double.pickled())])),
        ("\\u{1b}[31m.x", dict(&[("x", global("\x1b[31m", "x"))])),
    ] {
        let error = read(&file(&pickle, &[&VALUES]).bytes).expect_err(name).of(Path::new("m.pth"));
        let message = error.to_string();
        assert!(message.contains(&format!("wants to call `{name}`")), "{message}");
        assert!(matches!(error, Error::Calls { name: found, .. } if found == name));
    }
    double.storage = ("os", "system\nstill one line");
    assert!(refused("a long name", &with(&double)).contains("`os.system`"));
    let long =
        refused("a long name", &file(&dict(&[("x", global("os", &"x".repeat(9000)))]), &[]).bytes);
    assert!(long.len() < 300, "{long}");
}

#[test]
fn what_may_be_named_cannot_be_called_otherwise_than_torch_does() {
    let ordered = || global("collections", "OrderedDict");
    let rebuild = || global("torch._utils", "_rebuild_tensor_v2");
    let tensor = Floats::default().pickled();
    for (what, value) in [
        ("cannot be called so", [ordered(), tuple(&[int(1)]), b"R".to_vec()].concat()),
        ("cannot be called so", [ordered(), b"}R".to_vec()].concat()),
        ("cannot be called so", [rebuild(), b"NR".to_vec()].concat()),
        ("cannot be called so", [global("torch", "FloatStorage"), b")R".to_vec()].concat()),
        ("cannot be called so", [text("x"), b")R".to_vec()].concat()),
        ("of another kind", [rebuild(), b")R".to_vec()].concat()),
        ("gives attributes", [rebuild(), b"}b".to_vec()].concat()),
        ("gives attributes", [tensor.clone(), b"}b".to_vec()].concat()),
        ("gives attributes", [ordered(), b")RNb".to_vec()].concat()),
        ("fills something", [b")".to_vec(), text("a"), tensor.clone(), b"s".to_vec()].concat()),
        ("a dict instead of a tensor", b"}".to_vec()),
        ("a storage instead of a tensor", b"NQ".to_vec()),
        ("nothing instead of a tensor", b"N".to_vec()),
        ("instruction 0x93", b"X\x02\0\0\0osX\x06\0\0\0system\x93".to_vec()),
        ("instruction 0x81", [ordered(), b")\x81".to_vec()].concat()),
        ("instruction 0x6f", [b"(".to_vec(), ordered(), b"o".to_vec()].concat()),
        ("instruction 0x82", b"\x82\x01".to_vec()),
        ("instruction 0x50", b"Pid\n".to_vec()),
        ("instruction 0x32", b"N2".to_vec()),
        ("more than 64 bits", [b"\x8a\x09".to_vec(), vec![1; 9]].concat()),
        ("no UTF-8", b"X\x01\0\0\0\xff".to_vec()),
    ] {
        let message = refused(what, &file(&dict(&[("x", value)]), &[&VALUES]).bytes);
        assert!(message.contains(what), "{what}: {message}");
    }
    let tied = ["a", "b", "c", "d"].map(|name| (name, tensor.clone()));
    assert_eq!(read(&file(&dict(&tied), &[&VALUES]).bytes).unwrap().len(), 4);
    // What torch says of a module's versions is passed over.
    let state = [ordered(), b")R(".to_vec(), text("x"), tensor, b"u}".to_vec(), text("_metadata")];
    let pickle = [b"\x80\x02".to_vec(), state.concat(), ordered(), b")Rsb.".to_vec()].concat();
    assert_eq!(read(&file(&pickle, &[&VALUES]).bytes).unwrap().len(), 1);
}

#[test]
fn a_state_dict_may_be_all_that_is_under_a_key() {
    let inner = |name: &str| {
        [b"}".to_vec(), text(name), Floats::default().pickled(), b"s".to_vec()].concat()
    };
    let within = |pickle: &[u8], key| {
        let mut opened = tempfile::tempfile().unwrap();
        opened.write_all(&file(pickle, &[&VALUES]).bytes).unwrap();
        let found = places(&opened, Some(key));
        found.map(|places| places.into_keys().collect::<Vec<_>>())
    };
    let one = dict(&[("model", inner("x"))]);
    assert_eq!(within(&one, "model").unwrap(), ["x"]);
    let two = dict(&[("model", inner("x")), ("optimizer", inner("y"))]);
    for (pickle, key) in [(&one, "ema"), (&two, "model"), (&dict(&[]), "model")] {
        let refusal = within(pickle, key).unwrap_err().of(Path::new("m.pt")).to_string();
        assert!(refusal.contains("something else than one dict under"), "{refusal}");
    }
    let tensor = dict(&[("model", Floats::default().pickled())]);
    let refusal = within(&tensor, "model").unwrap_err().of(Path::new("m.pt")).to_string();
    assert!(refusal.contains("a tensor instead of a state dict"), "{refusal}");
}

#[test]
fn a_state_dict_is_flat_and_its_names_are_plain() {
    let tensor = Floats::default().pickled();
    let wrapped = [b"}".to_vec(), text("x"), tensor.clone(), b"s".to_vec()].concat();
    let one = |name: &str| dict(&[(name, tensor.clone())]);
    for (what, pickle) in [
        ("state_dict: a dict instead of a tensor", dict(&[("state_dict", wrapped)])),
        ("two tensors are called x", dict(&[("x", tensor.clone()), ("x", tensor.clone())])),
        ("no plain name", one("")),
        ("no plain name", one("\x1b[2J")),
        ("no plain name", [b"\x80\x02}N".to_vec(), tensor.clone(), b"s.".to_vec()].concat()),
        ("more than 4 times", dict(&["a", "b", "c", "d", "e"].map(|name| (name, tensor.clone())))),
        (
            "a tensor instead of a state dict",
            [b"\x80\x02".to_vec(), tensor.clone(), b".".to_vec()].concat(),
        ),
        ("not of protocol 2", one("x").iter().map(|b| if *b == 2 { 4 } else { *b }).collect()),
        ("goes on behind its end", [one("x"), one("x")].concat()),
        ("goes on behind its end", b"\x80\x02N}.".to_vec()),
        ("is not there", b"\x80\x02.".to_vec()),
        ("is not there", b"\x80\x02}(.".to_vec()),
        ("did not begin", b"\x80\x02}u.".to_vec()),
        ("never kept", b"\x80\x02h\x05.".to_vec()),
        ("cut short", b"\x80\x02X\xff\xff\xff\xffx.".to_vec()),
        ("cut short", b"\x80".to_vec()),
        ("cut short", b"\x80\x02cos\nsystem".to_vec()),
    ] {
        let message = refused(what, &file(&pickle, &[&VALUES]).bytes);
        assert!(message.contains(what), "{what}: {message}");
    }
}

#[test]
fn a_small_pickle_costs_little() {
    let deep = |levels: usize, level: &[u8]| level.repeat(levels);
    // Each level is the one before twice: 2^100000 values to whoever copies them.
    let laughs = [b"()q\0".to_vec(), deep(100_000, b"h\0h\0\x86q\0"), b"t".to_vec()].concat();
    let nested = [b")".to_vec(), deep(100_000, b"\x85")].concat();
    let within_itself = b"}q\0h\0Nh\0s".to_vec();
    let marks = [deep(100_000, b"("), b")".to_vec(), deep(100_000, b"t")].concat();
    let far = [b"}".to_vec(), b"r\xff\xff\xff\xff".to_vec()].concat();
    for value in [laughs, nested, within_itself, marks, far] {
        let message = refused("nested", &file(&dict(&[("x", value)]), &[]).bytes);
        assert!(
            message.contains("instead of a tensor") || message.contains("no dict"),
            "{message}"
        );
    }
    let many = [b"\x80\x02(".to_vec(), deep(1 << 21, b"N"), b"t.".to_vec()].concat();
    assert!(refused("many values", &file(&many, &[]).bytes).contains("more than 1048576 values"));
    let keys = (0..=1u32 << 20).flat_map(|key| [b"r".as_slice(), &key.to_le_bytes()].concat());
    let keys = [b"\x80\x02}".to_vec(), keys.collect()].concat();
    assert!(refused("many keys", &file(&keys, &[]).bytes).contains("remembers more than 1048576"));
    let large = [b"\x80\x02".to_vec(), deep(17 << 20, b"(")].concat();
    assert!(refused("a large pickle", &file(&large, &[]).bytes).contains("16777216 are the most"));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let whole = std::fs::read(golden("small.pth")).unwrap();
    assert_eq!(read(&whole).unwrap().len(), 12);
    for length in 0..whole.len() {
        refused(&format!("{length} bytes"), &whole[..length]);
    }
    let pickle = dict(&[("x", Floats::default().pickled())]);
    for length in 0..pickle.len() {
        refused(
            &format!("{length} bytes of its pickle"),
            &file(&pickle[..length], &[&VALUES]).bytes,
        );
    }
}

#[test]
fn an_archive_that_readers_may_see_differently_is_refused() {
    let pickle = dict(&[("x", Floats::default().pickled())]);
    let good = || file(&pickle, &[&VALUES]);
    assert_eq!(read(&good().bytes).unwrap().len(), 1);
    let named = |entries: &[(&str, &[u8])]| Zip::of(entries).bytes;
    let (first, last) = (good().centrals[0], good().centrals[2]);
    let (local, end) = (good().locals[2], good().end);
    let over_the_first = (good().locals[0] as u32).to_le_bytes();
    for (what, bytes) in [
        ("cut short", [good().bytes, vec![0]].concat()),
        ("cut short", good().with(end + 20, &[1])),
        ("several disks", good().with(end + 4, &[1])),
        ("several disks", good().with(end + 8, &[9])),
        ("not where it says", good().with(end + 12, &[1])),
        ("not where it says", good().with(end + 16, &[0xff; 4])),
        ("not where it says", [b"#!/bin/sh\n".to_vec(), good().bytes].concat()),
        ("more entries than it says", good().with(end + 8, &[2, 0, 2, 0])),
        ("directory is damaged", good().with(end + 8, &[4, 0, 4, 0])),
        ("directory is damaged", good().with(first, b"PK\x01\x03")),
        ("directory is damaged", good().with(last + 28, &[200])),
        ("m/data/0 is compressed", good().with(last + 10, &[8])),
        ("m/data/0 is compressed", good().with(last + 20, &[23])),
        ("encrypted", good().with(last + 8, &[1])),
        ("encrypted", good().with(last + 34, &[1])),
        ("64-bit sizes are missing", good().with(last + 20, &[0xff; 4])),
        ("64-bit sizes are missing", good().with(last + 42, &[0xff; 4])),
        ("behind the last byte", good().with(last + 20, &[0, 0, 0, 0x7f, 0, 0, 0, 0x7f])),
        ("m/data/0 is not where", good().with(last + 42, &over_the_first)),
        ("m/data/0 is not where", good().with(last + 42, &[0, 0, 0, 0x7f])),
        ("m/data/0 is not where", good().with(local, b"PK\x03\x05")),
        ("m/data/0 is not where", good().with(local + 8, &[8])),
        ("m/data/0 is not where", good().with(local + 30, b"n")),
        ("behind the last byte", good().with(local + 28, &[1])),
        ("no plain text", good().with(last + 46, b"\xff")),
        ("no plain text", good().with(last + 46, b"\n")),
        ("two entries are called m/data/0", named(&[("m/data/0", b""), ("m/data/0", b"")])),
        ("has one data.pkl", named(&[("m/data/0", &VALUES)])),
        ("has one data.pkl", named(&[("m/data.pkl", &pickle), ("n/data.pkl", &pickle)])),
        ("has one data.pkl", named(&[("data.pkl", &pickle), ("m/data.pkl", &pickle)])),
        ("not where torch.save puts it", named(&[("data.pkl", &pickle)])),
        ("not where torch.save puts it", named(&[("m/n/data.pkl", &pickle)])),
        ("little-endian", named(&[("m/data.pkl", &pickle), ("m/byteorder", b"big")])),
        ("most", named(&[("m/data.pkl", &pickle), ("m/byteorder", &[b' '; 17])])),
        ("its storage \"0\" is missing", named(&[("m/data.pkl", &pickle), ("n/data/0", &VALUES)])),
    ] {
        let message = refused(what, &bytes);
        assert!(message.contains(what), "{what}: {message}");
    }
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let one = b"PK\x03\x04";
    let inner = Zip::of(&[("m/data/1", &VALUES)]);
    // The second entry lies within the first one's bytes, header and all.
    let nested = &inner.bytes[..inner.centrals[0]];
    let pickle = dict(&[]);
    let outer = file(&pickle, &[nested, &VALUES]);
    let at = outer.locals[2] + 30 + "m/data/0".len();
    assert_eq!(&outer.bytes[at..at + 4], one);
    let place = outer.centrals[3] + 42;
    let bytes = outer.with(place, &(at as u32).to_le_bytes());
    assert!(refused("nested", &bytes).contains("over each other"));
}

#[test]
fn sixty_four_bit_records_are_read_and_held_against_the_others() {
    let pickle = dict(&[("x", Floats::default().pickled())]);
    let good = || file(&pickle, &[&VALUES]);
    assert_eq!(read(&good().wide(|_| ())).unwrap().len(), 1);
    let mut narrow = good();
    narrow.bytes[good().end + 12..][..8].fill(0xff);
    let tail = narrow.end + 12;
    // Numbers that do not fit say so by all ones; then the wide ones count.
    let mut wide = good().wide(|_| ());
    let end = wide.len() - 22;
    wide[end + 8..end + 20].fill(0xff);
    assert_eq!(read(&wide).unwrap().len(), 1);
    assert!(refused("no wide record", &narrow.with(tail, &[0xff])).contains("not where it says"));
    for (what, at, byte) in [
        ("none of torch.save", 0, 0),
        ("none of torch.save", 4, 45),
        ("none of torch.save", 16, 1),
        ("none of torch.save", 24, 9),
        ("different things", 40, 1),
        ("different things", 55, 1),
        ("64-bit directory is not where", 60, 1),
        ("64-bit directory is not where", 64, 1),
        ("64-bit directory is not where", 71, 0x80),
        ("64-bit directory is not where", 72, 2),
    ] {
        let message = refused(what, &good().wide(|record| record[at] = byte));
        assert!(message.contains(what), "{at}: {what}: {message}");
    }
}

#[test]
fn sizes_of_sixty_four_bits_count_where_those_of_thirty_two_do_not_do() {
    let pickle = dict(&[("x", Floats::default().pickled())]);
    let wide = |bytes: &[u8], field: &[u64]| {
        let numbers: Vec<u8> = field.iter().flat_map(|number| number.to_le_bytes()).collect();
        let field = [&[1, 0, numbers.len() as u8, 0], numbers.as_slice()].concat();
        let other = [0xca, 0xfe, 1, 0, 7];
        let mut zip =
            Zip::with_extra(&[("m/data.pkl", bytes)], &[&other, field.as_slice()].concat());
        let central = zip.centrals[0];
        zip.bytes[central + 20..central + 28].fill(0xff);
        zip.with(central + 42, &[0xff; 4])
    };
    let size = pickle.len() as u64;
    // It is read as far as the storage, which this file does not have.
    assert!(refused("read", &wide(&pickle, &[size, size, 0])).contains("storage \"0\" is missing"));
    for (what, field) in [
        ("directory is damaged", &[size, size][..]),
        ("m/data.pkl is compressed", &[size, size + 1, 0]),
        ("ends behind the last byte", &[u64::MAX, u64::MAX, 0]),
        ("is not where the directory says", &[size, size, 1]),
        ("is not where the directory says", &[size, size, u64::MAX]),
    ] {
        let message = refused(what, &wide(&pickle, field));
        assert!(message.contains(what), "{what}: {message}");
    }
    let twice = Zip::with_extra(&[("m/data.pkl", &pickle)], &[1, 0, 0, 0, 1, 0, 0, 0]).bytes;
    assert!(refused("twice", &twice).contains("its sizes are there twice"));
    let cut = Zip::with_extra(&[("m/data.pkl", &pickle)], &[1, 0, 9, 0]).bytes;
    assert!(refused("cut", &cut).contains("directory is damaged"));
}
