//! Files as `torch.save` writes them, and as nobody should.

/// An archive of stored entries, with the places of its records for tests to damage.
pub(super) struct Zip {
    pub(super) bytes: Vec<u8>,
    /// Where each entry's own header is.
    pub(super) locals: Vec<usize>,
    /// Where the directory has each entry.
    pub(super) centrals: Vec<usize>,
    /// Where the record at the end begins.
    pub(super) end: usize,
}

impl Zip {
    pub(super) fn of(entries: &[(&str, &[u8])]) -> Self {
        Self::with_extra(entries, &[])
    }

    /// With these fields to each entry of the directory.
    pub(super) fn with_extra(entries: &[(&str, &[u8])], extra: &[u8]) -> Self {
        let (mut bytes, mut locals, mut directory) = (Vec::new(), Vec::new(), Vec::new());
        let mut centrals = Vec::new();
        for (name, data) in entries {
            let sizes = [data.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
            // Version, flags, method, time and sum: what no reader here looks at but for the two.
            let common = [[20, 0, 0, 8, 0, 0].as_slice(), &[0; 8], &sizes].concat();
            let name_and_extra = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
            let local = bytes.len() as u32;
            locals.push(bytes.len());
            bytes.extend(
                [b"PK\x03\x04", common.as_slice(), &name_and_extra, name.as_bytes(), data].concat(),
            );
            centrals.push(directory.len());
            let lengths = [name.len() as u16, extra.len() as u16].map(u16::to_le_bytes).concat();
            directory.extend([b"PK\x01\x02\x14\0", common.as_slice(), &lengths].concat());
            directory.extend([0; 10]);
            directory.extend(local.to_le_bytes());
            directory.extend([name.as_bytes(), extra].concat());
        }
        let start = bytes.len();
        centrals.iter_mut().for_each(|at| *at += start);
        bytes.extend(&directory);
        let end = bytes.len();
        let count = (entries.len() as u16).to_le_bytes();
        let numbers = [directory.len() as u32, start as u32].map(u32::to_le_bytes).concat();
        bytes.extend([b"PK\x05\x06\0\0\0\0", count.as_slice(), &count, &numbers, &[0, 0]].concat());
        Self { bytes, locals, centrals, end }
    }

    /// With `bytes` instead of those at `at`.
    pub(super) fn with(mut self, at: usize, bytes: &[u8]) -> Vec<u8> {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.bytes
    }

    /// With the record of 64 bits that torch writes, too; `change` may damage it.
    pub(super) fn wide(mut self, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let tail = self.bytes.split_off(self.end);
        let wide = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let numbers =
            [wide(&tail[8..10]), wide(&tail[10..12]), wide(&tail[12..16]), wide(&tail[16..20])];
        let at = self.bytes.len() as u64;
        let mut record = [b"PK\x06\x06".as_slice(), &44u64.to_le_bytes(), &[0; 12]].concat();
        record.extend(numbers.map(u64::to_le_bytes).concat());
        record
            .extend([b"PK\x06\x07\0\0\0\0".as_slice(), &at.to_le_bytes(), &[1, 0, 0, 0]].concat());
        change(&mut record);
        self.bytes.extend(record);
        self.bytes.extend(tail);
        self.bytes
    }
}

/// A file with this pickle, and with storages of these bytes.
pub(super) fn file(pickle: &[u8], storages: &[&[u8]]) -> Zip {
    let names: Vec<String> = (0..storages.len()).map(|key| format!("m/data/{key}")).collect();
    let mut entries = vec![("m/data.pkl", pickle), ("m/byteorder", b"little".as_slice())];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().copied()));
    Zip::of(&entries)
}

/// The pickle of a dict of such pickled values.
pub(super) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> =
        items.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [b"\x80\x02}(".as_slice(), &items, b"u."].concat()
}

/// A tensor in a storage of floats; what else it is follows by changing these fields.
#[derive(Clone)]
pub(super) struct Floats {
    pub(super) key: &'static str,
    pub(super) stored: i64,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
    pub(super) storage: (&'static str, &'static str),
    /// Behind the two arguments that say nothing of the values.
    pub(super) more: Vec<u8>,
}

impl Default for Floats {
    fn default() -> Self {
        Self {
            key: "0",
            stored: 6,
            offset: 0,
            shape: vec![2, 3],
            strides: vec![3, 1],
            storage: ("torch", "FloatStorage"),
            more: Vec::new(),
        }
    }
}

impl Floats {
    pub(super) fn pickled(&self) -> Vec<u8> {
        let ints = |numbers: &[i64]| tuple(&numbers.iter().map(|n| int(*n)).collect::<Vec<_>>());
        let (module, name) = self.storage;
        let stored =
            [text("storage"), global(module, name), text(self.key), text("cpu"), int(self.stored)];
        let hooks = [global("collections", "OrderedDict"), b")R".to_vec()].concat();
        let arguments = tuple(&[
            [tuple(&stored), b"Q".to_vec()].concat(),
            int(self.offset),
            ints(&self.shape),
            ints(&self.strides),
            b"\x89".to_vec(),
            hooks,
            self.more.clone(),
        ]);
        [global("torch._utils", "_rebuild_tensor_v2"), arguments, b"R".to_vec()].concat()
    }
}

pub(super) fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// As short as Python writes it.
pub(super) fn int(number: i64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    match number {
        0..=0xff => vec![b'K', bytes[0]],
        0x100..=0xffff => vec![b'M', bytes[0], bytes[1]],
        _ if i32::try_from(number).is_ok() => [b"J", &bytes[..4]].concat(),
        _ => [b"\x8a\x08".as_slice(), &bytes].concat(),
    }
}

pub(super) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".as_slice(), &items.concat(), b"t"].concat()
}

pub(super) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}
