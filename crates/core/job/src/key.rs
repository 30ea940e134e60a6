//! Object keys: one parser and one builder, each the other's inverse.

use std::fmt;
use std::str::FromStr;

use crate::{JobId, MAX_SEGMENTS, Mode, Segment};

/// Every object that the pipeline names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// `input/{job_id}/source.mp4`, input bucket.
    Source(JobId),
    /// `segments/{job_id}/{index:05}_{total:05}_{mode}.mp4`, input bucket.
    Segment(Segment),
    /// `jobs/{job_id}/segments/{index}.mp4`, output bucket: where a segment's result goes.
    Result {
        /// The job.
        job_id: JobId,
        /// The segment's index.
        index: u32,
    },
    /// `jobs/{job_id}/final.mp4`, output bucket.
    Final(JobId),
    /// `jobs/{job_id}/.reassembly-done`, output bucket.
    ReassemblyDone(JobId),
    /// `sagemaker-invocation-requests/{job_id}/{index}.json`, output bucket.
    InvocationRequest {
        /// The job.
        job_id: JobId,
        /// The segment's index.
        index: u32,
    },
    /// `sagemaker-async-responses/...`, output bucket; the rest is SageMaker's choice.
    AsyncResponse(String),
    /// `sagemaker-async-failures/...`, output bucket; the rest is SageMaker's choice.
    AsyncFailure(String),
}

/// A key that the pipeline did not name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object key {found:?}: {why}")]
pub struct KeyError {
    found: String,
    why: &'static str,
}

const RESPONSES: &str = "sagemaker-async-responses/";
const FAILURES: &str = "sagemaker-async-failures/";

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        parse(key).map_err(|why| KeyError { found: key.chars().take(256).collect(), why })
    }
}

fn parse(key: &str) -> Result<ObjectKey, &'static str> {
    // S3's own limit; also bounds everything below.
    if key.len() > 1024 {
        return Err("longer than 1024 bytes");
    }
    if let Some(rest) = key.strip_prefix(RESPONSES) {
        return free_name(rest).map(ObjectKey::AsyncResponse);
    }
    if let Some(rest) = key.strip_prefix(FAILURES) {
        return free_name(rest).map(ObjectKey::AsyncFailure);
    }
    let parts: Vec<&str> = key.split('/').collect();
    match parts[..] {
        ["input", job, "source.mp4"] => Ok(ObjectKey::Source(job_id(job)?)),
        ["segments", job, name] => Ok(ObjectKey::Segment(segment(job_id(job)?, name)?)),
        ["jobs", job, "segments", name] => {
            Ok(ObjectKey::Result { job_id: job_id(job)?, index: index(name, ".mp4")? })
        }
        ["jobs", job, "final.mp4"] => Ok(ObjectKey::Final(job_id(job)?)),
        ["jobs", job, ".reassembly-done"] => Ok(ObjectKey::ReassemblyDone(job_id(job)?)),
        ["sagemaker-invocation-requests", job, name] => {
            Ok(ObjectKey::InvocationRequest { job_id: job_id(job)?, index: index(name, ".json")? })
        }
        _ => Err("not one of the pipeline's keys"),
    }
}

fn job_id(text: &str) -> Result<JobId, &'static str> {
    text.parse().map_err(|_| "the job_id must be 1 to 128 of A-Z, a-z, 0-9, '_' and '-'")
}

fn free_name(rest: &str) -> Result<String, &'static str> {
    let safe = |part: &str| !part.is_empty() && part != "." && part != "..";
    if rest.split('/').all(safe) && !rest.chars().any(char::is_control) {
        Ok(rest.to_owned())
    } else {
        Err("empty, relative or unprintable parts are not allowed")
    }
}

fn segment(job_id: JobId, name: &str) -> Result<Segment, &'static str> {
    const SHAPE: &str = "a segment's name is {index:05}_{total:05}_{anaglyph|sbs}.mp4";
    let stem = name.strip_suffix(".mp4").ok_or(SHAPE)?;
    let mut parts = stem.splitn(3, '_');
    let mut five = || {
        let text = parts.next().filter(|t| t.len() == 5 && t.bytes().all(|b| b.is_ascii_digit()));
        text.and_then(|t| t.parse::<u32>().ok()).ok_or(SHAPE)
    };
    let (index, total) = (five()?, five()?);
    let mode: Mode = parts.next().ok_or(SHAPE)?.parse().map_err(|_| SHAPE)?;
    Segment::new(job_id, index, total, mode)
        .map_err(|_| "the segment's index is not below its total")
}

