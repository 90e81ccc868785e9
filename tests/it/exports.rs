//! `rise-lab model`: what is told of checkpoints, whether an exported one is the same model, and
//! conversations from a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use rise_lab::config::BaseModel;
use rise_lab::data::PromptConfig;
use rise_lab::domain::{Dialogue, Policy, PolicyRequest, SamplingConfig, Seed};
use rise_lab::model::checkpoint::{CheckpointLink, ExportOptions, export};
use rise_lab::model::{
    CheckpointFolder, Decoder, Engine, ExecutionContext, GenerationPrompt, LanguageModel,
    LoraAdapter, LoraAdapters, LoraConfig, LossTargets, ModelConfig, ParameterVisitor, Precision,
    Projection, RaggedBatch, Weights, generate,
};
use rise_lab::pipeline::BaseModelRegistry;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Lab, copy, manifest, place, problems, random_model};

const QUESTION: &str = "Ann has 3 cards. She buys 4 more. How many cards does Ann have?";

fn weak() -> String {
    manifest("experiments/models/weak.toml")
        .display()
        .to_string()
}

/// The shipped base as it lies in the repository.
fn shipped() -> LanguageModel {
    let BaseModel::Recipe(base) = BaseModelRegistry::new(manifest("experiments/models"))
        .get("weak")
        .unwrap()
    else {
        panic!("the shipped base is a recipe")
    };
    let files = base.checkpoint.unwrap();
    CheckpointFolder::load_parts(&base.model, &files.file, &files.tokenizer, &place()).unwrap()
}

fn dialogues() -> [Dialogue; 3] {
    let prompt = PromptConfig::default();
    [
        prompt.dialogue(QUESTION, &[]),
        prompt.dialogue(QUESTION, &["3+4=6\n#### 6", "#### 7"]),
        Dialogue::default().user(" Ünï ☃ code\n\n12,345"),
    ]
}

/// Logits at every position of some dialogues.
fn logits(model: &LanguageModel) -> Vec<f32> {
    let prompts = dialogues().map(|dialogue| model.tokenizer.encode_prompt(&dialogue).unwrap());
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let batch = RaggedBatch {
        tokens: prompts.concat(),
        lengths: lengths.into(),
    };
    model
        .decoder
        .logits(&batch)
        .into_data()
        .try_into_vec()
        .unwrap()
}

#[test]
fn an_exported_base_is_the_same_model_bit_for_bit() {
    let (lab, expected) = (Lab::new(), logits(&shipped()));
    for (folder, more) in [("one", &[][..]), ("many", &["--shard-size", "500kB"][..])] {
        lab.run(&[&["model", "export", &weak(), "--to", folder], more].concat())
            .expect_exit(0);
        let read = CheckpointFolder::load(&lab.path(folder), &place()).unwrap();
        assert_eq!(read.decoder.config(), shipped().decoder.config());
        assert!(logits(&read) == expected, "{folder}");
        lab.run(&["model", "inspect", folder]).expect_exit(0);
    }
    assert!(lab.path("one/model.safetensors").exists());
    let index: Value = serde_json::from_str(
        &fs::read_to_string(lab.path("many/model.safetensors.index.json")).unwrap(),
    )
    .unwrap();
    let named: BTreeSet<&str> = index["weight_map"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str)
        .collect();
    assert!(named.len() > 2, "{named:?}");
    for shard in named {
        let bytes = fs::read(lab.path("many").join(shard)).unwrap();
        let (_, about) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(about.metadata().as_ref().unwrap()["format"], "pt");
        assert!(bytes.len() < 510_000);
    }
}

#[test]
fn sixteen_bits_are_those_nearest() {
    let lab = Lab::new();
    lab.run(&[
        "model",
        "export",
        &weak(),
        "--to",
        "out",
        "--precision",
        "bf16",
    ])
    .expect_exit(0);
    let (wide, narrow) = (
        fs::read(manifest("experiments/models/weak.safetensors")).unwrap(),
        fs::read(lab.path("out/model.safetensors")).unwrap(),
    );
    let (wide, narrow) = (
        SafeTensors::deserialize(&wide).unwrap(),
        SafeTensors::deserialize(&narrow).unwrap(),
    );
    assert_eq!(wide.len(), narrow.len());
    for (name, view) in wide.tensors() {
        let rounded: Vec<u8> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|bytes| half::bf16::from_f32(f32::from_le_bytes(*bytes)).to_le_bytes())
            .collect();
        assert!(narrow.tensor(&name).unwrap().data() == rounded, "{name}");
    }
    let config: Value =
        serde_json::from_str(&fs::read_to_string(lab.path("out/config.json")).unwrap()).unwrap();
    assert_eq!(config["torch_dtype"], "bfloat16");
}

