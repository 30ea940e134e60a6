//! The engines that need no weights, by the names that users select them by.

use std::sync::Arc;

use crate::{Copy, Draft, Engine};

/// Names that [`engine`] knows.
pub const ENGINE_NAMES: &[&str] = &["copy", "draft"];

/// The engine called `name`, if it is one of [`ENGINE_NAMES`].
pub fn engine(name: &str) -> Option<Arc<dyn Engine>> {
    match name {
        "copy" => Some(Arc::new(Copy)),
        "draft" => Some(Arc::new(Draft)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_gives_the_engine_of_that_name() {
        for &name in ENGINE_NAMES {
            assert_eq!(engine(name).unwrap().name(), name);
        }
        assert!(engine("diffusion").is_none());
    }
}
