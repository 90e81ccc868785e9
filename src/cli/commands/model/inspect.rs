//! `rise-lab model inspect`: what a checkpoint is, what is wrong with it, and the memory it needs.

use clap::Args;
use serde_json::{Value, json};

use super::checkpoint_source::{CheckpointArguments, CheckpointSource};
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::format_bytes;
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::model::checkpoint::{CheckpointReport, TokenizerSummary};
use crate::model::footprint::{Footprint, NumericFormat, TrainableParams, Workload, footprint};
use crate::model::{Engine, ExecutionContext, LoraConfig, ModelConfig, Precision, RopeScaling};

/// `rise-lab model inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Estimate memory for this many sequences at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub sequences: u32,
    /// Estimate memory for sequences this long [default: 1024]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub length: Option<u32>,
}

/// Tokens of a sequence where nothing else is said.
const DEFAULT_LENGTH: usize = 1024;

/// Shows what is in a checkpoint.
///
/// # Errors
/// If there is no such checkpoint.
pub fn inspect(
    arguments: &InspectArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let source = CheckpointSource::find(&arguments.source, environment)?;
    let found = source.inspect();
    let needs = MemoryTable::new(&found, arguments);
    let output = environment.output;
    output.print_result(
        || text(&source, &found, needs.as_ref(), output),
        &document(&source, &found, needs.as_ref()),
    )?;
    Ok(if found.errors.is_empty() {
        ExitReason::Success
    } else {
        ExitReason::Usage
    })
}

/// The memory of several kinds of work.
struct MemoryTable {
    sequences: usize,
    length: usize,
    rows: Vec<MemoryRow>,
}

struct MemoryRow {
    workload: &'static str,
    numeric_format: &'static str,
    footprint: Footprint,
}

impl MemoryTable {
    fn new(found: &CheckpointReport, arguments: &InspectArguments) -> Option<Self> {
        let (config, vocabulary) = (found.config.as_ref()?, found.vocabulary?);
        let length = arguments
            .length
            .map_or(DEFAULT_LENGTH, |length| length as usize)
            .min(config.positions);
        let sequences = arguments.sequences as usize;
        let rows =
            workloads(config, sequences, length)
                .into_iter()
                .map(|(work, numbers, done, kept)| MemoryRow {
                    workload: work,
                    numeric_format: numbers,
                    footprint: footprint(config, vocabulary, &done, &kept),
                });
        let rows = rows.collect();
        Some(Self {
            sequences,
            length,
            rows,
        })
    }
}

/// Every kind of work with the numbers that it is done in.
fn workloads(
    config: &ModelConfig,
    sequences: usize,
    length: usize,
) -> Vec<(&'static str, &'static str, Workload, NumericFormat)> {
    let prompt = length / 2;
    let sampling = Workload::Sampling {
        sequences,
        prompt,
        answer: length - prompt,
    };
    let training = |trained| Workload::Training {
        sequences,
        length,
        trainable: trained,
        has_reference: false,
    };
    let adapted = training(TrainableParams::Adapters(LoraConfig::default()));
    let (full, wide, narrow) = (
        training(TrainableParams::All),
        Precision::F32,
        Precision::Bf16,
    );
    let numbers = |kernels, precision, storage| NumericFormat {
        engine: kernels,
        precision,
        storage,
        activation_budget: ExecutionContext::DEFAULT_ACTIVATION_BUDGET,
        threads: 1,
    };
    let plain = |precision, storage| numbers(Engine::Portable, precision, storage);
    let fused = numbers(Engine::Cpu, wide, wide);
    let mut kinds = vec![
        ("sampling", "f32", sampling.clone(), plain(wide, wide)),
        ("", "bf16", sampling.clone(), plain(narrow, narrow)),
        ("", "f32, fused", sampling, fused),
        ("adapters", "f32", adapted.clone(), plain(wide, wide)),
        ("", "bf16", adapted, plain(narrow, narrow)),
        ("all weights", "f32", full.clone(), plain(wide, wide)),
        ("", "bf16 products", full.clone(), plain(narrow, wide)),
        ("", "f32, fused", full, fused),
    ];
    // What the fused kernels do not know is done on tensors.
    kinds.retain(|(_, _, _, numbers)| {
        numbers.engine == Engine::Portable || !config.requires_portable()
    });
    kinds
}

