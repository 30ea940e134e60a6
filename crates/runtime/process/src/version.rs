//! Which build this is.

use std::sync::LazyLock;

/// The commit that the program was built from: `PARALLAX_COMMIT` at build time, as images and releases are
/// built; `unknown` elsewhere, so that an ordinary build does not depend on where it stands in a history.
pub const COMMIT: &str = match option_env!("PARALLAX_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What `--version` says: the release, and the commit where it is known.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| of(env!("CARGO_PKG_VERSION"), COMMIT));
    &TEXT
}

fn of(release: &str, commit: &str) -> String {
    match commit {
        "unknown" => release.to_owned(),
        commit => format!("{release} ({commit})"),
    }
}

/// Says in the log which build of `program` starts.
pub fn log_version(program: &str) {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(program, version, commit = COMMIT, "starting");
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn builds_of_one_release_are_told_apart_by_their_commits() {
        assert_eq!(of("1.2.3", "unknown"), "1.2.3");
        assert_eq!(of("1.2.3", "abc"), "1.2.3 (abc)");
        assert_ne!(of("1.2.3", "abc"), of("1.2.3", "def"));
    }
}
