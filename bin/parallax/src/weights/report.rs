//! What was found in a folder of models, for a person and for a program.

use parallax_engine_spec::{Demand, ModelReport, PartReport, StageMemory};
use serde::Serialize;

use super::size::size;

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) models: Vec<ModelReport>,
    /// Files that are not those of `weights.lock`.
    pub(super) unlike: Vec<String>,
    pub(super) stages: Vec<StageMemory>,
    /// Empty where a model is missing or wrong.
    pub(super) conversions: Vec<Demand>,
}

impl Report {
    pub(super) fn print(&self) {
        for model in &self.models {
            println!("{} in {}", model.name, model.folder.display());
            for part in &model.parts {
                let mark = if part.problems.is_empty() { "ok   " } else { "WRONG" };
                println!("{}", format!("  {mark} {:<18} {}", part.name, line(part)).trim_end());
                for problem in &part.problems {
                    println!("        - {problem}");
                }
            }
        }
        for unlike in &self.unlike {
            println!("WRONG {unlike}");
        }
        for stage in &self.stages {
            println!(
                "memory for the weights of {}: {} as f16 or bf16, {} as f32",
                stage.name,
                size(stage.f16_bytes),
                size(stage.f32_bytes)
            );
        }
        for demand in &self.conversions {
            let Demand { device, dtype, width, height, free_bytes, peak_bytes, plan } = demand;
            let peak = peak_bytes.map(|bytes| format!("{}, ", size(bytes)));
            println!(
                "conversion of {width}x{height} in {:.1} GiB ({device}, {dtype}): {}{plan}",
                *free_bytes as f64 / (1u64 << 30) as f64,
                peak.unwrap_or_default()
            );
        }
        println!("{}", if self.ok { "everything is as it should be" } else { "not usable" });
    }
}

fn line(part: &PartReport) -> String {
    let Some(network) = &part.network else { return String::new() };
    let types: Vec<&str> = network.types.keys().map(String::as_str).collect();
    format!(
        "{} tensors, {:.1} M parameters, {}, {}: {}",
        network.tensors,
        network.parameters as f64 / 1e6,
        types.join(" and "),
        size(network.stored_bytes),
        network.found
    )
}
