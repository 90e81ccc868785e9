//! `rise-lab model inspect`: what a checkpoint is, what is wrong with it, and the memory it needs.

use serde_json::{Value, json};

use super::source::Source;
use crate::cli::args::InspectArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::{Output, Style};
use crate::cli::quantity::memory;
use crate::cli::table::Table;
use crate::model::checkpoint::{Inspected, TokenizerFacts};
use crate::model::memory::{Footprint, Numbers, Trained, Work, footprint};
use crate::model::{Kernels, LoraConfig, ModelConfig, Place, Precision, RopeScaling};

/// Tokens of a sequence where nothing else is said.
const LENGTH: usize = 1024;

/// Shows what is in a checkpoint.
///
/// # Errors
/// If there is no such checkpoint.
pub fn inspect(arguments: &InspectArguments, environment: &Environment) -> Result<Exit, Fault> {
    let source = Source::find(&arguments.source, environment)?;
    let found = source.inspect();
    let needs = Needs::of(&found, arguments);
    let output = environment.output;
    output.answer(
        || text(&source, &found, needs.as_ref(), output),
        &document(&source, &found, needs.as_ref()),
    )?;
    Ok(if found.faults.is_empty() {
        Exit::Fine
    } else {
        Exit::Usage
    })
}

/// The memory of several kinds of work.
struct Needs {
    sequences: usize,
    length: usize,
    rows: Vec<Need>,
}

struct Need {
    work: &'static str,
    numbers: &'static str,
    bytes: Footprint,
}

impl Needs {
    fn of(found: &Inspected, arguments: &InspectArguments) -> Option<Self> {
        let (config, vocabulary) = (found.config.as_ref()?, found.vocabulary?);
        let length = arguments
            .length
            .map_or(LENGTH, |length| length as usize)
            .min(config.positions);
        let sequences = arguments.sequences as usize;
        let rows =
            kinds(config, sequences, length)
                .into_iter()
                .map(|(work, numbers, done, kept)| Need {
                    work,
                    numbers,
                    bytes: footprint(config, vocabulary, &done, &kept),
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
fn kinds(
    config: &ModelConfig,
    sequences: usize,
    length: usize,
) -> Vec<(&'static str, &'static str, Work, Numbers)> {
    let prompt = length / 2;
    let sampling = Work::Sampling {
        sequences,
        prompt,
        answer: length - prompt,
    };
    let training = |trained| Work::Training {
        sequences,
        length,
        trained,
        has_reference: false,
    };
    let adapted = training(Trained::Adapters(LoraConfig::default()));
    let (full, wide, narrow) = (training(Trained::All), Precision::F32, Precision::Bf16);
    let numbers = |kernels, precision, storage| Numbers {
        kernels,
        precision,
        storage,
        activations: Place::ACTIVATIONS,
        threads: 1,
    };
    let plain = |precision, storage| numbers(Kernels::Plain, precision, storage);
    let fused = numbers(Kernels::Fused, wide, wide);
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
    kinds.retain(|(_, _, _, numbers)| numbers.kernels == Kernels::Plain || !config.is_plain_only());
    kinds
}

fn text(source: &Source, found: &Inspected, needs: Option<&Needs>, output: Output) -> String {
    let mut lines = vec![output.styled(Style::Bold, &source.name)];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<14}{value}"));
    source
        .origin
        .iter()
        .for_each(|(name, value)| line(name, value.clone()));
    if let (Some(config), Some(architecture)) = (&found.config, found.architecture) {
        line("architecture", architecture.to_owned());
        line("sizes", sizes(config));
        line("positions", positions(config));
        let head = if config.tied {
            "shared with the embedding"
        } else {
            "of its own"
        };
        let rows = found.vocabulary.map_or_else(|| "?".to_owned(), grouped);
        line("vocabulary", format!("{rows} tokens, head {head}"));
    }
    if let Some(parameters) = found.parameters {
        line("parameters", grouped(parameters));
    }
    let kinds = found.kinds.iter();
    let kinds: Vec<String> = kinds
        .map(|kind| {
            format!(
                "{} {} ({} values)",
                kind.tensors,
                kind.dtype,
                grouped(kind.values)
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
        format!("{there} of {}, {}", found.shards.len(), memory(bytes)),
    );
    if let Some(tokenizer) = &found.tokenizer {
        line("tokenizer", told(tokenizer));
    }
    if let Some(needs) = needs {
        lines.push(format!("\n{}", output.styled(Style::Bold, "Memory")));
        lines.push(table(needs));
    }
    if !found.remarks.is_empty() {
        lines.push(format!("\n{}", output.styled(Style::Bold, "Worth knowing")));
        lines.extend(found.remarks.iter().map(|remark| format!("- {remark}")));
    }
    if !found.faults.is_empty() {
        lines.push(format!("\n{}", output.styled(Style::Red, "What is wrong")));
        lines.extend(found.faults.iter().map(|fault| format!("- {fault}")));
    }
    lines.join("\n") + "\n"
}

fn sizes(config: &ModelConfig) -> String {
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

fn positions(config: &ModelConfig) -> String {
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
        grouped(config.positions),
        config.rope_theta
    )
}

fn told(facts: &TokenizerFacts) -> String {
    let tokens = grouped(facts.tokens);
    let ends = facts
        .ends
        .iter()
        .map(|end| format!("`{end}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let format = match &facts.template {
        None => "control tokens".to_owned(),
        Some(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let system = if facts.system { "with" } else { "without" };
            format!("chat template of {name} {system} a system's role")
        }
    };
    format!("{tokens} tokens, {format}, answers end with {ends}")
}

fn table(needs: &Needs) -> String {
    let parts = Footprint::default()
        .parts()
        .map(|(name, _)| format!("#{name}"));
    let mut table = Table::new(
        ["work", "numbers"]
            .map(str::to_owned)
            .into_iter()
            .chain(parts)
            .chain(["#all".to_owned()]),
    );
    for need in &needs.rows {
        let bytes = need.bytes.parts().map(|(_, bytes)| {
            if bytes == 0 {
                "-".to_owned()
            } else {
                memory(bytes)
            }
        });
        let cells = [need.work, need.numbers]
            .map(str::to_owned)
            .into_iter()
            .chain(bytes);
        table.row(cells.chain([memory(need.bytes.total())]));
    }
    let Needs {
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
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect();
    groups.join(",")
}

fn document(source: &Source, found: &Inspected, needs: Option<&Needs>) -> Value {
    let mut last = "";
    let needs = needs.map(|needs| {
        let rows = needs.rows.iter().map(|need| {
            last = if need.work.is_empty() { last } else { need.work };
            json!({ "work": last, "numbers": need.numbers, "bytes": need.bytes, "total": need.bytes.total() })
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
            [0, 999, 1000, 6_738_415_616].map(grouped),
            ["0", "999", "1,000", "6,738,415,616"]
        );
    }
}