#[derive(Deserialize)]
struct Golden {
    scale: f64,
    prompts: Vec<Asked>,
    continuations: Vec<Vec<u32>>,
    sequences: Vec<Vec<u32>>,
    plain: Vec<Numbers>,
    adapted: Vec<Numbers>,
}

#[derive(Deserialize)]
struct Asked {
    messages: Vec<String>,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Numbers {
    log_probabilities: Vec<f32>,
    logits: Vec<f32>,
}

fn golden() -> Golden {
    let text = fs::read_to_string(manifest("tests/golden/export.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Compares what a model makes of sequences with what transformers makes of them.
#[track_caller]
fn agrees(model: &LanguageModel, sequences: &[Vec<u32>], expected: &[Numbers]) {
    for (tokens, expected) in sequences.iter().zip(expected) {
        let batch = RaggedBatch {
            tokens: tokens.clone(),
            lengths: [tokens.len()].into(),
        };
        let logits: Vec<f32> = model
            .decoder
            .logits(&batch)
            .into_data()
            .try_into_vec()
            .unwrap();
        let last = &logits[logits.len() - expected.logits.len()..];
        for (found, expected) in [
            (last, &expected.logits),
            (&came(model, tokens), &expected.log_probabilities),
        ] {
            let apart = relative(found, expected);
            assert!(apart < 1e-4, "{apart}");
        }
    }
}

/// The largest difference as a part of the largest expected value.
fn relative(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    apart(found, expected) / largest
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
}

/// Log-probabilities of the tokens of a sequence behind its first one.
fn came(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let count = tokens.len() - 1;
    let (ids, weights) = (tokens[1..].to_vec(), vec![1.0; count]);
    let batch = RaggedBatch {
        tokens: tokens[..count].to_vec(),
        lengths: [count].into(),
    };
    model.decoder.log_probabilities(
        &batch,
        &LossTargets {
            ids: ids.into(),
            weights: weights.into(),
        },
    )
}

#[test]
fn transformers_computes_the_same_with_an_export() {
    let (model, golden) = (shipped(), golden());
    for Asked { messages, ids } in &golden.prompts {
        let said = |dialogue: Dialogue, (at, text): (usize, &String)| {
            if at % 2 == 0 {
                dialogue.user(text.as_str())
            } else {
                dialogue.assistant(text.as_str())
            }
        };
        let dialogue = messages.iter().enumerate().fold(Dialogue::default(), said);
        assert_eq!(
            model.tokenizer.encode_prompt(&dialogue).unwrap(),
            *ids,
            "{messages:?}"
        );
    }
    agrees(&model, &golden.sequences, &golden.plain);
    let sampling = SamplingConfig {
        temperature: 0.0,
        max_tokens: 60,
        ..SamplingConfig::default()
    };
    let prompt = |asked: &Asked| GenerationPrompt {
        tokens: asked.ids.clone(),
        seeds: vec![Seed(0)],
    };
    let prompts: Vec<GenerationPrompt> = golden
        .prompts
        .iter()
        .take(golden.continuations.len())
        .map(prompt)
        .collect();
    let written = generate(
        &model.decoder,
        &prompts,
        &sampling,
        &model.tokenizer.stop_tokens(),
    );
    assert_eq!(written.concat(), golden.continuations);
}

/// The adapters of `export.safetensors`, which transformers' weights were merged with.
#[test]
fn merged_adapters_are_those_of_another_implementation() {
    let (model, golden) = (shipped(), golden());
    let bytes = fs::read(manifest("tests/golden/export.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let config = model.decoder.config();
    let device = &place().device;
    // On disk a half is [out, in].
    let half = |layer: usize, projection: Projection, which: &str| {
        let part = if projection.name().len() == 6 {
            "self_attn"
        } else {
            "mlp"
        };
        let name = format!(
            "model.layers.{layer}.{part}.{}.lora_{which}.weight",
            projection.name()
        );
        let view = file.tensor(&name).unwrap();
        let values: Vec<f32> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        Tensor::<2>::from_data(
            TensorData::new(values, [view.shape()[0], view.shape()[1]]),
            device,
        )
        .transpose()
    };
    let adapter = |layer, projection: Projection| LoraAdapter {
        projection,
        columns: projection.location(config).2,
        down: half(layer, projection, "A"),
        up: half(layer, projection, "B"),
    };
    let block = |layer| {
        Projection::ALL
            .map(|projection| adapter(layer, projection))
            .into()
    };
    let blocks: Vec<Vec<LoraAdapter>> = (0..config.layers).map(block).collect();
    let rank = blocks[0][0].down.dims()[1];
    let lora = LoraConfig {
        rank,
        alpha: golden.scale * rank as f64,
        ..LoraConfig::default()
    };
    let adapters = LoraAdapters { lora, blocks };
    let weights = Weights {
        adapters: Some(adapters),
        ..model.decoder.weights().clone()
    };
    let adapted = LanguageModel {
        decoder: Decoder::new(config.clone(), weights, &place()),
        ..model.clone()
    };
    let lab = Lab::new();
    fs::create_dir(lab.path("out")).unwrap();
    let form = ExportOptions {
        precision: Precision::F32,
        max_shard_bytes: u64::MAX,
        sampling: SamplingConfig::default(),
    };
    export(&adapted, &lab.path("out"), &form).unwrap();
    let merged = CheckpointFolder::load(&lab.path("out"), &place()).unwrap();
    let last = &golden.sequences[golden.sequences.len() - golden.adapted.len()..];
    agrees(&merged, last, &golden.adapted);
    for (tokens, expected) in last.iter().zip(&golden.adapted) {
        let apart = relative(&came(&adapted, tokens), &expected.log_probabilities);
        assert!(apart < 1e-4, "{apart}");
    }
}

/// Upper halves of adapters that are not 0.
struct Filled;

impl ParameterVisitor for Filled {
    fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
        if !name.ends_with("_proj.up") {
            return parameter;
        }
        let mut draws = Seed(3).derive(name).rng();
        let values: Vec<f32> = (0..parameter.shape().num_elements())
            .map(|_| draws.normal() as f32 * 0.2)
            .collect();
        Tensor::from_data(
            TensorData::new(values, parameter.shape()),
            &parameter.device(),
        )
    }
}

#[test]
fn adapters_are_merged_into_what_is_exported() {
    let (model, place) = (random_model(&problems(20)), place());
    let config = model.decoder.config().clone();
    let lora = LoraConfig {
        rank: 3,
        ..LoraConfig::default()
    };
    let adapters =
        LoraAdapters::init(&lora, &config, Seed(5), &place.device).map_parameters(&mut Filled);
    let weights = Weights {
        adapters: Some(adapters),
        ..model.decoder.weights().clone()
    };
    let adapted = LanguageModel {
        decoder: Decoder::new(config, weights, &place),
        ..model.clone()
    };
    let lab = Lab::new();
    fs::create_dir(lab.path("out")).unwrap();
    let form = ExportOptions {
        precision: Precision::F32,
        max_shard_bytes: u64::MAX,
        sampling: SamplingConfig::default(),
    };
    export(&adapted, &lab.path("out"), &form).unwrap();
    let merged = CheckpointFolder::load(
        &lab.path("out"),
        &ExecutionContext {
            engine: Engine::Portable,
            ..place
        },
    )
    .unwrap();
    let tokens = model.tokenizer.encode_prompt(&dialogues()[1]).unwrap();
    let said = |model: &LanguageModel| came(model, &tokens);
    let (expected, found) = (said(&adapted), said(&merged));
    assert!(
        apart(&found, &expected) < 1e-4,
        "{}",
        apart(&found, &expected)
    );
    assert!(
        apart(&found, &said(&model)) > 0.1,
        "the adapters do nothing"
    );
}

#[test]
fn a_checkpoint_with_a_template_keeps_its_own_files() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    lab.run(&["model", "export", "model", "--to", "out"])
        .expect_exit(0);
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        let (from, to) = (lab.path("model").join(name), lab.path("out").join(name));
        assert_eq!(fs::read(from).ok(), fs::read(to).ok(), "{name}");
    }
    let (a, b) = (
        CheckpointFolder::load(&lab.path("model"), &place()),
        CheckpointFolder::load(&lab.path("out"), &place()),
    );
    assert_eq!(
        a.unwrap().tokenizer.stop_tokens(),
        b.unwrap().tokenizer.stop_tokens()
    );
}

#[test]
fn a_template_from_elsewhere_takes_the_place_of_the_checkpoints_own_and_of_nothing_else() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    lab.write("model/special_tokens_map.json", "{}");
    lab.write(
        "other/special_tokens_map.json",
        "{ \"eos_token\": \"of another\" }",
    );
    let template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
    lab.write("other/mine.jinja", template);
    let recipe = "hf = \"model\"\nchat_template = \"other/mine.jinja\"\npositions = 99\nprecision = \"bf16\"\n";
    lab.write("elsewhere.toml", recipe);
    lab.run(&["model", "export", "elsewhere.toml", "--to", "out"])
        .expect_exit(0);
    assert_eq!(
        fs::read_to_string(lab.path("out/chat_template.jinja")).unwrap(),
        template
    );
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        assert_eq!(
            fs::read(lab.path("out").join(name)).ok(),
            fs::read(lab.path("model").join(name)).ok()
        );
    }
    let found = lab.json(&["model", "inspect", "elsewhere.toml"]);
    assert_eq!(found["name"], "elsewhere");
    assert_eq!(found["found"]["config"]["positions"], 99);
    assert_eq!(found["origin"]["precision"], "bf16");
    assert_eq!(found["found"]["tokenizer"]["template"], "other/mine.jinja");
    let said = lab.run_saying(
        &["model", "chat", "elsewhere.toml"],
        &format!("{}\n", "How many? ".repeat(80)),
    );
    assert!(
        format!("{}{}", said.stdout, said.stderr).contains("99"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    for place in ["elsewhere.toml", "model"] {
        let narrow = [
            "model",
            "chat",
            place,
            "--precision",
            "bf16",
            "--max-tokens",
            "3",
        ];
        let said = lab.run_saying(&narrow, "How many?\n");
        said.expect_exit(0);
        assert!(!said.stdout.is_empty(), "{place}: {}", said.stderr);
    }
}

#[test]
fn a_bare_base_model_is_no_fault_and_a_template_that_cannot_be_trained_with_is_worth_knowing() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    let remarks = || {
        let found = lab.json(&["model", "inspect", "model"])["found"].clone();
        assert_eq!(found["faults"], serde_json::json!([]));
        found["remarks"].to_string()
    };
    assert_eq!(remarks(), "[]");
    let rewriting =
        "{% for m in messages %}{{ loop.revindex }}{{ m.content }}{{ eos_token }}{% endfor %}";
    lab.write("model/chat_template.jinja", rewriting);
    assert!(
        remarks().contains("templates/chat/chatml.jinja"),
        "{}",
        remarks()
    );
    fs::remove_file(lab.path("model/chat_template.jinja")).unwrap();
    lab.write("model/tokenizer_config.json", "{}");
    assert!(
        remarks().contains("there is no chat template beside it"),
        "{}",
        remarks()
    );
    let shown = lab.run(&["model", "inspect", "model"]);
    shown.expect_exit(0);
    assert!(
        shown
            .stdout
            .contains("Remarks\n- cannot read the tokenizer"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_link_is_looked_into_in_the_way_that_it_says() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    // Without a template of its own, as base models are.
    lab.write("model/tokenizer_config.json", "{}");
    lab.write(
        "mine.jinja",
        "{% for m in messages %}{{ m.content }}</s>{% endfor %}",
    );
    let template = Some(lab.path("mine.jinja"));
    let link = CheckpointLink::new(&lab.path("model"), Precision::F32, template, Some(77)).unwrap();
    fs::create_dir(lab.path("stage")).unwrap();
    link.save(&lab.path("stage")).unwrap();
    let found = lab.json(&["model", "inspect", "stage"])["found"].clone();
    assert_eq!(
        (&found["faults"], &found["remarks"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    assert_eq!(found["config"]["positions"], 77);
}

#[test]
fn an_architecture_is_the_one_that_is_named() {
    let lab = Lab::new();
    copy(
        &manifest("tests/golden/architectures/mistral"),
        &lab.path("mistral"),
    );
    let config = fs::read_to_string(lab.path("mistral/config.json")).unwrap();
    lab.write(
        "mistral/config.json",
        config.replace("\"sliding_window\": 6", "\"sliding_window\": null"),
    );
    let ran = lab.run(&["model", "inspect", "mistral"]);
    assert!(
        ran.stdout.contains("architecture  mistral\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn what_no_architecture_says_is_not_exported() {
    let (lab, model, place) = (Lab::new(), random_model(&problems(5)), place());
    let config = ModelConfig {
        qkv_bias: true,
        qk_norm: true,
        ..model.decoder.config().clone()
    };
    let weights = Weights::init_random(
        &config,
        model.decoder.vocabulary_size(),
        Seed(1),
        &place.device,
    );
    let decoder = Decoder::new(config, weights, &place);
    fs::create_dir(lab.path("model")).unwrap();
    CheckpointFolder::save(&decoder, &lab.path("model")).unwrap();
    model.tokenizer.save_files(&lab.path("model")).unwrap();
    let ran = lab.run(&["model", "export", "model", "--to", "out"]);
    assert!(
        ran.stderr
            .contains("cannot export out: no architecture that other programs know"),
        "{}",
        ran.stderr
    );
    assert!(!lab.path("out/model.safetensors").exists());
}

#[test]
fn what_closes_an_answer_ends_one_in_an_export_too() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    // `<s>` closes answers, and generation is configured with `</s>` alone.
    lab.write(
        "model/chat_template.jinja",
        "{% for m in messages %}{{ m.content }}<s>{% endfor %}",
    );
    lab.write(
        "model/generation_config.json",
        r#"{ "eos_token_id": 1, "top_k": 7 }"#,
    );
    lab.run(&["model", "export", "model", "--to", "out"])
        .expect_exit(0);
    let text = fs::read_to_string(lab.path("out/generation_config.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "eos_token_id": [0, 1], "top_k": 7 })
    );
}

/// A checkpoint with random weights and the tokenizer and template of Zephyr's kind.
fn chat_checkpoint(lab: &Lab, folder: &str) {
    let (model, place) = (random_model(&problems(5)), place());
    let config = model.decoder.config().clone();
    let tokens = 303;
    let weights = Weights::init_random(&config, tokens, Seed(1), &place.device);
    let decoder = Decoder::new(config.clone(), weights, &place);
    copy(&manifest("tests/golden/chat/zephyr"), &lab.path(folder));
    CheckpointFolder::save(&decoder, &lab.path(folder)).unwrap();
    let json = rise_lab::model::checkpoint::written_config(&config, tokens).unwrap();
    lab.write(&format!("{folder}/config.json"), json.to_string());
}

#[test]
fn a_base_is_shown_with_its_sizes_and_needs() {
    insta::assert_snapshot!(Lab::new().run(&["model", "inspect", &weak()]).stdout, @"
    weak
    base model    weak
    description   0.5 M parameters, 6 slices: still learning, stubborn when told to retry.
    architecture  llama
    sizes         4 layers, width 96, 4 heads of 24, 4 for keys, hidden 256
    positions     512, rope 10000
    vocabulary    367 tokens, separate head
    parameters    513,696
    tensors       39 F32 (513,696 values)
    files         1 of 1, 2 MB
    tokenizer     367 tokens, control tokens, answers end with `<|end|>`

    Memory
    work         numbers        weights  copies  gradients  moments  activations   cache  logits     all
    -----------  -------------  -------  ------  ---------  -------  -----------  ------  ------  ------
    sampling     f32               2 MB       -          -        -       155 MB   60 MB  184 kB  217 MB
                 bf16              1 MB       -          -        -       126 MB   30 MB  161 kB  157 MB
                 f32, fused        2 MB       -          -        -         1 MB  144 MB   47 kB  147 MB
    adapters     f32               2 MB       -     456 kB   912 kB       726 MB       -   46 MB  776 MB
                 bf16              1 MB       -     456 kB   912 kB       468 MB       -   40 MB  511 MB
    all weights  f32               2 MB       -       2 MB     4 MB       726 MB       -   46 MB  780 MB
                 bf16 products     2 MB  285 kB       2 MB     4 MB       468 MB       -   40 MB  517 MB
                 f32, fused        2 MB    2 MB      31 MB     4 MB        27 MB       -  734 kB   67 MB

    32 sequences of 512 tokens; sampling writes the second half of each. Adapters have rank 16 on all
    projections. `bf16 products` trains 32-bit weights. Each device needs some more for itself.
    ");
}

#[test]
fn a_checkpoint_with_a_template_is_shown() {
    let lab = Lab::new();
    chat_checkpoint(&lab, "model");
    let ran = lab.run(&[
        "model",
        "inspect",
        "model",
        "--sequences",
        "2",
        "--length",
        "64",
    ]);
    ran.expect_exit(0);
    insta::assert_snapshot!(ran.stdout, @"
    model
    checkpoint    model
    architecture  llama
    sizes         2 layers, width 32, 4 heads of 8, 2 for keys, hidden 64
    positions     512, rope 10000
    vocabulary    303 tokens, separate head
    parameters    37,984
    tensors       21 F32 (37,984 values)
    files         1 of 1, 150 kB
    tokenizer     300 tokens, chat template of tokenizer_config.json with a system role, answers end with `</s>`

    Memory
    work         numbers        weights  copies  gradients  moments  activations  cache  logits     all
    -----------  -------------  -------  ------  ---------  -------  -----------  -----  ------  ------
    sampling     f32             148 kB       -          -        -       184 kB  72 kB    9 kB  414 kB
                 bf16             74 kB       -          -        -       140 kB  36 kB    8 kB  259 kB
                 f32, fused      148 kB       -          -        -       176 kB  96 kB    4 kB  424 kB
    adapters     f32             212 kB       -      64 kB   128 kB         1 MB      -  606 kB    2 MB
                 bf16            138 kB       -      64 kB   128 kB       880 kB      -  530 kB    2 MB
    all weights  f32             148 kB       -     148 kB   297 kB         1 MB      -  606 kB    2 MB
                 bf16 products   148 kB   37 kB     148 kB   297 kB       956 kB      -  530 kB    2 MB
                 f32, fused      148 kB  110 kB     148 kB   297 kB       738 kB      -  152 kB    2 MB

    2 sequences of 64 tokens; sampling writes the second half of each. Adapters have rank 16 on all
    projections. `bf16 products` trains 32-bit weights. Each device needs some more for itself.
    ");
    let json = lab.json(&["model", "inspect", "model"]);
    assert_eq!(json["found"]["config"]["width"], 32);
    assert_eq!(json["memory"]["length"], 512);
    assert_eq!(json["memory"]["work"][1]["work"], "sampling");
}

#[test]
fn everything_that_is_wrong_with_a_checkpoint_is_told() {
    let lab = Lab::new();
    let told = |name: &str| {
        let ran = lab.run(&["model", "inspect", name]);
        ran.expect_exit(2);
        ran.stdout
            .split_once("Errors\n")
            .map_or_else(String::new, |(_, faults)| faults.to_owned())
    };
    copy(
        &manifest("tests/golden/architectures/llama-3.1"),
        &lab.path("shards"),
    );
    copy(&manifest("tests/golden/chat/zephyr"), &lab.path("shards"));
    fs::remove_file(lab.path("shards/model-00002-of-00002.safetensors")).unwrap();
    insta::assert_snapshot!(told("shards"), @"
    - shards/config.json: `vocab_size` is 61, and the tokenizer beside it has tokens that need 300 rows: they do not belong together; get both from one source
    - shards/model-00002-of-00002.safetensors is missing (10 tensors); fetch it again
    ");
    copy(
        &manifest("tests/golden/architectures/qwen2"),
        &lab.path("qwen"),
    );
    let edit = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(lab.path(file)).unwrap();
        lab.write(file, text.replace(from, to));
    };
    edit(
        "qwen/config.json",
        "\"intermediate_size\": 40",
        "\"intermediate_size\": 41",
    );
    insta::assert_snapshot!(told("qwen"), @"
    - cannot read the tokenizer qwen/tokenizer.json: No such file or directory (os error 2)
    - qwen/model.safetensors: tensor `model.layers.0.mlp.gate_proj.weight` has shape [40, 32], expected [41, 32]
    - qwen/model.safetensors: tensor `model.layers.0.mlp.up_proj.weight` has shape [40, 32], expected [41, 32]
    - qwen/model.safetensors: tensor `model.layers.0.mlp.down_proj.weight` has shape [32, 40], expected [32, 41]
    - qwen/model.safetensors: tensor `model.layers.1.mlp.gate_proj.weight` has shape [40, 32], expected [41, 32]
    - qwen/model.safetensors: tensor `model.layers.1.mlp.up_proj.weight` has shape [40, 32], expected [41, 32]
    - qwen/model.safetensors: 1 more tensor does not fit
    ");
    edit(
        "qwen/config.json",
        "\"model_type\": \"qwen2\"",
        "\"model_type\": \"mamba\"",
    );
    fs::remove_file(lab.path("qwen/model.safetensors")).unwrap();
    lab.write("qwen/pytorch_model.bin", "");
    insta::assert_snapshot!(told("qwen"), @"
    - cannot use qwen/config.json: its architecture `mamba` is not one of `llama`, `mistral`, `qwen2`, `qwen3`
    - cannot read the tokenizer qwen/tokenizer.json: No such file or directory (os error 2)
    - qwen/model.safetensors is missing; fetch it again
    - there is `pytorch_model.bin`, and only safetensors files of whole weights are read; convert it
    ");
    chat_checkpoint(&lab, "cut");
    let bytes = fs::read(lab.path("cut/model.safetensors")).unwrap();
    lab.write("cut/model.safetensors", &bytes[..bytes.len() - 9]);
    insta::assert_snapshot!(told("cut"), @"- cannot read cut/model.safetensors: incomplete metadata, file not fully covered; the file is cut or damaged, fetch it again");
}

#[test]
fn a_conversation_from_a_file_is_that_of_the_model() {
    let lab = Lab::new();
    let lines = format!("{QUESTION}\n/retry\n/undo\n/retry\n/new\nHow many?\n/quit\nnever said\n");
    let ran = lab.run_saying(
        &[
            "model",
            "chat",
            &weak(),
            "--temperature",
            "0",
            "--max-tokens",
            "60",
        ],
        &lines,
    );
    ran.expect_exit(0);
    let mut model = shipped();
    let sampling = SamplingConfig {
        temperature: 0.0,
        max_tokens: 60,
        ..SamplingConfig::default()
    };
    let mut answer = |dialogue: Dialogue| {
        let request = PolicyRequest::new(dialogue, vec![Seed(0)]);
        model
            .respond(&[request], &sampling)
            .unwrap()
            .remove(0)
            .remove(0)
            .text
    };
    let prompt = PromptConfig {
        repeat_question: false,
        ..PromptConfig::default()
    };
    let first = answer(prompt.dialogue(QUESTION, &[]));
    let second = answer(prompt.dialogue(QUESTION, &[&first]));
    let other = answer(prompt.dialogue("How many?", &[]));
    assert_eq!(
        ran.stdout,
        format!("{first}\n{second}\n{second}\n{other}\n")
    );
    assert!(first.contains("####"), "{first}");
    let arguments = [
        "model",
        "chat",
        &weak(),
        "--temperature",
        "0",
        "--max-tokens",
        "60",
        "--format",
        "json",
    ];
    let news = lab.run_saying(&arguments, &lines).news();
    let texts: Vec<&str> = news
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    assert_eq!(texts, [&first, &second, &second, &other]);
    assert_eq!(news[2]["turn"], 2);
}

#[test]
fn a_conversation_says_when_positions_run_out() {
    let lab = Lab::new();
    let long = "many ".repeat(2000);
    let ran = lab.run_saying(
        &["model", "chat", &weak()],
        &format!("/retry\n{long}\n/fly\n/undo\n"),
    );
    ran.expect_exit(0);
    assert_eq!(ran.stdout, "");
    insta::assert_snapshot!(ran.stderr, @"
    no answer to retry yet
    the conversation needs 2004 tokens, and the model has 512 positions; /undo removes the last exchange, /new starts over
    unknown command `/fly`; /retry requests another attempt, /undo removes the last exchange, /new starts over, /quit ends
    nothing to undo
    ");
    let ran = lab.run_saying(&["model", "chat", &weak(), "--max-tokens", "3"], QUESTION);
    assert_eq!(
        ran.stderr,
        "(cut after 3 tokens; --max-tokens allows more)\n"
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let lab = Lab::new();
    lab.write("full/file", "");
    lab.write("file", "");
    let refused = |arguments: &[&str]| {
        let ran = lab.run(&[&["model"], arguments].concat());
        ran.expect_exit(2);
        assert_eq!(ran.stdout, "");
        ran.stderr.replace(&manifest("").display().to_string(), "")
    };
    insta::assert_snapshot!(refused(&["inspect", "nowhere"]), @"
    error: `nowhere` is not a checkpoint folder, a recipe or a run (no store at .rise-lab)
    hint: name a checkpoint folder, a base-model recipe, or a run and its store with --store
    ");
    insta::assert_snapshot!(refused(&["inspect", "full"]), @"
    error: full is not a checkpoint: it has no config.json
    hint: name a folder with config.json, model.safetensors and tokenizer.json
    ");
    insta::assert_snapshot!(refused(&["inspect", "file"]), @"
    error: file is not a base-model recipe
    hint: name the folder of the checkpoint's files
    ");
    insta::assert_snapshot!(refused(&["inspect", "models/mini.toml"]), @"
    error: models/mini.toml has no shipped checkpoint
    hint: make one with `rise-lab base models/mini.toml --ship`
    ");
    insta::assert_snapshot!(refused(&["inspect", &weak(), "--checkpoint", "base"]), @"error: --checkpoint needs a run, and experiments/models/weak.toml is not a run");
    insta::assert_snapshot!(refused(&["export", &weak(), "--to", "full"]), @"
    error: full is not empty
    hint: choose a new folder; an export overwrites nothing
    ");
    insta::assert_snapshot!(refused(&["export", &weak(), "--to", "file"]), @"error: file is a file, not a folder");
    insta::assert_snapshot!(refused(&["chat", &weak(), "--temperature", "-1"]), @"
    error: unexpected argument '-1' found

      tip: to pass '-1' as a value, use '-- -1'

    Usage: rise-lab model chat [OPTIONS] <PATH|RUN>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused(&["chat", &weak(), "--precision", "bf16"]), @r"
    error: --precision does not apply to weak
    hint: the `precision` of the base model decides
    ");
    insta::assert_snapshot!(refused(&["chat", &weak(), "--max-tokens", "0"]), @"error: --max-tokens: 0 leaves no room for an answer");
    insta::assert_snapshot!(refused(&["chat", &weak(), "--backend", "opencl"]), @"error: there is no backend `opencl`; use one of: flex, vulkan, wgpu, cuda, tch (compiled in: flex)");
    assert!(!Path::new(&lab.path("out")).exists());
}

#[test]
fn the_checkpoints_of_a_run_are_found_by_name() {
    let lab = Lab::finished();
    lab.on_store(&["model", "export", "baseline seed=0", "--to", "last"])
        .expect_exit(0);
    lab.on_store(&[
        "model",
        "export",
        "baseline seed=0",
        "--to",
        "base",
        "--checkpoint",
        "base",
    ])
    .expect_exit(0);
    let weights = |folder: &str| fs::read(lab.path(folder).join("model.safetensors")).unwrap();
    assert!(weights("last") != weights("base"));
    let card = fs::read_to_string(lab.path("last/README.md")).unwrap();
    assert!(
        card.contains("| run | baseline seed=0 |") && card.contains("minirise"),
        "{card}"
    );
    let config: Value =
        serde_json::from_str(&fs::read_to_string(lab.path("last/generation_config.json")).unwrap())
            .unwrap();
    assert_eq!(config["max_new_tokens"], 40);
    let ran = lab.on_store(&[
        "model",
        "export",
        "baseline seed=0",
        "--to",
        "no",
        "--checkpoint",
        "round 9",
    ]);
    ran.expect_exit(2);
    insta::assert_snapshot!(ran.stderr, @"error: run `baseline seed=0` has no finished checkpoint `round 9`; it has `base`, `round 1`");
    let ran = lab.on_store(&["model", "inspect", "basline seed=0"]);
    ran.expect_exit(2);
    insta::assert_snapshot!(ran.stderr, @"error: no run has the key or label `basline seed=0` (did you mean `baseline seed=0`?); `rise-lab runs` lists them");
}
