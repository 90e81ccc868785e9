//! Checks that a device can hold one dialogue, before the weights are read.

use super::checkpoint_source::CheckpointSource;
use crate::cli::error::CliError;
use crate::cli::format::format_bytes;
use crate::model::footprint::{NumericFormat, Workload, footprint};
use crate::model::{ExecutionContext, Precision};

/// Assumed tokens of a dialogue before the answer.
const PROMPT_TOKENS: usize = 1024;

/// Checks that one dialogue fits a device of `held` bytes; passes if either is unknown.
///
/// # Errors
/// If one dialogue needs more.
pub fn check_chat_memory(
    source: &CheckpointSource,
    answer: usize,
    (context, backend): (&ExecutionContext, &str),
    held: Option<u64>,
) -> Result<(), CliError> {
    let Some((need, precision)) = required_memory(source, answer, context) else {
        return Ok(());
    };
    let Some(held) = held.filter(|&held| need > held) else {
        return Ok(());
    };
    let (need, held) = (format_bytes(need), format_bytes(held));
    let error = CliError::usage(format!(
        "{} needs about {need} in {}, and the device of `{backend}` has {held}",
        source.name,
        precision.name()
    ));
    Err(error.with_hint(match precision {
        Precision::F32 => {
            "use `--precision bf16`, which needs about half, or a larger device with `--backend`"
        }
        Precision::Bf16 => "choose a larger device with `--backend`",
    }))
}

/// Bytes that one dialogue needs, and its precision.
fn required_memory(
    source: &CheckpointSource,
    answer: usize,
    context: &ExecutionContext,
) -> Option<(u64, Precision)> {
    let (precision, found) = (source.precision()?, source.inspect());
    let (config, vocabulary) = (found.config?, found.vocabulary?);
    let prompt = PROMPT_TOKENS
        .min(config.positions.saturating_sub(answer))
        .max(1);
    let format = NumericFormat {
        precision,
        storage: precision,
        ..NumericFormat::from_context(context)
    };
    let workload = Workload::Sampling {
        sequences: 1,
        prompt,
        answer,
    };
    Some((
        footprint(&config, vocabulary, &workload, &format).total(),
        precision,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint_source::CheckpointArguments;
    use super::*;
    use crate::cli::environment::CliEnvironment;
    use crate::cli::fixtures::plain_output;
    use crate::model::Engine;

    /// A checkpoint in Hugging Face's layout.
    fn source() -> CheckpointSource {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/architectures/llama-2"
        );
        let arguments = CheckpointArguments {
            source: folder.to_owned(),
            checkpoint: None,
        };
        let environment = CliEnvironment {
            store_dir: "no store".into(),
            output: plain_output(),
        };
        CheckpointSource::find(&arguments, &environment).unwrap()
    }

    /// A context that counts as on a graphics card.
    fn card() -> ExecutionContext {
        ExecutionContext {
            engine: Engine::Portable,
            ..ExecutionContext::open("flex").unwrap()
        }
    }

    fn refusal(source: &CheckpointSource, held: u64) -> String {
        let error = check_chat_memory(source, 16, (&card(), "wgpu:1"), Some(held)).unwrap_err();
        format!("{}\n{}", error.error, error.hint.unwrap())
    }

    #[test]
    fn a_dialogue_that_does_not_fit_is_refused_with_a_way_out() {
        insta::assert_snapshot!(refusal(&source(), 1000), @r"
        llama-2 needs about 299 kB in f32, and the device of `wgpu:1` has 1 kB
        use `--precision bf16`, which needs about half, or a larger device with `--backend`
        ");
        let narrow = source().with_precision(Precision::Bf16).unwrap();
        let refused = refusal(&narrow, 1000);
        assert!(
            refused.contains("in bf16,") && !refused.contains("half"),
            "{refused}"
        );
        let [wide, narrow] =
            [source(), narrow].map(|source| required_memory(&source, 16, &card()).unwrap().0);
        assert!(narrow < wide, "{narrow} of {wide}");
    }

    #[test]
    fn a_fitting_dialogue_and_an_unknown_device_pass() {
        let need = required_memory(&source(), 16, &card()).unwrap().0;
        check_chat_memory(&source(), 16, (&card(), "wgpu"), Some(need)).unwrap();
        check_chat_memory(&source(), 16, (&card(), "wgpu"), None).unwrap();
    }
}
