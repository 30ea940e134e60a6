//! The operations by name, with their types erased: JSON in, JSON out.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::operation::{Call, Cost, Operation};
use crate::{Failure, FailureKind, NoParts};

/// What is known of an operation without running it.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// JSON schema (2020-12) of what is asked.
    pub request: Schema,
    /// JSON schema (2020-12) of what is answered.
    pub response: Schema,
    /// JSON schema (2020-12) of what is told before the answer, where anything is.
    pub part: Option<Schema>,
}

/// Operations by name.
#[derive(Default)]
pub struct Registry {
    operations: BTreeMap<&'static str, (Description, Arc<dyn Erased>)>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.operations.keys()).finish()
    }
}

impl Registry {
    /// Adds an operation; one of the same name is replaced.
    #[must_use]
    pub fn with<O: Operation>(mut self, operation: O) -> Self {
        let description = Description {
            name: operation.name(),
            summary: operation.summary(),
            request: schema::<O::Request>(),
            response: schema::<O::Response>(),
            part: (TypeId::of::<O::Part>() != TypeId::of::<NoParts>()).then(schema::<O::Part>),
        };
        let erased = Arc::new(Typed(Arc::new(operation)));
        self.operations.insert(description.name, (description, erased));
        self
    }

    /// Every operation, by name.
    pub fn descriptions(&self) -> impl Iterator<Item = &Description> {
        self.operations.values().map(|(description, _)| description)
    }

    /// Whether an operation tells parts of its answer before the whole.
    pub fn tells_parts(&self, name: &str) -> bool {
        self.operations.get(name).is_some_and(|(description, _)| description.part.is_some())
    }

    /// The name as the registry holds it, which may be a metric's label.
    pub fn name(&self, name: &str) -> Option<&'static str> {
        self.operations.get_key_value(name).map(|(name, _)| *name)
    }

    /// Reads and checks a request.
    pub(crate) fn read(&self, name: &str, input: Value) -> Result<Box<dyn Ready>, Failure> {
        let Some((_, operation)) = self.operations.get(name) else {
            let known: Vec<&str> = self.operations.keys().copied().collect();
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let message = format!("{shown:?}: allowed are {}", known.join(", "));
            let failure = Failure::field("operation", message);
            return Err(Failure { kind: FailureKind::NotFound, ..failure });
        };
        operation.read(input)
    }
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

/// An operation whose types are known to nobody.
trait Erased: Send + Sync {
    fn read(&self, input: Value) -> Result<Box<dyn Ready>, Failure>;
}

/// A request that was read and checked, together with its operation.
#[async_trait]
pub(crate) trait Ready: Send + Sync {
    fn name(&self) -> &'static str;
    fn cost(&self) -> Cost;
    fn identity(&self) -> Option<Value>;
    async fn still_holds(&self, response: &Value) -> bool;
    async fn recall(&self) -> Option<Value>;
    async fn run(self: Box<Self>, call: &Call) -> Result<Value, Failure>;
}

struct Typed<O>(Arc<O>);

struct Planned<O: Operation> {
    operation: Arc<O>,
    plan: O::Plan,
}

impl<O: Operation> Erased for Typed<O> {
    fn read(&self, input: Value) -> Result<Box<dyn Ready>, Failure> {
        if !input.is_object() {
            return Err(Failure::new(FailureKind::Invalid, "the request must be a JSON object"));
        }
        let request: O::Request = serde_path_to_error::deserialize(input).map_err(|error| {
            let path = error.path().to_string();
            let what = printable(&unquoted(&error.inner().to_string()));
            match path.as_str() {
                "." => Failure::new(FailureKind::Invalid, what),
                _ => Failure::field(printable(&path), what),
            }
        })?;
        let plan = self.0.plan(request)?;
        Ok(Box::new(Planned { operation: self.0.clone(), plan }))
    }
}

/// A parser's words without the text that it found, which may be a secret in the wrong place.
fn unquoted(words: &str) -> String {
    match (words.split_once(" string \""), words.rsplit_once("\", expected ")) {
        (Some((before, _)), Some((_, after))) => format!("{before} string, expected {after}"),
        _ => words.to_owned(),
    }
}

/// A parser's words, which quote the request, without anything that a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[async_trait]
impl<O: Operation> Ready for Planned<O> {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cost(&self) -> Cost {
        self.operation.cost(&self.plan)
    }

    fn identity(&self) -> Option<Value> {
        self.operation.identity(&self.plan)
    }

    async fn still_holds(&self, response: &Value) -> bool {
        self.operation.still_holds(&self.plan, response).await
    }

    async fn recall(&self) -> Option<Value> {
        let response = self.operation.recall(&self.plan).await?;
        serde_json::to_value(response).ok()
    }

    async fn run(self: Box<Self>, call: &Call) -> Result<Value, Failure> {
        let response = self.operation.run(self.plan, call).await?;
        serde_json::to_value(response).map_err(|error| Failure::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsers_words_do_not_repeat_what_it_found() {
        let words = "invalid type: string \"a \\\"canary\\\", expected b\", expected u64";
        assert_eq!(unquoted(words), "invalid type: string, expected u64");
        let words = "unknown variant `x`, expected `anaglyph` or `sbs`";
        assert_eq!(unquoted(words), words);
    }
}
