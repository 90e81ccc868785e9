//! Runs on checkpoints in Hugging Face's layout, through the real binary: the same numbers as from
//! this program's own, adapters that stand beside their base, chat templates, and every way in which
//! a checkpoint can be wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rise_lab::domain::Seed;
use rise_lab::model::checkpoint::{self, read_checkpoint_config, written_config};
use rise_lab::model::{CheckpointFolder, Decoder, ModelConfig, Tokenizer, Weights};
use serde_json::{Value, json};

use crate::support::{FILE, Lab, Ran, copy, manifest, place};

/// Every score of the small experiment's runs, by what is scored and without names of runs.
fn scores(lab: &Lab) -> Vec<Vec<String>> {
    lab.query("SELECT checkpoint, metric, mean, problems FROM run_scores WHERE label LIKE 'baseline%' ORDER BY 1, 2")
}

/// Puts the small experiment's base model into `folder` of a lab in Hugging Face's layout.
fn publish(from: &Lab, to: &Lab, folder: &str) {
    let rows = from.query("SELECT key FROM stages WHERE kind = 'base'");
    let stage = from.path("store/stages").join(&rows[0][0]);
    for name in [checkpoint::WEIGHTS_FILE, checkpoint::TOKENIZER_FILE] {
        to.write(
            &format!("{folder}/{name}"),
            fs::read(stage.join(name)).unwrap(),
        );
    }
    let sizes = read_checkpoint_config(&stage.join(checkpoint::CONFIG_FILE)).unwrap();
    let config = written_config(&sizes.config, sizes.vocabulary.unwrap_or(300)).unwrap();
    to.write(
        &format!("{folder}/{}", checkpoint::CONFIG_FILE),
        config.to_string(),
    );
}

/// A lab whose experiment begins with a checkpoint in `linked`.
fn linked() -> Lab {
    let (first, lab) = (Lab::finished(), Lab::new());
    publish(&first, &lab, "linked");
    lab.edit(FILE, "base = \"mini\"", "base = { hf = \"linked\" }");
    lab
}

#[test]
fn a_checkpoint_elsewhere_gives_the_numbers_that_its_recipe_gives() {
    let lab = linked();
    lab.sweep(&["--jobs", "2"]).expect_exit(0);
    assert_eq!(scores(&lab), scores(&Lab::finished()));
    let stage = &lab.query("SELECT key FROM stages WHERE kind = 'base'")[0][0];
    let files: Vec<_> = fs::read_dir(lab.path("store/stages").join(stage))
        .unwrap()
        .flatten()
        .collect();
    assert!(
        !files
            .iter()
            .any(|file| file.file_name() == checkpoint::WEIGHTS_FILE),
        "the weights were copied"
    );
    // Where it lies says nothing: a moved checkpoint is the same one.
    fs::rename(lab.path("linked"), lab.path("moved")).unwrap();
    lab.edit(FILE, "hf = \"linked\"", "hf = \"moved\"");
    assert_eq!(
        lab.json(&["plan", FILE])["done"],
        lab.json(&["plan", FILE])["different"]
    );
}

