//! A zip archive as `torch.save` writes it: entries that are stored as they are, each name once, no two over
//! the same bytes, the directory at the end and nothing behind it.
//!
//! Other archives are refused rather than understood. Where two readers may see different things in one file,
//! as with names that come twice, a check of the one says nothing about the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::refusal::Refusal;

/// Larger directories are not read: a thousand tensors need a tenth of a megabyte.
const MAX_DIRECTORY: u64 = 8 << 20;

const END: u32 = 0x0605_4b50;
const WIDE_END: u32 = 0x0606_4b50;
const WIDE_LOCATOR: u32 = 0x0706_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
/// Of an extra field: sizes and places of 64 bits.
const WIDE_FIELD: u16 = 1;
/// Sizes behind the data as well, and names in UTF-8. All other flags change what the bytes mean.
const HARMLESS_FLAGS: u16 = 1 << 3 | 1 << 11;

const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const WIDE_END_BYTES: u64 = 56;
const LOCAL_BYTES: u64 = 30;

/// Where the bytes of an entry lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// The entries of `file`, which has `size` bytes, by their names.
pub(super) fn entries(file: &File, size: u64) -> Result<BTreeMap<String, Span>, Refusal> {
    let directory = Directory::find(file, size)?;
    let list = Span { start: directory.start, bytes: directory.bytes };
    let bytes = read_up_to(file, list, MAX_DIRECTORY)?;
    let mut fields = Fields(&bytes);
    let mut entries = BTreeMap::new();
    let mut taken = Vec::new();
    for _ in 0..directory.entries {
        let Central { name, span, local } = Central::read(&mut fields)?;
        let start = check_local(file, &name, local, directory.start)?;
        let end = start.checked_add(span.bytes).filter(|end| *end <= directory.start);
        let end = end.ok_or_else(|| Refusal::odd(format!("{name} ends behind the last byte")))?;
        taken.push((local, end));
        if entries.insert(name.clone(), Span { start, ..span }).is_some() {
            return Err(Refusal::odd(format!("two entries are called {name}")));
        }
    }
    if !fields.0.is_empty() {
        return Err(Refusal::odd("its directory has more entries than it says"));
    }
    taken.sort_unstable();
    if taken.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(Refusal::odd("two of its entries lie over each other"));
    }
    Ok(entries)
}

/// The bytes of `span`, of which there may be `most`.
pub(super) fn read_up_to(file: &File, span: Span, most: u64) -> Result<Vec<u8>, Refusal> {
    if span.bytes > most {
        let bytes = span.bytes;
        return Err(Refusal::odd(format!("{bytes} bytes where {most} are the most")));
    }
    Ok(read(file, span.start, span.bytes)?)
}

/// `bytes` bytes from `start` on.
pub(super) fn read(file: &File, start: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut out = vec![0; bytes as usize];
    file.read_exact_at(&mut out, start)?;
    Ok(out)
}

/// The list of entries.
#[derive(Debug, PartialEq, Eq)]
struct Directory {
    entries: u64,
    start: u64,
    bytes: u64,
}

impl Directory {
    fn find(file: &File, size: u64) -> Result<Self, Refusal> {
        let none =
            || Refusal::odd("no zip archive as torch.save writes it, or cut short; fetch it again");
        let end = size.checked_sub(END_BYTES).ok_or_else(none)?;
        let bytes = read(file, end, END_BYTES)?;
        let mut fields = Fields(&bytes);
        let [signature, disks] = [fields.u32()?, fields.u32()?];
        let here = u64::from(fields.u16()?);
        let narrow = Self {
            entries: fields.u16()?.into(),
            bytes: fields.u32()?.into(),
            start: fields.u32()?.into(),
        };
        if signature != END || fields.u16()? != 0 {
            return Err(none());
        }
        if disks != 0 || here != narrow.entries {
            return Err(Refusal::odd("it is one of several disks"));
        }
        let (found, at) = match Self::wide(file, end)? {
            Some((wide, at)) => {
                narrow.agrees(&wide)?;
                (wide, at)
            }
            None => (narrow, end),
        };
        if found.start.checked_add(found.bytes) != Some(at) {
            return Err(Refusal::odd("its directory is not where it says"));
        }
        Ok(found)
    }

