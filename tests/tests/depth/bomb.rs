//! An archive of 14 MB that would fill 3 GB.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use parallax_tests::{Finished, finish, program};

use super::film;

/// Bytes of one depth picture of the film.
const PLANE: usize = 128 * 72;
/// Pictures that one unit of the packed bytes unpacks to, and how many units there are.
const PICTURES: usize = 112;
const UNITS: usize = 2900;
/// Matches of 258 zeros in a unit; noise, which does not shrink, is the rest of it.
const MATCHES: usize = 3986;
const NOISE: usize = PICTURES * PLANE - 1 - 258 * MATCHES;

/// Bits as deflate packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// A number, its lowest bit first.
    fn number(&mut self, value: usize, bits: usize) {
        for bit in 0..bits {
            self.code(value >> bit & 1, 1);
        }
    }

    /// A code, its highest bit first.
    fn code(&mut self, value: usize, bits: usize) {
        for bit in (0..bits).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A block as it is; it begins and ends with a byte.
    fn stored(&mut self, last: bool, data: &[u8]) {
        self.number(usize::from(last), 3);
        self.used = self.bytes.len() * 8;
        let length = u16::try_from(data.len()).unwrap();
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend((!length).to_le_bytes());
        self.bytes.extend(data);
        self.used = self.bytes.len() * 8;
    }

    /// A block of `1 + 258 * matches` zeros, two bits a match: codes of one bit for the length 258 and the
    /// distance 1, of two for the byte 0 and the end.
    fn zeros(&mut self, matches: usize) {
        self.number(0b100, 3);
        self.number(29, 5);
        self.number(0, 5);
        self.number(14, 4);
        // How long the codes for lengths of codes are: of 18, of 2 and of 1, in RFC 1951's order.
        for place in 0..18 {
            self.number([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2][place], 3);
        }
        let (two, one) = ((0b11, 2), (0b10, 2));
        // The byte 0; nothing up to 255; the end; nothing up to 284; the length 258; the distance 1.
        self.code(two.0, two.1);
        for run in [138, 117] {
            self.code(0, 1);
            self.number(run - 11, 7);
        }
        self.code(two.0, two.1);
        self.code(0, 1);
        self.number(28 - 11, 7);
        self.code(one.0, one.1);
        self.code(one.0, one.1);
        self.code(0b10, 2);
        for _ in 0..matches {
            self.code(0, 2);
        }
        self.code(0b11, 2);
    }
}

/// The beginning of an array of bytes, of so many pictures.
fn header(pictures: usize) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({pictures}, 72, 128), }}");
    text.push_str(&" ".repeat(117 - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(118u16.to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// Writes an archive whose only array promises so many pictures and holds `UNITS * PICTURES`. Its sum is
/// not right: whoever gets that far has written everything.
fn write(path: &Path, promised: usize) {
    let header = header(promised);
    let (mut start, mut unit, mut end) = (Bits::default(), Bits::default(), Bits::default());
    start.stored(false, &header);
    unit.zeros(MATCHES);
    let noise: Vec<u8> = (0..NOISE).map(|i| ((i * 7919) >> 3) as u8).collect();
    unit.stored(false, &noise);
    end.stored(true, b"");
    let packed = start.bytes.len() + UNITS * unit.bytes.len() + end.bytes.len();
    let held = header.len() + UNITS * PICTURES * PLANE;
    let sizes = [0, packed as u32, held as u32].map(u32::to_le_bytes).concat();
    let common = |version: &[u8]| {
        let mut entry = version.to_vec();
        // Deflated, without a time.
        entry.extend([20, 0, 0, 0, 8, 0, 0, 0, 33, 0]);
        entry.extend(&sizes);
        entry.extend([9, 0, 0, 0]);
        entry
    };
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut local = common(b"PK\x03\x04");
    local.extend(b"depth.npy");
    file.write_all(&local).unwrap();
    file.write_all(&start.bytes).unwrap();
    for _ in 0..UNITS {
        file.write_all(&unit.bytes).unwrap();
    }
    file.write_all(&end.bytes).unwrap();
    let place = (local.len() + packed) as u32;
    let mut list = common(b"PK\x01\x02\x14\x00");
    list.extend([0; 14]);
    list.extend(b"depth.npy");
    let mut close = b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00".to_vec();
    close.extend((list.len() as u32).to_le_bytes());
    close.extend(place.to_le_bytes());
    close.extend([0, 0]);
    file.write_all(&list).unwrap();
    file.write_all(&close).unwrap();
    file.flush().unwrap();
}

/// Converts with depth from `depth`, by a program that cannot write a file of more than 10 MB.
fn convert_within_10_mb(film: &Path, depth: &Path, output: &Path) -> Finished {
    let plain = program("parallax");
    let mut command = Command::new("prlimit");
    command.arg("--fsize=10000000").arg(plain.get_program()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("convert").arg(film).args(["--preset", "ultrafast", "--segment-seconds", "1"]);
    command.args(["--engine", "depth-from", "--depth"]).arg(depth).arg("-o").arg(output);
    finish(&mut command)
}

#[test]
fn an_archive_that_would_fill_the_disk_is_refused_before_it_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), 10);
    let (bomb, output) = (folder.path().join("depth.npz"), folder.path().join("out.mp4"));
    for (promised, says) in
        [(10, "where its header promises 92288"), (UNITS * PICTURES, "allowed are 100 to 1")]
    {
        write(&bomb, promised);
        let size = std::fs::metadata(&bomb).unwrap().len();
        assert!((13_000_000..15_000_000).contains(&size), "{size}");
        // It is one that an unpacker takes: the first thing in it is what it says.
        let mut archive = zip::ZipArchive::new(File::open(&bomb).unwrap()).unwrap();
        let mut member = archive.by_index(0).unwrap();
        assert_eq!(member.size(), 128 + (UNITS * PICTURES * PLANE) as u64);
        let mut some = vec![0; 128 + 2 * PICTURES * PLANE];
        std::io::Read::read_exact(&mut member, &mut some).unwrap();
        assert!(some.starts_with(b"\x93NUMPY") && some[128..1_000_000].iter().all(|b| *b == 0));
        let run = convert_within_10_mb(&film, &bomb, &output);
        let error = run.error();
        assert!(error.contains("depth.npz") && error.contains(says), "{error}");
        assert!(!output.exists());
    }
    // The limit does not matter to what is none.
    let right = folder.path().join("right.npy");
    std::fs::write(&right, [header(10), vec![7; 10 * PLANE]].concat()).unwrap();
    assert_eq!(convert_within_10_mb(&film, &right, &output).code, Some(0));
}
