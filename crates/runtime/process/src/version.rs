//! Which build this is.

/// The commit that the program was built from: `PARALLAX_COMMIT` at build time, as images are built;
/// `unknown` elsewhere, so that an ordinary build does not depend on where it stands in a history.
pub const COMMIT: &str = match option_env!("PARALLAX_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Says in the log which build of `program` starts.
pub fn log_version(program: &str) {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(program, version, commit = COMMIT, "starting");
}