    /// The directory by the 64-bit record before `end`, and where that record begins.
    fn wide(file: &File, end: u64) -> Result<Option<(Self, u64)>, Refusal> {
        let Some(locator) = end.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
        let bytes = read(file, locator, LOCATOR_BYTES)?;
        let mut fields = Fields(&bytes);
        if fields.u32()? != WIDE_LOCATOR {
            return Ok(None);
        }
        let (disk, at, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
        if disk != 0 || disks > 1 || at.checked_add(WIDE_END_BYTES) != Some(locator) {
            return Err(Refusal::odd("its 64-bit directory is not where it says"));
        }
        let bytes = read(file, at, WIDE_END_BYTES)?;
        let mut fields = Fields(&bytes);
        let (signature, rest, _versions) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let disks = fields.u64()?;
        let here = fields.u64()?;
        let wide = Self { entries: fields.u64()?, bytes: fields.u64()?, start: fields.u64()? };
        if signature != WIDE_END
            || rest != WIDE_END_BYTES - 12
            || disks != 0
            || here != wide.entries
        {
            return Err(Refusal::odd("its 64-bit directory is none of torch.save"));
        }
        Ok(Some((wide, at)))
    }

    /// Whether each of the narrow numbers says the same as the wide one, or that it is too narrow.
    fn agrees(&self, wide: &Self) -> Result<(), Refusal> {
        let same = |narrow: u64, wide: u64, most: u64| narrow == wide || narrow == most;
        let most = u64::from(u32::MAX);
        if same(self.entries, wide.entries, u16::MAX.into())
            && same(self.bytes, wide.bytes, most)
            && same(self.start, wide.start, most)
        {
            return Ok(());
        }
        Err(Refusal::odd("its two directories say different things"))
    }
}

/// An entry as the directory has it.
struct Central {
    name: String,
    /// Its start is that of the local header still.
    span: Span,
    local: u64,
}

impl Central {
    fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        if fields.u32()? != CENTRAL {
            return Err(Refusal::odd("its directory is damaged"));
        }
        let _versions = fields.u32()?;
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let _time_and_sum = fields.u64()?;
        let (mut packed, mut bytes) = (fields.u32()?.into(), fields.u32()?.into());
        let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let disk = fields.u16()?;
        let _attributes = (fields.u16()?, fields.u32()?);
        let mut local = fields.u32()?.into();
        let name = plain_name(fields.bytes(name.into())?)?;
        let mut extra = Fields(fields.bytes(extra.into())?);
        fields.bytes(comment.into())?;
        widen(&mut extra, [&mut bytes, &mut packed, &mut local])
            .map_err(|refusal| refusal.in_tensor(&name))?;
        if flags & !HARMLESS_FLAGS != 0 || disk != 0 {
            return Err(Refusal::odd(format!("{name} is encrypted or otherwise special")));
        }
        if method != 0 || packed != bytes {
            return Err(Refusal::odd(format!(
                "{name} is compressed; torch.save compresses nothing"
            )));
        }
        Ok(Self { name, span: Span { start: local, bytes }, local })
    }
}

/// Replaces those numbers that were too large for 32 bits by those in the extra field.
fn widen(extra: &mut Fields, numbers: [&mut u64; 3]) -> Result<(), Refusal> {
    let mut wide = None;
    while !extra.0.is_empty() {
        let (kind, bytes) = (extra.u16()?, extra.u16()?);
        let field = extra.bytes(bytes.into())?;
        if kind == WIDE_FIELD && wide.replace(Fields(field)).is_some() {
            return Err(Refusal::odd("its sizes are there twice"));
        }
    }
    for number in numbers {
        if *number == u64::from(u32::MAX) {
            let field =
                wide.as_mut().ok_or_else(|| Refusal::odd("its 64-bit sizes are missing"))?;
            *number = field.u64()?;
        }
    }
    Ok(())
}

/// Where the bytes of `name` begin, behind their own header at `at`.
fn check_local(file: &File, name: &str, at: u64, end: u64) -> Result<u64, Refusal> {
    let odd = || Refusal::odd(format!("{name} is not where the directory says"));
    let head = LOCAL_BYTES + name.len() as u64;
    if at.checked_add(head).is_none_or(|start| start > end) {
        return Err(odd());
    }
    let bytes = read(file, at, head)?;
    let mut fields = Fields(&bytes);
    let (signature, _version) = (fields.u32()?, fields.u16()?);
    let (_flags, method) = (fields.u16()?, fields.u16()?);
    let _time_sum_and_sizes = fields.bytes(16)?;
    let (length, extra) = (fields.u16()?, fields.u16()?);
    let same = usize::from(length) == name.len() && fields.0 == name.as_bytes();
    if signature != LOCAL || method != 0 || !same {
        return Err(odd());
    }
    Ok(at + head + u64::from(extra))
}

/// A name that messages can show.
fn plain_name(bytes: &[u8]) -> Result<String, Refusal> {
    let name = std::str::from_utf8(bytes).ok().filter(|name| !name.contains(char::is_control));
    let name = name.ok_or_else(|| Refusal::odd("the name of an entry is no plain text"))?;
    Ok(name.to_owned())
}

/// Numbers of a record, lowest byte first.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let split = self.0.split_at_checked(count);
        let (bytes, rest) = split.ok_or_else(|| Refusal::odd("its directory is damaged"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, Refusal> {
        let bytes = self.bytes(bytes)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u16(&mut self) -> Result<u16, Refusal> {
        Ok(self.number(2)? as u16)
    }

    fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(self.number(4)? as u32)
    }

    fn u64(&mut self) -> Result<u64, Refusal> {
        self.number(8)
    }
}
