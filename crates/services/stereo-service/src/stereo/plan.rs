//! What was read of a request: checked addresses and an engine's run.

use parallax_job::{Mode, Uri};
use parallax_serving::{Address, Credentials, Failure, Storage};
use parallax_stereo::{Capabilities, Run};
use serde_json::{Value, json};

use super::request::StereoRequest;

/// A request whose addresses may be used and whose options the engine takes.
#[derive(Debug)]
pub struct StereoPlan {
    pub(super) input: Address,
    /// The field that named it.
    pub(super) input_field: &'static str,
    pub(super) output: Uri,
    /// The field that named it.
    pub(super) output_field: &'static str,
    /// The caller's own store.
    pub(super) own: Option<Credentials>,
    pub(super) mode: Mode,
    /// What is asked of the engine.
    pub(super) run: Run,
    /// What tells the request from others, without credentials.
    pub(super) identity: Value,
}

impl StereoPlan {
    /// Reads a request.
    ///
    /// # Errors
    /// `Invalid` or `Forbidden`, naming the field, what was found and what is allowed.
    pub(super) fn of(
        request: StereoRequest,
        storage: &Storage,
        capabilities: &dyn Capabilities,
    ) -> Result<Self, Failure> {
        let own = request.storage.as_ref();
        let (input_text, input_field) = request.input()?;
        let input = storage.input(input_text, input_field, own)?;
        let (output_text, output_field) = request.output()?;
        let output = storage.output(output_text, output_field, own)?;
        if input == Address::Object(output.clone()) {
            return Err(Failure::field(output_field, "it is the input's address"));
        }
        request.validate(capabilities)?;
        let mut identity = request.identity();
        identity["input"] = input.identity(input_text);
        identity["output"] = json!(output_text);
        let (mode, run) = (request.mode, request.run());
        let own = request.storage;
        Ok(Self { input, input_field, output, output_field, own, mode, run, identity })
    }
}
