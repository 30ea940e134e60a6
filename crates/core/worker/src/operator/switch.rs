//! Roles that receive nothing until an operator lets them go on.

use parallax_ports::Result;

use super::handle::Operator;
use super::step::{Done, Step};
use crate::Role;

/// Pauses a role in every process of the deployment, or lets it go on. Work that runs is not stopped.
///
/// # Errors
/// The ledger's.
pub async fn switch(operator: &Operator, role: Role, paused: bool, dry_run: bool) -> Result<Step> {
    let name = role.as_str();
    let changes = match dry_run {
        true => operator.switches.paused().await?.contains(name) != paused,
        false => operator.switches.set_paused(name, paused).await?,
    };
    let (done, why) = match (changes, paused) {
        (true, true) => (Done::Paused, "within three minutes it receives nothing more"),
        (true, false) => (Done::Resumed, "within three minutes it receives again"),
        (false, true) => (Done::Already, "it is paused"),
        (false, false) => (Done::Already, "it is not paused"),
    };
    Ok(Step { what: format!("role {name}"), done, why: why.to_owned() })
}
