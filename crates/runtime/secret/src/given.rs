//! A secret as a program is given it: by a variable, or by a file that another variable names and that
//! can be read again while the program runs.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Serialize, Serializer};

use crate::Secret;

/// What is read of a file: whoever names a film by mistake is told so at once.
const LARGEST: u64 = 64 << 10;

/// Why a secret could not be had. No text of it holds any of the secret.
#[derive(Debug)]
pub struct GivenError(String);

impl fmt::Display for GivenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GivenError {}

/// What is wrong with a secret, in words that hold none of it.
pub type Check = fn(&Secret) -> Result<(), &'static str>;

/// A secret that a program was given. Clones are the same one: what one reads again, all have.
#[derive(Debug, Clone)]
pub struct Given {
    variable: &'static str,
    file: Option<Arc<Path>>,
    check: Check,
    now: Arc<RwLock<Secret>>,
}

impl Given {
    /// What the variable called `variable` holds, or else the file that `<variable>_FILE` names, without
    /// the blanks around it; `None` when there is neither. It passes `check`, now and whenever it is read again.
    ///
    /// # Errors
    /// When both are given; when the file cannot be read, is empty or too large for a secret; what `check`
    /// says. Names the variable, and the file if it is one.
    pub fn new(
        variable: &'static str,
        value: Option<Secret>,
        file: Option<PathBuf>,
        check: Check,
    ) -> Result<Option<Self>, GivenError> {
        let (now, file) = match (value, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let both = format!("{variable} and {variable}_FILE are both set: set one of them");
                return Err(GivenError(both));
            }
            (Some(value), None) => {
                check(&value).map_err(|why| GivenError(format!("{variable}: {why}")))?;
                (value, None)
            }
            (None, Some(file)) => (read(variable, &file, check)?, Some(file.into())),
        };
        Ok(Some(Self { variable, file, check, now: Arc::new(RwLock::new(now)) }))
    }

    /// The name of its variable.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// The secret as it is now.
    pub fn now(&self) -> Secret {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again; whether it holds another secret than before. `None` without a file.
    ///
    /// # Errors
    /// As [`Given::new`]. The secret stays what it was.
    pub fn read_again(&self) -> Result<Option<bool>, GivenError> {
        let Some(file) = &self.file else { return Ok(None) };
        let new = read(self.variable, file, self.check)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let other = *now != new;
        *now = new;
        Ok(Some(other))
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.now().serialize(serializer)
    }
}

/// One line of printable ASCII, as a header can hold it.
///
/// # Errors
/// What else it is.
pub fn one_line(secret: &Secret) -> Result<(), &'static str> {
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if secret.expose().bytes().all(printable) {
        Ok(())
    } else {
        Err("only printable ASCII is allowed, in one line")
    }
}

fn read(variable: &str, file: &Path, check: Check) -> Result<Secret, GivenError> {
    let fail = |why: &str| GivenError(format!("{variable}_FILE {}: {why}", file.display()));
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| fail(&error.to_string()))?;
    let length = opened.take(LARGEST + 1).read_to_string(&mut text);
    // It holds a secret, whatever becomes of it.
    let secret = Secret::new(text.trim());
    wipe(text);
    let length = length.map_err(|error| fail(&error.to_string()))?;
    if length as u64 > LARGEST {
        return Err(fail("more than 64 KiB are no secret"));
    }
    if secret.expose().is_empty() {
        return Err(fail("it is empty"));
    }
    check(&secret).map_err(fail)?;
    Ok(secret)
}

/// Overwrites what was read, as `secrecy` does with its own.
fn wipe(text: String) {
    drop(secrecy::SecretString::from(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn given(value: Option<&str>, file: Option<&Path>) -> Result<Option<Given>, String> {
        let given = Given::new("TOKEN", value.map(Secret::new), file.map(Path::to_owned), one_line);
        given.map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_from_a_file() {
        assert!(given(None, None).unwrap().is_none());
        let value = given(Some("of the variable"), None).unwrap().unwrap();
        assert_eq!(value.now().expose(), "of the variable");
        assert_eq!(value.read_again().unwrap(), None, "there is no file");
        let file = file(b" canary \r\n");
        let held = given(None, Some(file.path())).unwrap().unwrap();
        assert_eq!(held.now().expose(), "canary");
        let shown = format!("{held:?} {}", serde_json::to_string(&held).unwrap());
        assert!(!shown.contains("canary") && shown.contains("[redacted]"), "{shown}");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_by_variable_and_file() {
        let both = given(Some("canary"), Some(file(b"canary").path())).unwrap_err();
        assert_eq!(both, "TOKEN and TOKEN_FILE are both set: set one of them");
        assert_eq!(
            given(Some("can\nary"), None).unwrap_err(),
            "TOKEN: only printable ASCII is allowed, in one line"
        );
        for (text, why) in [
            (&b""[..], "it is empty"),
            (b" \n\t\n", "it is empty"),
            (b"canary\ncanary", "in one line"),
            (b"canary\xff", "UTF-8"),
            (&[b'c'; 65 << 10], "more than 64 KiB"),
        ] {
            let file = file(text);
            let said = given(None, Some(file.path())).unwrap_err();
            let named = format!("TOKEN_FILE {}: ", file.path().display());
            assert!(said.starts_with(&named) && said.contains(why), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
        let said = given(None, Some(Path::new("/nowhere/at/all"))).unwrap_err();
        assert!(said.starts_with("TOKEN_FILE /nowhere/at/all: No such file"), "{said}");
    }

    #[test]
    fn what_is_read_again_is_had_by_all_and_a_bad_file_changes_nothing() {
        let file = file(b"first");
        let one = given(None, Some(file.path())).unwrap().unwrap();
        let other = one.clone();
        assert_eq!(one.read_again().unwrap(), Some(false), "it is the same");
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(one.read_again().unwrap(), Some(true));
        assert_eq!(other.now().expose(), "second");
        std::fs::write(file.path(), "").unwrap();
        assert!(one.read_again().is_err());
        std::fs::remove_file(file.path()).unwrap();
        assert!(one.read_again().is_err());
        assert_eq!(other.now().expose(), "second");
    }
}
