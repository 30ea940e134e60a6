//! What can be looked at, by its address. A page, its JSON and its events have the same one under other prefixes.

use std::fmt;

use parallax_job::{JobId, JobStatus};
use parallax_ports::Place;
use url::form_urlencoded;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// What needs an operator, what runs, and what was done last.
    Overview,
    /// The jobs in one status, newest first.
    Jobs {
        status: JobStatus,
        after: Option<Place>,
    },
    /// One job and its segments.
    Job(JobId),
    Permits,
    Queues,
    Replicas,
    /// What operators did, before a number.
    Acts {
        before: Option<u64>,
    },
}

impl Topic {
    /// Reads an address without its first slash; `None` when there is no such page.
    pub(crate) fn read(path: &str, query: &str) -> Option<Self> {
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
        };
        match path {
            "" => Some(Self::Overview),
            "jobs" => {
                let status = match parameter("status") {
                    Some(status) => status.parse().ok()?,
                    None => JobStatus::Failed,
                };
                let after = match parameter("after") {
                    Some(after) => Some(after.parse().ok()?),
                    None => None,
                };
                Some(Self::Jobs { status, after })
            }
            "permits" => Some(Self::Permits),
            "queues" => Some(Self::Queues),
            "replicas" => Some(Self::Replicas),
            "acts" => {
                let before = match parameter("before") {
                    Some(before) => Some(before.parse().ok()?),
                    None => None,
                };
                Some(Self::Acts { before })
            }
            _ => path.strip_prefix("jobs/")?.parse().ok().map(Self::Job),
        }
    }
}

impl fmt::Display for Topic {
    /// Its address without the first slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overview => Ok(()),
            Self::Jobs { status, after } => {
                write!(f, "jobs?status={status}")?;
                after.as_ref().map_or(Ok(()), |after| write!(f, "&after={after}"))
            }
            Self::Job(id) => write!(f, "jobs/{id}"),
            Self::Permits => f.write_str("permits"),
            Self::Queues => f.write_str("queues"),
            Self::Replicas => f.write_str("replicas"),
            Self::Acts { before: None } => f.write_str("acts"),
            Self::Acts { before: Some(before) } => write!(f, "acts?before={before}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written_and_nothing_else_is_one() {
        for (path, query) in [
            ("", ""),
            ("jobs", "status=failed"),
            ("jobs", "status=completed&after=1700000000123.a-b"),
            ("jobs/job-1", ""),
            ("permits", ""),
            ("queues", ""),
            ("replicas", ""),
            ("acts", ""),
            ("acts", "before=7"),
        ] {
            let topic = Topic::read(path, query).unwrap();
            let written = topic.to_string();
            let (path, query) = written.split_once('?').unwrap_or((&written, ""));
            assert_eq!(Topic::read(path, query), Some(topic));
        }
        for (path, query) in [
            ("jobs", "status=lost"),
            ("jobs", "status=failed&after=x"),
            ("acts", "before=-1"),
            ("jobs/", ""),
            ("jobs/..", ""),
            ("jobs/../../etc/passwd", ""),
            ("jobs/a/b", ""),
            ("jobs/<b>", ""),
            ("elsewhere", ""),
        ] {
            assert_eq!(Topic::read(path, query), None, "{path}?{query}");
        }
    }
}