#[test]
fn a_file_of_base_models_may_name_a_checkpoint() {
    let lab = linked();
    lab.edit(FILE, "base = { hf = \"linked\" }", "base = \"other\"");
    lab.write(
        "models/other.toml",
        "description = \"Elsewhere.\"\nhf = \"linked\"\n",
    );
    let plan = lab.json(&["plan", FILE]);
    assert_eq!(plan["stages"][2]["label"], "base other", "{plan:#}");
    lab.write(
        "models/other.toml",
        "hf = \"linked\"\nprecison = \"bf16\"\n",
    );
    let ran = lab.sweep(&[]);
    ran.expect_exit(2);
    assert!(
        ran.stderr.contains("did you mean `precision`?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn adapters_are_trained_and_kept_beside_their_base() {
    let lab = linked();
    let lora =
        "train.lora={ rank = 4, alpha = 8, dropout = 0.1, targets = [\"q_proj\", \"down_proj\"] }";
    let arguments = [
        "--jobs",
        "1",
        "--set",
        lora,
        "--set",
        "rounds.count=2",
        "--set",
        "rounds.start=previous",
    ];
    lab.sweep(&arguments).expect_exit(0);
    let trained = lab.query("SELECT key FROM stages WHERE kind = 'train' AND status = 'done'");
    assert!(trained.len() >= 3, "{trained:?}");
    for stage in trained {
        let folder = lab.path("store/stages").join(&stage[0]);
        let config: Value = serde_json::from_slice(
            &fs::read(folder.join(checkpoint::ADAPTER_CONFIG_FILE)).unwrap(),
        )
        .unwrap();
        assert_eq!(
            (&config["peft_type"], &config["r"]),
            (&json!("LORA"), &json!(4))
        );
        assert_eq!(config["target_modules"], json!(["q_proj", "down_proj"]));
        assert!(
            !folder.join(checkpoint::WEIGHTS_FILE).exists(),
            "the base was copied"
        );
        let model = CheckpointFolder::load(&folder, &place()).unwrap();
        let adapters = model.decoder.weights().adapters.clone().unwrap();
        let moved: Vec<f32> = adapters.blocks[0][0]
            .up
            .clone()
            .into_data()
            .try_into_vec()
            .unwrap();
        assert!(
            moved.iter().any(|value| *value != 0.0),
            "nothing was learnt"
        );
    }
    assert!(
        lab.query("SELECT count(*) FROM run_scores")[0][0]
            .parse::<u32>()
            .unwrap()
            > 20
    );
    // The same settings give the same bytes, dropout included.
    let again = linked();
    again.sweep(&arguments).expect_exit(0);
    assert_eq!(scores(&again), scores(&lab));
}

/// A checkpoint with random weights that writes dialogues as Zephyr does.
fn chat(lab: &Lab, folder: &str) {
    copy(&manifest("tests/golden/chat/zephyr"), &lab.path(folder));
    let tokenizer = Tokenizer::load(&lab.path(folder).join(checkpoint::TOKENIZER_FILE)).unwrap();
    let config = ModelConfig {
        width: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        hidden: 24,
        positions: 4096,
        qkv_bias: true,
        ..ModelConfig::default()
    };
    // More rows than tokens, as checkpoints have whose vocabulary was padded.
    let rows = tokenizer.vocabulary_size() + 5;
    let weights = Weights::init_random(&config, rows, Seed(1), &place().device);
    let decoder = Decoder::new(config.clone(), weights, &place());
    lab.write(
        &format!("{folder}/{}", checkpoint::WEIGHTS_FILE),
        checkpoint::encode_weights(&decoder),
    );
    lab.write(
        &format!("{folder}/{}", checkpoint::CONFIG_FILE),
        written_config(&config, rows).unwrap().to_string(),
    );
}

#[test]
fn a_whole_round_runs_on_a_chat_checkpoint_in_either_precision() {
    let lab = Lab::new();
    chat(&lab, "chat");
    for (base, lora) in [
        ("{ hf = \"chat\" }", "train.epochs=1"),
        (
            "{ hf = \"chat\", precision = \"bf16\" }",
            "train.lora={ rank = 2 }",
        ),
    ] {
        let base = format!("base={base}");
        let small = [
            "--set",
            &base,
            "--set",
            lora,
            "--set",
            "data={ train = 4, validation = 0, test = 3 }",
        ];
        let ran = lab.sweep(&[&small[..], &["--set", "rounds.count=2"]].concat());
        ran.expect_exit(0);
    }
    let scored =
        lab.query("SELECT count(DISTINCT checkpoint) FROM run_scores WHERE label LIKE 'baseline%'");
    assert_eq!(scored[0][0], "3");
}

#[test]
fn a_fully_trained_chat_checkpoint_is_read_as_it_was_written() {
    let lab = Lab::new();
    chat(&lab, "chat");
    let whole = CheckpointFolder::load(&lab.path("chat"), &place()).unwrap();
    let folder = lab.path("copy");
    fs::create_dir_all(&folder).unwrap();
    CheckpointFolder::save(&whole.decoder, &folder).unwrap();
    whole.tokenizer.save_files(&folder).unwrap();
    let again = CheckpointFolder::load(&folder, &place()).unwrap();
    assert_eq!(
        again.decoder.vocabulary_size(),
        whole.decoder.vocabulary_size()
    );
    assert_eq!(
        checkpoint::encode_weights(&again.decoder),
        checkpoint::encode_weights(&whole.decoder)
    );
    assert_eq!(again.tokenizer.stop_tokens(), whole.tokenizer.stop_tokens());
}

/// What the program says of the small experiment with a checkpoint that was changed.
#[track_caller]
fn refused(change: impl FnOnce(&Lab, &Path)) -> String {
    let lab = linked();
    change(&lab, &lab.path("linked"));
    let ran = lab.sweep(&["--jobs", "1"]);
    assert!(
        matches!(ran.exit, Some(2 | 3)),
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    let folder = lab.path("");
    let said = format!("{}{}", ran.stderr, ran.stdout);
    said.replace(&folder.display().to_string(), "")
}

/// The base model's configuration with one field changed.
fn reconfigure(folder: &Path, field: &str, value: Value) {
    let path = folder.join(checkpoint::CONFIG_FILE);
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[field] = value;
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn a_wrong_checkpoint_is_one_clear_message() {
    let says =
        |said: &str, expected: &str| assert!(said.contains(expected), "{expected}\n\nin\n\n{said}");
    let none = refused(|_, folder| fs::remove_dir_all(folder).unwrap());
    says(&none, "there is no folder linked");
    says(&none, "--set base.hf=/path/to/checkpoint");
    let architecture = refused(|_, folder| reconfigure(folder, "model_type", json!("gpt2")));
    says(
        &architecture,
        "its architecture `gpt2` is not one of `llama`",
    );
    let missing = refused(|_, folder| fs::remove_file(folder.join("model.safetensors")).unwrap());
    says(
        &missing,
        "linked/model.safetensors: there is no such file; download the checkpoint again",
    );
    let pickled = refused(|_, folder| {
        fs::rename(
            folder.join("model.safetensors"),
            folder.join("pytorch_model.bin"),
        )
        .unwrap();
    });
    says(&pickled, "PyTorch's pickle format");
    let shard = refused(|lab, folder| {
        fs::rename(
            folder.join("model.safetensors"),
            folder.join("model-00001-of-00002.safetensors"),
        )
        .unwrap();
        let map = json!({ "weight_map": {
            "model.norm.weight": "model-00001-of-00002.safetensors",
            "lm_head.weight": "model-00002-of-00002.safetensors",
        }});
        lab.write("linked/model.safetensors.index.json", map.to_string());
    });
    says(
        &shard,
        "model-00002-of-00002.safetensors: there is no such file",
    );
    let shape = refused(|_, folder| reconfigure(folder, "intermediate_size", json!(66)));
    says(&shape, "has shape [64, 32], expected [66, 32]");
    let tokens = refused(|_, folder| reconfigure(folder, "vocab_size", json!(7)));
    says(&tokens, "expected [7, 32]");
    let damaged = refused(|_, folder| {
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
    says(&damaged, "holds NaN at place");
    let cut = refused(|_, folder| {
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    says(&cut, "cannot read");
    let plain = refused(|_, folder| {
        let zephyr = manifest("tests/golden/chat/zephyr/tokenizer.json");
        fs::copy(zephyr, folder.join("tokenizer.json")).unwrap();
    });
    says(&plain, "give one with `chat_template = \"FILE\"`");
    let rows = refused(|lab, folder| {
        copy(&manifest("tests/golden/chat/zephyr"), &lab.path("linked"));
        let path = folder.join("tokenizer.json");
        let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        // As many tokens as rows, and a gap in their numbers.
        json["model"]["vocab"]["<unk>"] = json!(777);
        json["added_tokens"][2]["id"] = json!(777);
        fs::write(path, json.to_string()).unwrap();
    });
    says(
        &rows,
        "has tokens that need 778 rows: they do not belong together",
    );
    let short =
        refused(|lab, _| lab.edit(FILE, "hf = \"linked\"", "hf = \"linked\", positions = 40"));
    says(&short, "40 positions");
}

#[test]
fn a_template_is_refused_before_anything_is_sampled() {
    let lab = Lab::new();
    chat(&lab, "chat");
    // As Qwen 3 does, and for tools alone.
    let rewriting =
        "{% for m in messages %}{{ loop.revindex }}{{ m.content }}{{ eos_token }}{% endfor %}";
    for (template, said) in [
        (rewriting, "otherwise once it is answered (message 2)"),
        ("{{ tools[0].name }}", "templates/chat/chatml.jinja"),
        (
            "{{ messages[0].content }} and no answer",
            "leaves out what an answer says",
        ),
    ] {
        lab.write("chat/chat_template.jinja", template);
        let ran = lab.sweep(&["--jobs", "1", "--set", "base={ hf = \"chat\" }"]);
        ran.expect_exit(3);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains(said), "{said}\n\nin\n\n{told}");
        assert!(
            lab.query("SELECT key FROM stages WHERE kind = 'collect' AND status = 'done'")
                .is_empty()
        );
    }
}

#[test]
fn a_checkpoint_that_changes_under_a_sweep_is_noticed() {
    let lab = linked();
    lab.sweep(&["--jobs", "2"]).expect_exit(0);
    let path = lab.path("linked/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&0.5_f32.to_le_bytes());
    fs::write(path, bytes).unwrap();
    let plan = lab.json(&["plan", FILE]);
    assert!(plan["done"].as_u64().unwrap() < 5, "{plan:#}");
}

/// A checkpoint of 7 billion parameters without its shards: Llama 2's sizes, but for `other`.
fn without_weights(lab: &Lab, folder: &str, dialogues: &str, other: &Value) {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32_000, "hidden_size": 4096,
        "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "float16",
    });
    for (name, value) in other.as_object().unwrap() {
        config[name] = value.clone();
    }
    let shard = |number| format!("model-0000{number}-of-00002.safetensors");
    let index = json!({ "weight_map": { "model.embed_tokens.weight": shard(1), "lm_head.weight": shard(2) } });
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let from = manifest("tests/golden/chat").join(dialogues).join(name);
        lab.write(&format!("{folder}/{name}"), fs::read(from).unwrap());
    }
    lab.write(&format!("{folder}/config.json"), config.to_string());
    lab.write(
        &format!("{folder}/model.safetensors.index.json"),
        index.to_string(),
    );
}

#[test]
fn the_papers_size_is_planned_and_starts_up_to_the_missing_weights() {
    let lab = Lab::new();
    without_weights(&lab, "Llama-2-7b-chat-hf", "llama-2", &json!({}));
    crate::bad_input::gsm8k(&lab);
    let file = manifest("experiments/llama2-7b-gsm8k.toml")
        .display()
        .to_string();
    let settings = [
        "--set",
        "base.hf=Llama-2-7b-chat-hf",
        "--set",
        "task.gsm8k.path=data",
        "--set",
        "boost.problems=4",
        "--set",
        "data={ train = 6, validation = 0, test = 4 }",
        "--backend",
        "flex",
    ];
    let plan = lab.json(&[&["plan", &file][..], &settings].concat());
    let training = plan["needs"]["training"].as_object().unwrap();
    let total: u64 = training.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    // 13.5 GB of weights in 16 bits, adapters, and a batch of activations.
    assert!((15 << 30..40 << 30).contains(&total), "{training:?}");
    // Adapters of rank 16 on all projections: 40 M values in 32 bits, six trainings.
    assert_eq!(plan["disk_bytes"], 6 * 4 * 39_976_960_u64);
    let begin = ["sweep", &file, "--no-memory-check", "--no-report"];
    let ran = lab.on_store(&[&begin[..], &settings].concat());
    ran.expect_exit(3);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains(
            "model-00001-of-00002.safetensors: there is no such file; download the checkpoint again"
        ),
        "{said}"
    );
}

/// Experiments at full scale, as copies of the committed ones, with their bases' recipes and some problems of
/// GSM8K. Models behind an API are said to be near, since this program may be one without TLS.
struct FullScale(Lab);

impl FullScale {
    fn new() -> Self {
        let lab = Lab::new();
        crate::bad_input::gsm8k(&lab);
        for name in [
            "llama-2-7b-chat",
            "mistral-7b-instruct-v0.2",
            "llama-3-8b-instruct",
        ] {
            let recipe = fs::read(manifest(&format!("experiments/models/{name}.toml"))).unwrap();
            lab.write(&format!("experiments/models/{name}.toml"), recipe);
        }
        let full_scale = Self(lab);
        full_scale.copy("full-scale.toml", &[]);
        full_scale
    }

    /// A copy of an experiment in which every `from` is a `to`.
    fn copy(&self, name: &str, changes: &[(&str, &str)]) {
        let mut text = fs::read_to_string(manifest("experiments").join(name)).unwrap();
        let near = [
            ("https://api.openai.com/v1", "http://localhost:8000/v1"),
            ("7_473", "4"),
            ("1_319", "4"),
        ];
        for (from, to) in near.iter().chain(changes) {
            text = text.replace(from, to);
        }
        self.0.write(&format!("experiments/{name}"), text);
    }

    fn plan(&self, name: &str) -> Ran {
        let file = format!("experiments/{name}");
        let more = [
            "--set",
            "task.gsm8k.path=data",
            "--backend",
            "flex",
            "--format",
            "json",
        ];
        self.0.on_store(&[&["plan", &file][..], &more].concat())
    }

    /// Puts sizes and dialogues of all bases where their recipes say that checkpoints are.
    fn bases_without_weights(&self) {
        let mistral = json!({
            "model_type": "mistral", "intermediate_size": 14_336, "num_key_value_heads": 8,
            "max_position_embeddings": 32_768, "rope_theta": 1e6,
        });
        let llama_3 = json!({
            "vocab_size": 128_256, "intermediate_size": 14_336, "num_key_value_heads": 8,
            "max_position_embeddings": 8192, "rope_theta": 5e5,
        });
        without_weights(&self.0, "models/Llama-2-7b-chat-hf", "llama-2", &json!({}));
        without_weights(
            &self.0,
            "models/Mistral-7B-Instruct-v0.2",
            "mistral-v0.2",
            &mistral,
        );
        without_weights(
            &self.0,
            "models/Meta-Llama-3-8B-Instruct",
            "llama-3",
            &llama_3,
        );
    }
}

#[test]
fn the_papers_tables_are_planned_up_to_the_missing_weights() {
    let full_scale = FullScale::new();
    let missing = full_scale.plan("full-scale.toml");
    missing.expect_exit(2);
    let said = "base model `llama-2-7b-chat`: there is no folder models/Llama-2-7b-chat-hf";
    assert!(missing.stderr.contains(said), "{}", missing.stderr);

    full_scale.bases_without_weights();
    let ran = full_scale.plan("full-scale.toml");
    ran.expect_exit(0);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["runs"].as_array().map(Vec::len), Some(12), "{plan:#}");
    let bases: BTreeSet<&str> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|stage| stage["label"].as_str())
        .filter(|label| label.starts_with("base "))
        .collect();
    assert_eq!(bases.len(), 3, "{bases:?}");
    let training = plan["needs"]["training"].as_object().unwrap();
    let total: u64 = training.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    // Weights, their gradients and two moments in 32 bits are 125 GB, and activations stand beside them.
    assert!((125 << 30..250 << 30).contains(&total), "{training:?}");
}

#[test]
fn the_other_experiments_are_planned_at_full_scale_as_their_heads_say() {
    let full_scale = FullScale::new();
    full_scale.bases_without_weights();
    let common = [
        (
            "extends = \"baseline.toml\"",
            "extends = \"full-scale.toml\"",
        ),
        (", \"task.word-problems.steps\" = [3, 4]", ""),
        (", \"task.word-problems.steps\" = [4, 4]", ""),
        ("\"weak\"", "\"llama-2-7b-chat\""),
        ("\"strong\"", "\"mistral-7b-instruct-v0.2\""),
        ("\"open\"", "\"llama-3-8b-instruct\""),
    ];
    let capable = "openai = { base_url = \"http://localhost:8000/v1\", model = \"gpt-3.5-turbo\" }";
    let boost = format!("problems = 4, {capable}");
    let svamp = format!(
        "{{ svamp = {{ path = {:?} }} }}",
        manifest("tests/fixtures/svamp").display().to_string()
    );
    let own: &[(&str, &[(&str, &str)])] = &[
        ("baselines.toml", &[]),
        ("cross-model.toml", &[("test = 2_000", "test = 4")]),
        ("iterations.toml", &[("count = 3", "count = 2")]),
        ("later-methods.toml", &[]),
        ("nll.toml", &[]),
        (
            "on-vs-off-policy.toml",
            &[(
                "problems = 2_000, model = \"mistral-7b-instruct-v0.2\"",
                &boost,
            )],
        ),
        (
            "ood.toml",
            &[
                ("{ word-problems-larger = {} }", &svamp),
                ("{ label = \"more steps\"", "#"),
                ("{ label = \"other words\"", "#"),
            ],
        ),
        (
            "pass-at-b.toml",
            &[("[1, 2, 4]", "[1, 2, 4, 8, 16]"), ("1_000", "4")],
        ),
        ("retry.toml", &[]),
        ("selection.toml", &[]),
        (
            "table2-self-distillation.toml",
            &[("[sweep]", "[run.rounds]\ncount = 1\n\n[sweep]")],
        ),
        ("turns.toml", &[("max_tokens = 56", "max_tokens = 500")]),
        ("weighting.toml", &[]),
    ];
    for (name, changes) in own {
        full_scale.copy(name, &[&common, *changes].concat());
        let ran = full_scale.plan(name);
        assert_eq!(ran.exit, Some(0), "{name}: {}", ran.stderr);
        let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
        let small = plan["stages"].to_string().contains("base weak");
        assert!(
            !small && plan["runs"].as_array().is_some_and(|runs| runs.len() > 3),
            "{name}: {plan:#}"
        );
    }
}

#[test]
fn adapters_of_other_sizes_are_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(checkpoint::ADAPTER_CONFIG_FILE), r#"{"peft_type":"LORA","base_model_name_or_path":"../x","r":2,"lora_alpha":4,"target_modules":["q_proj"],"use_dora":true}"#).unwrap();
    let error = checkpoint::adapter_base(folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("only plain LoRA with one rank is known"),
        "{error}"
    );
}
