//! What an operator may do here: the acts of the command line, by the same names.

use parallax_job::JobId;
use parallax_worker::Role;

/// An act and what it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Sets a job's failed segments and dead letters going again.
    RedriveJob(JobId),
    /// Sends dead letters back to where they came from.
    RedriveLetters,
    Cancel(JobId),
    Delete(JobId),
    Pause(Role),
    Resume(Role),
}

/// How it is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Also while the job is not over.
    pub(crate) force: bool,
    /// Why.
    pub(crate) because: Option<String>,
}

impl Deed {
    /// Reads an address after its prefix; `None` when there is no such act.
    pub(crate) fn read(path: &str) -> Option<Self> {
        let (verb, what) = path.split_once('/').unwrap_or((path, ""));
        let job = || what.parse().ok();
        let role = || Role::RECEIVING.into_iter().find(|role| role.as_str() == what);
        match verb {
            "redrive" if what.is_empty() => Some(Self::RedriveLetters),
            "redrive" => job().map(Self::RedriveJob),
            "cancel" => job().map(Self::Cancel),
            "delete" => job().map(Self::Delete),
            "pause" => role().map(Self::Pause),
            "resume" => role().map(Self::Resume),
            _ => None,
        }
    }

    /// Its address after its prefix.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::RedriveJob(job) => format!("redrive/{job}"),
            Self::RedriveLetters => "redrive".to_owned(),
            Self::Cancel(job) => format!("cancel/{job}"),
            Self::Delete(job) => format!("delete/{job}"),
            Self::Pause(role) => format!("pause/{}", role.as_str()),
            Self::Resume(role) => format!("resume/{}", role.as_str()),
        }
    }

    /// The command that does the same.
    pub(crate) fn command(&self, manner: &Manner) -> String {
        let mut line = match self {
            Self::RedriveJob(job) => format!("redrive --job {job}"),
            Self::RedriveLetters => "redrive".to_owned(),
            Self::Cancel(job) => format!("cancel {job}"),
            Self::Delete(job) => format!("delete {job}"),
            Self::Pause(role) => format!("pause {}", role.as_str()),
            Self::Resume(role) => format!("resume {}", role.as_str()),
        };
        if self.takes_force() && manner.force {
            line += " --force";
        }
        if let Some(because) = manner.because.as_ref().filter(|_| self.takes_reason()) {
            line += &format!(" --because {because:?}");
        }
        line
    }

    /// What the button says.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::RedriveJob(_) => "Redrive",
            Self::RedriveLetters => "Redrive dead letters",
            Self::Cancel(_) => "Cancel",
            Self::Delete(_) => "Delete",
            Self::Pause(_) => "Pause",
            Self::Resume(_) => "Resume",
        }
    }

    /// What it does, in a sentence.
    pub(crate) fn meaning(&self) -> &'static str {
        match self {
            Self::RedriveJob(_) => {
                "The failed segments of the job may be attempted again, and its dead letters go back to where they \
                 came from."
            }
            Self::RedriveLetters => {
                "Dead letters that make sense go back to the queues that they came from; the others stay."
            }
            Self::Cancel(_) => {
                "The job fails, so that nothing of it begins any more. Attempts that run go on to their end."
            }
            Self::Delete(_) => {
                "The objects of the job and all that is recorded of it are removed. This cannot be taken back."
            }
            Self::Pause(_) => {
                "Within three minutes no process receives anything for this role. Work that runs goes on."
            }
            Self::Resume(_) => "Within three minutes work is received for this role again.",
        }
    }

    /// Whether nothing brings back what it removes.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Delete(_) | Self::Cancel(_))
    }

    pub(crate) fn takes_force(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    pub(crate) fn takes_reason(&self) -> bool {
        matches!(self, Self::Cancel(_))
    }

    /// The page that shows what it was done to.
    pub(crate) fn back(&self) -> String {
        match self {
            Self::RedriveJob(job) | Self::Cancel(job) | Self::Delete(job) => {
                format!("/jobs/{job}")
            }
            Self::RedriveLetters | Self::Pause(_) | Self::Resume(_) => "/queues".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_read_as_it_is_written_and_nothing_else_is_one() {
        let paths = ["redrive", "redrive/j", "cancel/j", "delete/j", "pause/segments"];
        for path in paths {
            assert_eq!(Deed::read(path).unwrap().path(), path);
        }
        for path in [
            "",
            "delete",
            "delete/",
            "delete/..",
            "delete/a/b",
            "pause",
            "pause/reconcile",
            "pause/x",
            "release/j",
            "redrive/../x",
        ] {
            assert_eq!(Deed::read(path), None, "{path}");
        }
        let manner = Manner { force: true, because: Some("it's \"wrong\"".to_owned()) };
        let cancel = Deed::read("cancel/j").unwrap();
        assert_eq!(cancel.command(&manner), r#"cancel j --because "it's \"wrong\"""#);
        assert_eq!(Deed::read("delete/j").unwrap().command(&manner), "delete j --force");
        assert_eq!(Deed::read("redrive/j").unwrap().command(&manner), "redrive --job j");
    }
}
