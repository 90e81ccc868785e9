//! `rise-lab model inspect` shows a checkpoint's sizes, errors and memory.

use clap::Args;
use serde_json::{Value, json};

use super::checkpoint_source::{CheckpointArguments, CheckpointSource};
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::{format_bytes, with_thousands_separators};
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

/// Tokens of a sequence without `--length`.
const DEFAULT_LENGTH: usize = 1024;

/// Shows a checkpoint.
///
/// # Errors
/// If there is no such checkpoint.
pub fn inspect(
    arguments: &InspectArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let source = CheckpointSource::find(&arguments.source, environment)?;
    let report = source.inspect();
    let memory = MemoryTable::new(&report, arguments);
    let output = environment.output;
    output.print_result(
        || text(&source, &report, memory.as_ref(), output),
        &document(&source, &report, memory.as_ref()),
    )?;
    Ok(if report.errors.is_empty() {
        ExitReason::Success
    } else {
        ExitReason::Usage
    })
}

/// The memory of several workloads.
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
    fn new(report: &CheckpointReport, arguments: &InspectArguments) -> Option<Self> {
        let (config, vocabulary) = (report.config.as_ref()?, report.vocabulary?);
        let length = arguments
            .length
            .map_or(DEFAULT_LENGTH, |length| length as usize)
            .min(config.positions);
        let sequences = arguments.sequences as usize;
        let rows = workloads(config, sequences, length).into_iter().map(
            |(workload, numeric_format, work, format)| MemoryRow {
                workload,
                numeric_format,
                footprint: footprint(config, vocabulary, &work, &format),
            },
        );
        Some(Self {
            sequences,
            length,
            rows: rows.collect(),
        })
    }
}

/// Every workload with its numeric formats.
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
    let [adapters, all] = [
        TrainableParams::Adapters(LoraConfig::default()),
        TrainableParams::All,
    ]
    .map(|trainable| Workload::Training {
        sequences,
        length,
        trainable,
        has_reference: false,
    });
    let wide = numeric_format(Engine::Portable, Precision::F32, Precision::F32);
    let narrow = numeric_format(Engine::Portable, Precision::Bf16, Precision::Bf16);
    let mixed = numeric_format(Engine::Portable, Precision::Bf16, Precision::F32);
    let fused = numeric_format(Engine::Cpu, Precision::F32, Precision::F32);
    let mut workloads = vec![
        ("sampling", "f32", sampling.clone(), wide),
        ("", "bf16", sampling.clone(), narrow),
        ("", "f32, fused", sampling, fused),
        ("adapters", "f32", adapters.clone(), wide),
        ("", "bf16", adapters, narrow),
        ("all weights", "f32", all.clone(), wide),
        ("", "bf16 products", all.clone(), mixed),
        ("", "f32, fused", all, fused),
    ];
    // The fused kernels do not know every architecture.
    workloads
        .retain(|(.., format)| format.engine == Engine::Portable || !config.requires_portable());
    workloads
}

const fn numeric_format(engine: Engine, precision: Precision, storage: Precision) -> NumericFormat {
    NumericFormat {
        engine,
        precision,
        storage,
        activation_budget: ExecutionContext::DEFAULT_ACTIVATION_BUDGET,
        threads: 1,
    }
}

fn text(
    source: &CheckpointSource,
    report: &CheckpointReport,
    memory: Option<&MemoryTable>,
    output: CliOutput,
) -> String {
    let mut lines = vec![output.style_stdout(TextStyle::Bold, &source.name)];
    for (name, value) in &source.origin {
        lines.push(property_line(name, value));
    }
    lines.extend(describe_model(report));
    lines.extend(describe_files(report));
    if let Some(memory) = memory {
        let title = output.style_stdout(TextStyle::Bold, "Memory");
        lines.push(format!("\n{title}\n{}", format_memory_table(memory)));
    }
    for (style, title, items) in [
        (TextStyle::Bold, "Remarks", &report.remarks),
        (TextStyle::Red, "Errors", &report.errors),
    ] {
        if !items.is_empty() {
            lines.push(format!("\n{}", output.style_stdout(style, title)));
            lines.extend(items.iter().map(|item| format!("- {item}")));
        }
    }
    lines.join("\n") + "\n"
}