fn text(
    source: &CheckpointSource,
    found: &CheckpointReport,
    needs: Option<&MemoryTable>,
    output: CliOutput,
) -> String {
    let mut lines = vec![output.style_stdout(TextStyle::Bold, &source.name)];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<14}{value}"));
    source
        .origin
        .iter()
        .for_each(|(name, value)| line(name, value.clone()));
    if let (Some(config), Some(architecture)) = (&found.config, found.architecture) {
        line("architecture", architecture.to_owned());
        line("sizes", describe_sizes(config));
        line("positions", describe_positions(config));
        let head = if config.tied {
            "shared with the embedding"
        } else {
            "of its own"
        };
        let rows = found
            .vocabulary
            .map_or_else(|| "?".to_owned(), with_thousands_separators);
        line("vocabulary", format!("{rows} tokens, head {head}"));
    }
    if let Some(parameters) = found.parameters {
        line("parameters", with_thousands_separators(parameters));
    }
    let kinds = found.dtypes.iter();
    let kinds: Vec<String> = kinds
        .map(|kind| {
            format!(
                "{} {} ({} values)",
                kind.tensors,
                kind.dtype,
                with_thousands_separators(kind.values)
            )
        })
        .collect();
    if !kinds.is_empty() {
        line("tensors", kinds.join(", "));
    }
    let bytes: u64 = found.shards.iter().filter_map(|shard| shard.bytes).sum();
    let there = found
        .shards
        .iter()
        .filter(|shard| shard.bytes.is_some())
        .count();
    line(
        "files",
        format!("{there} of {}, {}", found.shards.len(), format_bytes(bytes)),
    );
    if let Some(tokenizer) = &found.tokenizer {
        line("tokenizer", describe_tokenizer(tokenizer));
    }
    if let Some(needs) = needs {
        lines.push(format!(
            "\n{}",
            output.style_stdout(TextStyle::Bold, "Memory")
        ));
        lines.push(format_memory_table(needs));
    }
    if !found.remarks.is_empty() {
        lines.push(format!(
            "\n{}",
            output.style_stdout(TextStyle::Bold, "Worth knowing")
        ));
        lines.extend(found.remarks.iter().map(|remark| format!("- {remark}")));
    }
    if !found.errors.is_empty() {
        lines.push(format!(
            "\n{}",
            output.style_stdout(TextStyle::Red, "What is wrong")
        ));
        lines.extend(found.errors.iter().map(|fault| format!("- {fault}")));
    }
    lines.join("\n") + "\n"
}

fn describe_sizes(config: &ModelConfig) -> String {
    let ModelConfig {
        layers,
        width,
        heads,
        kv_heads,
        hidden,
        ..
    } = config;
    let more = [
        (config.qkv_bias, "biases"),
        (config.qk_norm, "norms of heads"),
    ];
    let more = more
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| format!(", {name}"));
    let more = more.collect::<Vec<_>>().concat();
    let size = config.head_size();
    format!(
        "{layers} layers, width {width}, {heads} heads of {size}, {kv_heads} for keys, hidden {hidden}{more}"
    )
}

fn describe_positions(config: &ModelConfig) -> String {
    let scaled = match &config.rope_scaling {
        None => String::new(),
        Some(RopeScaling::Linear { factor }) => format!(", all waves {factor} times as long"),
        Some(RopeScaling::Llama3 {
            factor,
            original_positions,
            ..
        }) => {
            format!(", long waves {factor} times as long (llama3, from {original_positions})")
        }
    };
    let window = config
        .window
        .map_or_else(String::new, |window| format!(", window of {window}"));
    format!(
        "{}, rope {}{scaled}{window}",
        with_thousands_separators(config.positions),
        config.rope_theta
    )
}

fn describe_tokenizer(facts: &TokenizerSummary) -> String {
    let tokens = with_thousands_separators(facts.tokens);
    let ends = facts
        .end_tokens
        .iter()
        .map(|end| format!("`{end}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let format = match &facts.template {
        None => "control tokens".to_owned(),
        Some(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let system = if facts.supports_system {
                "with"
            } else {
                "without"
            };
            format!("chat template of {name} {system} a system's role")
        }
    };
    format!("{tokens} tokens, {format}, answers end with {ends}")
}

fn format_memory_table(needs: &MemoryTable) -> String {
    let parts = Footprint::default()
        .parts()
        .map(|(name, _)| format!("#{name}"));
    let mut table = TextTable::new(
        ["work", "numbers"]
            .map(str::to_owned)
            .into_iter()
            .chain(parts)
            .chain(["#all".to_owned()]),
    );
    for need in &needs.rows {
        let bytes = need.footprint.parts().map(|(_, bytes)| {
            if bytes == 0 {
                "-".to_owned()
            } else {
                format_bytes(bytes)
            }
        });
        let cells = [need.workload, need.numeric_format]
            .map(str::to_owned)
            .into_iter()
            .chain(bytes);
        table.add_row(cells.chain([format_bytes(need.footprint.total())]));
    }
    let MemoryTable {
        sequences, length, ..
    } = needs;
    let lora = LoraConfig::default();
    format!(
        "{table}\n{sequences} sequences of {length} tokens; sampling writes the second half of each. Adapters have rank {} on all\n\
         projections. Products of 16 bits train weights of 32. What a device keeps for itself comes on top.",
        lora.rank
    )
}

/// A number with its thousands apart.
fn with_thousands_separators(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect();
    groups.join(",")
}

fn document(
    source: &CheckpointSource,
    found: &CheckpointReport,
    needs: Option<&MemoryTable>,
) -> Value {
    let mut last = "";
    let needs = needs.map(|needs| {
        let rows = needs.rows.iter().map(|need| {
            last = if need.workload.is_empty() { last } else { need.workload };
            json!({ "work": last, "numbers": need.numeric_format, "bytes": need.footprint, "total": need.footprint.total() })
        });
        json!({ "sequences": needs.sequences, "length": needs.length, "work": rows.collect::<Vec<_>>() })
    });
    let origin: serde_json::Map<String, Value> = source
        .origin
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({ "name": source.name, "origin": origin, "found": found, "memory": needs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1000, 6_738_415_616].map(with_thousands_separators),
            ["0", "999", "1,000", "6,738,415,616"]
        );
    }
}
