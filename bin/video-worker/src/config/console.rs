//! What the console may be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use clap::Args;
use parallax_secret::{Given, Secret, one_line};
use parallax_telemetry::HostName;

/// The shortest token: of letters and digits that nobody guesses in the lifetime of a deployment.
const SHORTEST_TOKEN: usize = 16;

/// Where the operator's console is served, and to whom.
#[derive(Debug, Args)]
pub(crate) struct ConsoleSettings {
    /// Where the operator's console is served; port 0 picks one. Beyond loopback it needs
    /// `WORKER_CONSOLE_TOKEN`. Defaults to nowhere.
    #[arg(long, env = "WORKER_CONSOLE_ADDRESS")]
    pub(crate) console_address: Option<SocketAddr>,

    /// Names by which browsers may ask for it besides `localhost` and addresses, separated by commas.
    /// Defaults to none.
    #[arg(long, env = "WORKER_CONSOLE_HOSTS", value_delimiter = ',')]
    pub(crate) console_hosts: Vec<HostName>,

    /// What lets an operator act there: redrive, cancel, delete, pause. 16 characters or more. On
    /// loopback everybody reads without it; elsewhere nobody does.
    #[arg(long, env = "WORKER_CONSOLE_TOKEN", hide_env_values = true)]
    pub(crate) console_token: Option<Secret>,

    /// File with that token, which SIGHUP has the process read again.
    #[arg(long, env = "WORKER_CONSOLE_TOKEN_FILE")]
    pub(crate) console_token_file: Option<PathBuf>,

    /// The token, once somebody has asked for it.
    #[arg(skip)]
    token: OnceLock<Option<Given>>,
}

impl ConsoleSettings {
    /// The token, the same one whoever asks.
    ///
    /// # Errors
    /// Names the variable, and the file if it is one.
    pub(crate) fn token(&self) -> Result<Option<Given>> {
        if let Some(token) = self.token.get() {
            return Ok(token.clone());
        }
        let (value, file) = (self.console_token.clone(), self.console_token_file.clone());
        let given = Given::new("WORKER_CONSOLE_TOKEN", value, file, check)?;
        Ok(self.token.get_or_init(|| given).clone())
    }

    /// Whether `address` may be listened on.
    ///
    /// # Errors
    /// When anybody beyond this machine could read without a token.
    pub(crate) fn allow(&self, address: SocketAddr) -> Result<()> {
        if !address.ip().is_loopback() && self.token()?.is_none() {
            bail!(
                "WORKER_CONSOLE_ADDRESS {address}: is beyond this machine: set WORKER_CONSOLE_TOKEN, or listen on \
                 127.0.0.1"
            );
        }
        Ok(())
    }
}

fn check(token: &Secret) -> Result<(), &'static str> {
    one_line(token)?;
    match token.expose().len() {
        SHORTEST_TOKEN.. => Ok(()),
        _ => Err("16 characters or more are allowed: a shorter one can be guessed"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::Parser;

    fn settings(arguments: &[&str]) -> ConsoleSettings {
        let all = ["video-worker"].iter().chain(arguments);
        Cli::try_parse_from(all).unwrap().settings.console
    }

    #[test]
    fn it_is_off_by_default_and_beyond_loopback_only_with_a_token() {
        assert_eq!(settings(&[]).console_address, None);
        let (near, far) = ("127.0.0.1:8018".parse().unwrap(), "0.0.0.0:8018".parse().unwrap());
        let open = settings(&[]);
        open.allow(near).unwrap();
        open.allow("[::1]:0".parse().unwrap()).unwrap();
        let why = open.allow(far).unwrap_err().to_string();
        assert!(
            why.contains("WORKER_CONSOLE_ADDRESS 0.0.0.0:8018") && why.contains("_TOKEN"),
            "{why}"
        );
        settings(&["--console-token", "0123456789abcdef"]).allow(far).unwrap();
        let why = settings(&["--console-token", "0123456789abcde"]).allow(far).unwrap_err();
        let why = why.to_string();
        assert!(why.starts_with("WORKER_CONSOLE_TOKEN: 16 characters or more"), "{why}");
        assert!(!why.contains("0123456789"), "{why}");
    }
}
