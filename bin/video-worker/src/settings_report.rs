//! The effective configuration, a line for each variable, and errors that name the variable.

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use tracing::info;

/// Logs every variable's value and where it came from. A secret's value is not shown.
pub(crate) fn log(command: &Command, matches: &ArgMatches) {
    for arg in command.get_arguments() {
        let Some(variable) = arg.get_env() else { continue };
        let id = arg.get_id().as_str();
        let Some(values) = matches.get_raw(id) else { continue };
        let value = if arg.is_hide_env_values_set() {
            "[redacted]".to_owned()
        } else {
            let all = values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
            without_credentials(&all)
        };
        let source = match matches.value_source(id) {
            Some(ValueSource::EnvVariable) => "environment",
            Some(ValueSource::CommandLine) => "flag",
            _ => "default",
        };
        info!(variable = %variable.to_string_lossy(), value, source, "configuration");
    }
}

/// What is shown of a value that may hold addresses: no user and no password, which are refused only later.
fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(host)) if scheme < host => {
            format!("{}://[redacted]{}", &text[..scheme], &text[host..])
        }
        _ => text.to_owned(),
    }
}

/// Whether a flag or a variable gave a setting its value.
pub(crate) fn is_said(matches: &ArgMatches, id: &str) -> bool {
    matches!(matches.value_source(id), Some(ValueSource::EnvVariable | ValueSource::CommandLine))
}

/// The variable of the flag that an error is about.
pub(crate) fn variable(command: &Command, error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = flag.split([' ', '=', '[']).next()?.strip_prefix("--")?;
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag))?;
    Some(arg.get_env()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_opens_it() {
        for (value, shown) in [
            ("https://a.example/b,http://c", "https://a.example/b,http://c"),
            ("https://me:canary@a.example/b", "https://[redacted]@a.example/b"),
            ("https://a,https://me:can/a,ry@b", "https://[redacted]@b"),
            ("me@example", "me@example"),
        ] {
            assert_eq!(without_credentials(value), shown);
        }
    }
}
