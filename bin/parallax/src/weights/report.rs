//! What was found in a folder of models, for a person and for a program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::demand::Demand;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) models: Vec<ModelReport>,
    pub(super) stages: Vec<Stage>,
    /// Empty where a model is missing or wrong.
    pub(super) conversions: Vec<Demand>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    pub(super) name: &'static str,
    pub(super) folder: PathBuf,
    pub(super) parts: Vec<PartReport>,
}

/// One part of a model.
#[derive(Debug, Serialize)]
pub(super) struct PartReport {
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Network>,
    /// Every one, each in words of its own.
    pub(super) problems: Vec<String>,
}

/// A network as it lies on the disk.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Network {
    /// What its tensors seem to be.
    pub(super) found: String,
    pub(super) files: Vec<PathBuf>,
    pub(super) tensors: usize,
    pub(super) parameters: u64,
    /// Tensors by the type of their elements.
    pub(super) types: BTreeMap<String, usize>,
    pub(super) stored_bytes: u64,
    /// In memory as f32, and as f16 or bf16.
    pub(super) f32_bytes: u64,
    pub(super) f16_bytes: u64,
}

/// Memory that the weights of one stage take. Activations come on top.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) f32_bytes: u64,
    pub(super) f16_bytes: u64,
}

impl Report {
    pub(super) fn print(&self) {
        for model in &self.models {
            println!("{} in {}", model.name, model.folder.display());
            for part in &model.parts {
                let mark = if part.problems.is_empty() { "ok   " } else { "WRONG" };
                println!("{}", format!("  {mark} {:<18} {}", part.name, part.line()).trim_end());
                for problem in &part.problems {
                    println!("        - {problem}");
                }
            }
        }
        for stage in &self.stages {
            println!(
                "memory for the weights of {}: {} as f16 or bf16, {} as f32",
                stage.name,
                super::progress::size(stage.f16_bytes),
                super::progress::size(stage.f32_bytes)
            );
        }
        for demand in &self.conversions {
            let Demand { device, dtype, width, height, free_bytes, peak_bytes, plan } = demand;
            let peak = peak_bytes.map(|bytes| format!("{}, ", super::progress::size(bytes)));
            println!(
                "conversion of {width}x{height} in {:.1} GiB ({device}, {dtype}): {}{plan}",
                *free_bytes as f64 / (1u64 << 30) as f64,
                peak.unwrap_or_default()
            );
        }
        println!("{}", if self.ok { "everything is as it should be" } else { "not usable" });
    }
}

impl PartReport {
    fn line(&self) -> String {
        let Some(network) = &self.network else { return String::new() };
        let types: Vec<&str> = network.types.keys().map(String::as_str).collect();
        format!(
            "{} tensors, {:.1} M parameters, {}, {}: {}",
            network.tensors,
            network.parameters as f64 / 1e6,
            types.join(" and "),
            super::progress::size(network.stored_bytes),
            network.found
        )
    }
}
