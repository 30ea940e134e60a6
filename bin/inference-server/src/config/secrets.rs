//! What nobody else may know: given by variables, or by files that other variables name.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use clap::Args;
use parallax_secret::{Given, Secret, one_line};

/// Secrets as they are given.
#[derive(Debug, Args)]
pub(crate) struct SecretSettings {
    /// Bearer tokens that are let in, separated by commas. Needed by the profile `http` unless it
    /// listens on a loopback address.
    #[arg(long, env = "SERVER_TOKENS", value_delimiter = ',', hide_env_values = true)]
    tokens: Vec<Secret>,

    /// File with those tokens, in lines or separated by commas, which SIGHUP has the server read again.
    #[arg(long, env = "SERVER_TOKENS_FILE")]
    tokens_file: Option<PathBuf>,

    /// HMAC access id for `gs://`, which is reached through its S3-compatible interface.
    #[arg(long, env = "GCS_ACCESS_KEY_ID", hide_env_values = true)]
    gcs_access_key_id: Option<Secret>,

    /// File with that id.
    #[arg(long, env = "GCS_ACCESS_KEY_ID_FILE")]
    gcs_access_key_id_file: Option<PathBuf>,

    /// HMAC secret for `gs://`.
    #[arg(long, env = "GCS_SECRET_ACCESS_KEY", hide_env_values = true)]
    gcs_secret_access_key: Option<Secret>,

    /// File with that secret.
    #[arg(long, env = "GCS_SECRET_ACCESS_KEY_FILE")]
    gcs_secret_access_key_file: Option<PathBuf>,

    /// What was read of all that, once.
    #[arg(skip)]
    read: OnceLock<Secrets>,
}

/// Secrets as they are used.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// What `tokens` takes apart; `None` where nobody is asked for one.
    pub(crate) tokens: Option<Given>,
    /// Id and secret.
    pub(crate) gcs: Option<(Secret, Secret)>,
}

impl SecretSettings {
    /// Whether nobody is let in without a token.
    pub(crate) fn asks_for_tokens(&self) -> bool {
        !self.tokens.is_empty() || self.tokens_file.is_some()
    }

    /// Reads the files, the first time.
    ///
    /// # Errors
    /// Names the variable, and the file if it is one.
    pub(crate) fn read(&self) -> Result<&Secrets> {
        if let Some(read) = self.read.get() {
            return Ok(read);
        }
        let joined = || self.tokens.iter().map(Secret::expose).collect::<Vec<_>>().join(",");
        let given = (!self.tokens.is_empty()).then(|| Secret::new(joined()));
        let tokens = Given::new("SERVER_TOKENS", given, self.tokens_file.clone(), long_enough)?;
        let of = |variable, value: &Option<Secret>, file: &Option<PathBuf>| {
            let given = Given::new(variable, value.clone(), file.clone(), one_line)?;
            anyhow::Ok(given.map(|given| given.now()))
        };
        let id = of("GCS_ACCESS_KEY_ID", &self.gcs_access_key_id, &self.gcs_access_key_id_file)?;
        let secret = of(
            "GCS_SECRET_ACCESS_KEY",
            &self.gcs_secret_access_key,
            &self.gcs_secret_access_key_file,
        )?;
        let gcs = match (id, secret) {
            (Some(id), Some(secret)) => Some((id, secret)),
            (None, None) => None,
            (Some(_), None) => bail!("GCS_ACCESS_KEY_ID is set without GCS_SECRET_ACCESS_KEY"),
            (None, Some(_)) => bail!("GCS_SECRET_ACCESS_KEY is set without GCS_ACCESS_KEY_ID"),
        };
        Ok(self.read.get_or_init(|| Secrets { tokens, gcs }))
    }
}

/// The tokens of a list.
pub(crate) fn tokens(list: &Secret) -> Vec<Secret> {
    let lines = list.expose().lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| line.split(',')).map(|token| Secret::new(token.trim())).collect()
}

fn long_enough(list: &Secret) -> Result<(), &'static str> {
    let tokens = tokens(list);
    if tokens.is_empty() || tokens.iter().any(|token| token.expose().len() < 16) {
        return Err("a token has fewer than 16 characters");
    }
    tokens.iter().try_for_each(one_line)
}
