//! A job as the platform describes it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest id that is believed.
const LONGEST_ID: usize = 256;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The platform's name for it: 1 to 256 visible ASCII characters.
    pub id: String,
    /// What its sender asks for.
    #[serde(default)]
    pub input: Value,
    /// Whatever else the platform sent along: `webhook`, `s3Config`, `batchId`, ...
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Job {
    /// Reads a job, or says what is wrong with it.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let job: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if plain_id(&job.id) { Ok(job) } else { Err("its id is not plain text".to_owned()) }
    }
}

/// Whether an id can stand in a header and in an address.
pub(crate) fn plain_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_the_platform_sent_is_kept() {
        let sent = json!({"id": "a", "input": [1], "webhook": "w", "s3Config": {"k": null}});
        let job = Job::read(sent.clone()).unwrap();
        assert_eq!(job.rest["webhook"], "w");
        assert_eq!(serde_json::to_value(job).unwrap(), sent);
    }

    #[test]
    fn ids_that_no_address_can_carry_are_refused() {
        for id in ["", "a b", "a\nb", "é", &"x".repeat(257)] {
            assert!(Job::read(json!({"id": id, "input": {}})).is_err(), "{id:?}");
        }
        for bad in [json!({"input": {}}), json!({"id": 7}), json!("job"), json!(null)] {
            assert!(Job::read(bad.clone()).is_err(), "{bad}");
        }
    }
}
