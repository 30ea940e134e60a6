//! Reading and writing DynamoDB items by attribute, and building expressions over them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use parallax_job::Timestamp;
use parallax_ports::{Error, Kind, Result};

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn s(text: impl ToString) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Attributes of one item, with errors that name the item and the attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub(super) item: &'a Item,
    pub(super) what: &'a str,
}

impl<'a> Attributes<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.item.get(name)?.as_s().ok().map(String::as_str)
    }

    /// A whole number; other writers may have stored one with a fraction.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let text = self.item.get(name)?.as_n().ok()?;
        let rounded = || text.parse::<f64>().ok().map(|value| value.floor() as i64);
        text.parse().ok().or_else(rounded)
    }

    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn small(&self, name: &str) -> Option<u32> {
        self.number(name)?.try_into().ok()
    }

    /// A time in milliseconds from `name` + `_ms`, where that is there and not older than the
    /// contract's own attribute in whole seconds; else from the latter.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let exact = self.number(&format!("{name}_ms")).map(Timestamp);
        match (self.number(name), exact) {
            (Some(seconds), Some(exact)) if exact.unix_seconds() == seconds => Some(exact),
            (Some(seconds), _) => Some(Timestamp(seconds.saturating_mul(1000))),
            (None, exact) => exact,
        }
    }

    /// The value, or an error that says what is wrong with the item.
    pub(super) fn need<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            let found = self.item.get(name);
            let text =
                format!("{}: attribute {name} is missing or malformed: {found:?}", self.what);
            Error::new(Kind::Rejected, text)
        })
    }
}

/// An expression in the making, with its names and values.
#[derive(Debug, Default)]
pub(super) struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    conditions: Vec<String>,
}

impl Expression {
    /// A placeholder for an attribute's name; names are never written plainly.
    pub(super) fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        let known = self.names.iter().find(|(_, name)| *name == attribute);
        if let Some((placeholder, _)) = known {
            return placeholder.clone();
        }
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    /// A placeholder for a value.
    pub(super) fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    pub(super) fn set(&mut self, path: &str, value: AttributeValue) {
        let value = self.value(value);
        self.set.push(format!("{path} = {value}"));
    }

    pub(super) fn set_attribute(&mut self, attribute: &str, value: AttributeValue) {
        let path = self.name(attribute);
        self.set(&path, value);
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.remove.push(path.to_owned());
    }

    pub(super) fn remove_attribute(&mut self, attribute: &str) {
        let path = self.name(attribute);
        self.remove.push(path);
    }

    pub(super) fn add(&mut self, attribute: &str, value: AttributeValue) {
        let (path, value) = (self.name(attribute), self.value(value));
        self.add.push(format!("{path} {value}"));
    }

    pub(super) fn require(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    pub(super) fn require_absent(&mut self, attribute: &str) {
        let path = self.name(attribute);
        self.require(format!("attribute_not_exists({path})"));
    }

    /// The attribute must have this value, or be absent for `None`.
    pub(super) fn require_same(&mut self, attribute: &str, value: Option<&AttributeValue>) {
        match value {
            None => self.require_absent(attribute),
            Some(value) => {
                let (path, value) = (self.name(attribute), self.value(value.clone()));
                self.require(format!("{path} = {value}"));
            }
        }
    }

    pub(super) fn update(&self) -> String {
        let part = |verb: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{verb} {} ", parts.join(", ")),
        };
        let set = part("SET", &self.set);
        format!("{set}{}{}", part("REMOVE", &self.remove), part("ADD", &self.add))
    }

    pub(super) fn changes_something(&self) -> bool {
        !(self.set.is_empty() && self.remove.is_empty() && self.add.is_empty())
    }

    pub(super) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    pub(super) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_each_attribute_once() {
        let mut e = Expression::default();
        e.set_attribute("status", s("failed"));
        e.require_same("status", Some(&s("created")));
        e.require_absent("version");
        e.remove_attribute("old");
        assert_eq!(e.update().trim(), "SET #n0 = :v0 REMOVE #n2");
        assert_eq!(e.condition().unwrap(), "#n0 = :v1 AND attribute_not_exists(#n1)");
        assert_eq!(e.names().unwrap().len(), 3);
    }

    #[test]
    fn exact_times_are_believed_while_they_agree() {
        let item = Item::from([
            ("a".to_owned(), n(1_700_000_000)),
            ("a_ms".to_owned(), n(1_700_000_000_123i64)),
            ("b".to_owned(), n("1700000001.75")),
            ("b_ms".to_owned(), n(1_700_000_000_123i64)),
        ]);
        let read = Attributes { item: &item, what: "x" };
        assert_eq!(read.time("a"), Some(Timestamp(1_700_000_000_123)));
        assert_eq!(read.time("b"), Some(Timestamp(1_700_000_001_000)), "somebody moved it since");
        assert_eq!(read.time("c"), None);
    }
}
