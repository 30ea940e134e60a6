//! Seeded mutation of valid inputs: what a parser is fed with in tests.
//!
//! A target takes inputs from [`Cases`] and asserts what must hold for any of them. The test-suite
//! runs a bounded number under a fixed seed, so a failure comes again; `FUZZ_CASES` and `FUZZ_SEED`
//! set others, which is how `tools/fuzz` runs the same targets for longer. Nothing here looks at
//! coverage: valid inputs of every kind are what leads deep into a parser.

mod mutate;

use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Inputs, each made of one of a corpus. The first ones are the corpus itself.
///
/// When a test panics over one of them, it is printed with what makes it again.
#[derive(Debug)]
pub struct Cases {
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    seed: u64,
    rng: StdRng,
    left: u64,
    number: u64,
    now: Vec<u8>,
}

impl Cases {
    /// `count` inputs over `corpus`, into which `words` are put now and then: names, markers and
    /// escapes that the parser knows.
    ///
    /// # Panics
    /// Without a corpus, and when `FUZZ_CASES` or `FUZZ_SEED` is no number.
    pub fn new<T: AsRef<[u8]>>(count: u64, corpus: &[T], words: &[&str]) -> Self {
        assert!(!corpus.is_empty(), "a corpus has inputs");
        let seed = variable("FUZZ_SEED").unwrap_or(0);
        let mut all: Vec<Vec<u8>> = mutate::WORDS.iter().map(|word| word.to_vec()).collect();
        all.extend(words.iter().map(|word| word.as_bytes().to_vec()));
        Self {
            corpus: corpus.iter().map(|input| input.as_ref().to_vec()).collect(),
            words: all,
            seed,
            rng: StdRng::seed_from_u64(seed),
            left: variable("FUZZ_CASES").unwrap_or(count),
            number: 0,
            now: Vec::new(),
        }
    }

    /// The next input, until there were enough.
    pub fn next_case(&mut self) -> Option<&[u8]> {
        self.left = self.left.checked_sub(1)?;
        let whole = usize::try_from(self.number).ok().filter(|n| *n < self.corpus.len());
        self.now = match whole {
            Some(index) => self.corpus[index].clone(),
            None => {
                let index = self.rng.random_range(0..self.corpus.len());
                let mut input = self.corpus[index].clone();
                for _ in 0..=self.rng.random_range(0..6) {
                    mutate::once(&mut input, &self.corpus, &self.words, &mut self.rng);
                }
                input
            }
        };
        self.number += 1;
        Some(&self.now)
    }

    /// Feeds every input to `target`.
    pub fn run(mut self, mut target: impl FnMut(&[u8])) {
        while let Some(input) = self.next_case() {
            target(input);
        }
    }

    /// As [`Cases::run`], for parsers of text: what is not UTF-8 is replaced.
    pub fn run_text(self, mut target: impl FnMut(&str)) {
        self.run(|input| target(&String::from_utf8_lossy(input)));
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { number, seed, now, .. } = self;
            eprintln!("input {number} of seed {seed}: \"{}\"", now.escape_ascii());
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match u64::from_str(&text) {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text}: expected a whole number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(count: u64) -> Vec<Vec<u8>> {
        let mut inputs = Vec::new();
        Cases::new(count, &["{\"a\": 1}", "s3://b/key"], &["mode"])
            .run(|input| inputs.push(input.to_vec()));
        inputs
    }

    #[test]
    fn the_corpus_comes_first_and_the_rest_comes_again() {
        let some = inputs(300);
        assert_eq!(some[..2], [b"{\"a\": 1}".to_vec(), b"s3://b/key".to_vec()]);
        assert_eq!(some, inputs(300));
        let mut different = some.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 250, "{}", different.len());
        assert!(some.iter().any(|input| input.windows(4).any(|part| part == b"mode")));
        assert!(some.iter().any(|input| std::str::from_utf8(input).is_err()));
        assert!(some.iter().all(|input| input.len() <= mutate::LONGEST));
    }
}
