//! What an answer takes in memory.

use serde_json::Value;

/// Bytes of a value's own node, whatever it is.
const NODE: usize = 32;

/// Bytes of `value` in memory, about; not counted further than `most`, so that a large one costs no time.
pub(crate) fn weight(value: &Value, most: usize) -> usize {
    let mut total = NODE;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => total += text.len(),
        Value::Array(values) => {
            for value in values {
                if total > most {
                    break;
                }
                total += weight(value, most - total.min(most));
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if total > most {
                    break;
                }
                total += NODE + name.len() + weight(value, most - total.min(most));
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn small_answers_are_counted_and_large_ones_are_not_counted_to_their_end() {
        assert_eq!(weight(&json!(null), 100), 32);
        assert_eq!(weight(&json!("abc"), 100), 35);
        assert_eq!(weight(&json!([1, 2]), 1000), 96);
        assert_eq!(weight(&json!({ "ab": 1 }), 1000), 98);
        let large = json!(vec![vec![0.5; 1000]; 1000]);
        assert!((1000..2000).contains(&weight(&large, 1000)));
    }
}
