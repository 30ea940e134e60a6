//! Operations of the earlier service whose models are not here: always refused, in its words.

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use serde_json::{Map, Value};

use super::shared::invalid;
use crate::stored::NO_WORDS;

/// An operation that is refused.
#[derive(Debug)]
pub(super) struct Refused {
    name: &'static str,
    summary: &'static str,
    why: &'static str,
}

pub(super) const EMBED_TEXT: Refused = Refused {
    name: "embed_text",
    summary: "Always refused: the network knows pictures, not words.",
    why: NO_WORDS,
};

#[async_trait]
impl Operation for Refused {
    type Request = Map<String, Value>;
    type Plan = ();
    type Part = NoParts;
    type Response = Map<String, Value>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn plan(&self, _: Map<String, Value>) -> Result<(), Failure> {
        Err(invalid(self.why))
    }

    fn cost(&self, (): &()) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, (): (), _: &Call) -> Result<Map<String, Value>, Failure> {
        Err(invalid(self.why))
    }
}