fn index(name: &str, suffix: &str) -> Result<u32, &'static str> {
    const SHAPE: &str = "expected {index} without leading zeros, below 99999";
    let digits = name.strip_suffix(suffix).ok_or(SHAPE)?;
    let plain =
        digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let value: u32 = digits.parse().map_err(|_| SHAPE)?;
    if plain && value < MAX_SEGMENTS { Ok(value) } else { Err(SHAPE) }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(job) => write!(f, "input/{job}/source.mp4"),
            Self::Segment(Segment { job_id, total, index, mode }) => {
                write!(f, "segments/{job_id}/{index:05}_{total:05}_{mode}.mp4")
            }
            Self::Result { job_id, index } => write!(f, "jobs/{job_id}/segments/{index}.mp4"),
            Self::Final(job) => write!(f, "jobs/{job}/final.mp4"),
            Self::ReassemblyDone(job) => write!(f, "jobs/{job}/.reassembly-done"),
            Self::InvocationRequest { job_id, index } => {
                write!(f, "sagemaker-invocation-requests/{job_id}/{index}.json")
            }
            Self::AsyncResponse(rest) => write!(f, "{RESPONSES}{rest}"),
            Self::AsyncFailure(rest) => write!(f, "{FAILURES}{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = ObjectKey> {
        let job = "[A-Za-z0-9_-]{1,128}".prop_map(|s| s.parse::<JobId>().unwrap());
        let segment = (job.clone(), 1..=MAX_SEGMENTS, any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(job, total, index, sbs)| {
                let mode = if sbs { Mode::Sbs } else { Mode::Anaglyph };
                Segment::new(job, index.index(total as usize) as u32, total, mode).unwrap()
            });
        let index = 0..MAX_SEGMENTS;
        prop_oneof![
            job.clone().prop_map(ObjectKey::Source),
            segment.prop_map(ObjectKey::Segment),
            (job.clone(), index.clone())
                .prop_map(|(job_id, index)| ObjectKey::Result { job_id, index }),
            job.clone().prop_map(ObjectKey::Final),
            job.clone().prop_map(ObjectKey::ReassemblyDone),
            (job, index).prop_map(|(job_id, index)| ObjectKey::InvocationRequest { job_id, index }),
            "[a-z0-9-]{1,20}(/[a-z0-9-]{1,20}){0,3}\\.out".prop_map(ObjectKey::AsyncResponse),
            "[a-z0-9-]{1,40}-error\\.out".prop_map(ObjectKey::AsyncFailure),
        ]
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed_back(key in keys()) {
            prop_assert_eq!(key.to_string().parse::<ObjectKey>().unwrap(), key);
        }

        #[test]
        fn whatever_parses_is_spelled_in_one_way(text in "(segments|jobs|input|sagemaker-async-responses)?[/0-9a-z_.]{0,40}(\\.mp4)?") {
            if let Ok(key) = text.parse::<ObjectKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = text.parse::<ObjectKey>();
        }
    }

    #[test]
    fn the_contract_spells_keys_like_this() {
        let key: ObjectKey = "segments/job-1/00002_00010_sbs.mp4".parse().unwrap();
        let ObjectKey::Segment(segment) = key else { panic!("{key:?}") };
        assert_eq!((segment.index, segment.total, segment.mode), (2, 10, Mode::Sbs));
        for bad in [
            "segments/a/b/00000_00001_sbs.mp4",
            "segments/../00000_00001_sbs.mp4",
            "segments/a/00001_00001_sbs.mp4",
            "segments/a/0_1_sbs.mp4",
            "segments/a/00000_00001_sbs.mp4\n",
            "segments/a/00000_00001_vr.mp4",
            "segments/a/+0000_00001_sbs.mp4",
            "jobs/a/segments/01.mp4",
            "jobs/a/segments/-1.mp4",
            "sagemaker-async-responses/../x",
            "sagemaker-async-responses/",
            "",
        ] {
            assert!(bad.parse::<ObjectKey>().is_err(), "{bad:?}");
        }
    }
}
