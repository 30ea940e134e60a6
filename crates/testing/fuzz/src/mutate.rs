//! One change of an input.

use rand::RngExt;
use rand::rngs::StdRng;

/// No input grows beyond this, in bytes.
pub(crate) const LONGEST: usize = 16 << 10;

/// What parsers of every kind stumble over.
pub(crate) const WORDS: [&[u8]; 28] = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"%00",
    b"%2e%2e/",
    b"../",
    b"//",
    b"@",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"NaN",
];

/// Changes `input` in one way.
pub(crate) fn once(input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let end = (at + rng.random_range(0..=16)).min(input.len());
    match rng.random_range(0..9) {
        0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
        1 if at < input.len() => input[at] = rng.random(),
        2 => drop(input.drain(at..end)),
        3 => input.truncate(at),
        4 => {
            let part = input[at..end].to_vec();
            let times = rng.random_range(1..64);
            insert(input, at, &part.repeat(times));
        }
        5 => {
            let other = &corpus[rng.random_range(0..corpus.len())];
            let from = rng.random_range(0..=other.len());
            input.truncate(at);
            insert(input, at, &other[from..]);
        }
        6 => {
            let bytes: Vec<u8> = (0..rng.random_range(1..8)).map(|_| rng.random()).collect();
            insert(input, at, &bytes);
        }
        // Most of what matters is a known word in the wrong place.
        7 => drop(input.splice(at..end, words[rng.random_range(0..words.len())].clone())),
        _ => insert(input, at, &words[rng.random_range(0..words.len())]),
    }
    input.truncate(LONGEST);
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}
