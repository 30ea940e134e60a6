//! What a person decides of a conversion, and how the command line says it.

use std::path::Path;

use parallax_stereo::Layout;
use parallax_web::Refusal;
use serde::{Deserialize, Serialize};

/// An engine that the page offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineChoice {
    /// As `--engine` names it.
    pub name: String,
    /// A few words that tell it from the others.
    pub about: String,
    /// The command that brings what it lacks on this machine; `None` where it is ready.
    pub missing: Option<String>,
}

/// What is chosen for a conversion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// As `--engine` names it.
    pub engine: String,
    /// Strength: the range of parallax in percent of the width, 0 to 10.
    pub disparity_percent: f32,
    /// The depth that appears at the screen, 0 (the farthest) to 1.
    pub convergence: f32,
    /// How the eyes share the picture, as `--layout` names it.
    #[serde(with = "layout_name")]
    pub layout: Layout,
}

mod layout_name {
    use parallax_stereo::Layout;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(layout: &Layout, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(layout)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Layout, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Look {
    /// # Errors
    /// 422 naming the field, what was found and what is allowed.
    pub(crate) fn check(&self, engines: &[EngineChoice]) -> Result<(), Refusal> {
        if !engines.iter().any(|engine| engine.name == self.engine) {
            let names: Vec<&str> = engines.iter().map(|engine| &*engine.name).collect();
            let allowed = names.join(", ");
            return Err(Refusal::unusable(format!("engine: allowed are {allowed}")));
        }
        if !(0.0..=10.0).contains(&self.disparity_percent) {
            return Err(Refusal::unusable("disparity_percent: allowed are 0 to 10"));
        }
        if !(0.0..=1.0).contains(&self.convergence) {
            return Err(Refusal::unusable("convergence: allowed are 0 to 1"));
        }
        Ok(())
    }

    /// The options of `convert` that say it.
    pub(crate) fn options(&self) -> Vec<String> {
        [
            ("--engine", self.engine.clone()),
            ("--disparity", format!("{}%", self.disparity_percent)),
            ("--convergence", self.convergence.to_string()),
            ("--layout", self.layout.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// The line for a person's shell that does the same to `input`.
    pub(crate) fn command_line(&self, input: &Path) -> String {
        let mut line = format!("parallax convert {}", quoted(&input.to_string_lossy()));
        for word in self.options() {
            line.push(' ');
            line.push_str(&quoted(&word));
        }
        line
    }
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./%=:,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look {
            engine: "draft".to_owned(),
            disparity_percent: 2.5,
            convergence: 0.4,
            layout: Layout::HalfSbs,
        }
    }

    #[test]
    fn the_command_line_is_for_a_shell() {
        assert_eq!(
            look().command_line(Path::new("/a/it's $(rm).mp4")),
            r"parallax convert '/a/it'\''s $(rm).mp4' --engine draft --disparity 2.5% --convergence 0.4 --layout half-sbs"
        );
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused() {
        let draft = EngineChoice { name: "draft".to_owned(), about: String::new(), missing: None };
        let engines = [draft];
        assert!(look().check(&engines).is_ok());
        assert!(Look { engine: "--help".to_owned(), ..look() }.check(&engines).is_err());
        assert!(Look { disparity_percent: 10.5, ..look() }.check(&engines).is_err());
        assert!(Look { disparity_percent: f32::NAN, ..look() }.check(&engines).is_err());
        assert!(Look { convergence: -0.1, ..look() }.check(&engines).is_err());
        let unknown =
            r#"{"engine":"draft","disparity_percent":2,"convergence":0.5,"layout":"sbs"}"#;
        assert!(serde_json::from_str::<Look>(unknown).is_err());
    }
}
