//! Whether a device has room for one dialogue with a checkpoint, asked before anything is read.

use super::checkpoint_source::CheckpointSource;
use crate::cli::error::CliError;
use crate::cli::format::format_bytes;
use crate::model::footprint::{NumericFormat, Workload, footprint};
use crate::model::{ExecutionContext, Precision};

/// Tokens of a dialogue that are counted before the answer.
const PROMPT_TOKENS: usize = 1024;

/// Refuses a checkpoint that a device of `held` bytes cannot answer with; lets pass what nobody can tell.
///
/// # Errors
/// If one dialogue needs more.
pub fn check_chat_memory(
    source: &CheckpointSource,
    answer: usize,
    (place, backend): (&ExecutionContext, &str),
    held: Option<u64>,
) -> Result<(), CliError> {
    let Some((need, precision)) = required_memory(source, answer, place) else {
        return Ok(());
    };
    let Some(held) = held.filter(|&held| need > held) else {
        return Ok(());
    };
    let (need, held) = (format_bytes(need), format_bytes(held));
    let fault = CliError::usage(format!(
        "{} needs about {need} in {} numbers, and the device of `{backend}` has {held}",
        source.name,
        precision.name()
    ));
    Err(fault.with_hint(match precision {
        Precision::F32 => {
            "`--precision bf16` needs about half of it; or name a larger device with `--backend`"
        }
        Precision::Bf16 => "name a larger device with `--backend`",
    }))
}

/// Bytes that one dialogue needs, and the numbers that it is computed in.
fn required_memory(
    source: &CheckpointSource,
    answer: usize,
    place: &ExecutionContext,
) -> Option<(u64, Precision)> {
    let (precision, found) = (source.precision()?, source.inspect());
    let (config, vocabulary) = (found.config?, found.vocabulary?);
    let prompt = PROMPT_TOKENS
        .min(config.positions.saturating_sub(answer))
        .max(1);
    let numbers = NumericFormat {
        precision,
        storage: precision,
        ..NumericFormat::from_context(place)
    };
    let work = Workload::Sampling {
        sequences: 1,
        prompt,
        answer,
    };
    Some((
        footprint(&config, vocabulary, &work, &numbers).total(),
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

    /// A checkpoint in Hugging Face's layout with sizes of its own.
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

    /// A place that counts as a card would, on the one device that is always there.
    fn card() -> ExecutionContext {
        ExecutionContext {
            engine: Engine::Portable,
            ..ExecutionContext::open("flex").unwrap()
        }
    }

    fn told(source: &CheckpointSource, held: u64) -> String {
        let fault = check_chat_memory(source, 16, (&card(), "wgpu:1"), Some(held)).unwrap_err();
        format!("{}\n{}", fault.error, fault.hint.unwrap())
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        insta::assert_snapshot!(told(&source(), 1000), @r"
        llama-2 needs about 299 kB in f32 numbers, and the device of `wgpu:1` has 1 kB
        `--precision bf16` needs about half of it; or name a larger device with `--backend`
        ");
        let narrow = source().with_precision(Precision::Bf16).unwrap();
        let refused = told(&narrow, 1000);
        assert!(
            refused.contains("in bf16 numbers") && !refused.contains("half"),
            "{refused}"
        );
        let [wide, narrow] =
            [source(), narrow].map(|source| required_memory(&source, 16, &card()).unwrap().0);
        assert!(narrow < wide, "{narrow} of {wide}");
    }

    #[test]
    fn what_fits_and_what_nobody_can_tell_passes() {
        let need = required_memory(&source(), 16, &card()).unwrap().0;
        check_chat_memory(&source(), 16, (&card(), "wgpu"), Some(need)).unwrap();
        check_chat_memory(&source(), 16, (&card(), "wgpu"), None).unwrap();
    }
}
