//! Which loops a process runs.

use std::collections::BTreeSet;
use std::str::FromStr;

/// One loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Drives segments through the backend.
    Segments,
    /// Turns evidence of outcomes into completions.
    OutputEvents,
    /// Cuts sources into segments.
    Chunking,
    /// Joins results into final files.
    Reassembly,
    /// Repairs what lost events and crashes left behind.
    Reconcile,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] =
        [Role::Segments, Role::OutputEvents, Role::Chunking, Role::Reassembly, Role::Reconcile];

    /// Those that receive from a queue.
    pub const RECEIVING: [Role; 4] =
        [Role::Segments, Role::OutputEvents, Role::Chunking, Role::Reassembly];

    /// The name in `--roles`, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Segments => "segments",
            Role::OutputEvents => "output-events",
            Role::Chunking => "chunking",
            Role::Reassembly => "reassembly",
            Role::Reconcile => "reconcile",
        }
    }
}

/// A set of roles, from a comma-separated list or `all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

/// Text that is not a list of roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleError(String);

impl std::fmt::Display for RoleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "role {:?}: allowed are all, segments, output-events, chunking, reassembly, reconcile",
            self.0
        )
    }
}

impl std::error::Error for RoleError {}

impl Roles {
    /// Every role.
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// Whether `role` is among them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The roles, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl FromStr for Roles {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        if text.trim() == "all" {
            return Ok(Self::all());
        }
        let role = |name: &str| {
            let found = Role::ALL.into_iter().find(|role| role.as_str() == name.trim());
            found.ok_or_else(|| RoleError(name.to_owned()))
        };
        text.split(',').map(role).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_unknown_names_are_named() {
        let roles: Roles = "segments, output-events".parse().unwrap();
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Segments, Role::OutputEvents]);
        assert_eq!("all".parse::<Roles>().unwrap(), Roles::all());
        assert!("".parse::<Roles>().is_err());
        let error = "segments,oops".parse::<Roles>().unwrap_err();
        assert!(error.to_string().contains("\"oops\""));
    }
}