fn property_line(name: &str, value: &str) -> String {
    format!("{name:<14}{value}")
}

fn describe_model(report: &CheckpointReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(config), Some(architecture)) = (&report.config, report.architecture) {
        let head = if config.tied {
            "head shared with the embedding"
        } else {
            "separate head"
        };
        let tokens = report
            .vocabulary
            .map_or_else(|| "?".to_owned(), with_thousands_separators);
        lines.extend([
            property_line("architecture", architecture),
            property_line("sizes", &describe_sizes(config)),
            property_line("positions", &describe_positions(config)),
            property_line("vocabulary", &format!("{tokens} tokens, {head}")),
        ]);
    }
    let parameters = report.parameters.map(with_thousands_separators);
    lines.extend(parameters.map(|count| property_line("parameters", &count)));
    lines
}

fn describe_files(report: &CheckpointReport) -> Vec<String> {
    let mut lines = Vec::new();
    let dtypes: Vec<String> = report
        .dtypes
        .iter()
        .map(|dtype| {
            let values = with_thousands_separators(dtype.values);
            format!("{} {} ({values} values)", dtype.tensors, dtype.dtype)
        })
        .collect();
    if !dtypes.is_empty() {
        lines.push(property_line("tensors", &dtypes.join(", ")));
    }
    let sizes: Vec<u64> = report
        .shards
        .iter()
        .filter_map(|shard| shard.bytes)
        .collect();
    let bytes = format_bytes(sizes.iter().sum());
    let files = format!("{} of {}, {bytes}", sizes.len(), report.shards.len());
    lines.push(property_line("files", &files));
    let tokenizer = report.tokenizer.as_ref().map(describe_tokenizer);
    lines.extend(tokenizer.map(|text| property_line("tokenizer", &text)));
    lines
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
    let biases = if config.qkv_bias { ", biases" } else { "" };
    let norms = if config.qk_norm {
        ", norms of heads"
    } else {
        ""
    };
    let size = config.head_size();
    format!(
        "{layers} layers, width {width}, {heads} heads of {size}, {kv_heads} for keys, \
         hidden {hidden}{biases}{norms}"
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

fn describe_tokenizer(summary: &TokenizerSummary) -> String {
    let tokens = with_thousands_separators(summary.tokens);
    let ends = summary
        .end_tokens
        .iter()
        .map(|end| format!("`{end}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let format = match &summary.template {
        None => "control tokens".to_owned(),
        Some(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let system = if summary.supports_system {
                "with"
            } else {
                "without"
            };
            format!("chat template of {name} {system} a system role")
        }
    };
    format!("{tokens} tokens, {format}, answers end with {ends}")
}

fn format_memory_table(memory: &MemoryTable) -> String {
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
    for row in &memory.rows {
        let bytes = row.footprint.parts().map(|(_, bytes)| {
            if bytes == 0 {
                "-".to_owned()
            } else {
                format_bytes(bytes)
            }
        });
        let cells = [row.workload, row.numeric_format]
            .map(str::to_owned)
            .into_iter()
            .chain(bytes);
        table.add_row(cells.chain([format_bytes(row.footprint.total())]));
    }
    format!(
        "{table}\n{} sequences of {} tokens; sampling writes the second half of each. Adapters have rank {} on all\n\
         projections. `bf16 products` trains 32-bit weights. Each device needs some more for itself.",
        memory.sequences,
        memory.length,
        LoraConfig::default().rank
    )
}

fn document(
    source: &CheckpointSource,
    report: &CheckpointReport,
    memory: Option<&MemoryTable>,
) -> Value {
    let memory = memory.map(|memory| {
        let mut work = "";
        let mut rows = Vec::new();
        for row in &memory.rows {
            if !row.workload.is_empty() {
                work = row.workload;
            }
            rows.push(json!({
                "work": work, "numbers": row.numeric_format, "bytes": row.footprint,
                "total": row.footprint.total(),
            }));
        }
        json!({ "sequences": memory.sequences, "length": memory.length, "work": rows })
    });
    let origin: serde_json::Map<String, Value> = source
        .origin
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({ "name": source.name, "origin": origin, "found": report, "memory": memory })
}
