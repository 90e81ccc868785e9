//! Whether a device has room for one dialogue with a checkpoint, asked before anything is read.

use super::source::Source;
use crate::cli::exit::Fault;
use crate::cli::quantity::memory;
use crate::model::memory::{Numbers, Work, footprint};
use crate::model::{Place, Precision};

/// Tokens of a dialogue that are counted before the answer.
const PROMPT: usize = 1024;

/// Refuses a checkpoint that a device of `held` bytes cannot answer with; lets pass what nobody can tell.
///
/// # Errors
/// If one dialogue needs more.
pub fn check_room(
    source: &Source,
    answer: usize,
    (place, backend): (&Place, &str),
    held: Option<u64>,
) -> Result<(), Fault> {
    let Some((need, precision)) = needed(source, answer, place) else {
        return Ok(());
    };
    let Some(held) = held.filter(|&held| need > held) else {
        return Ok(());
    };
    let (need, held) = (memory(need), memory(held));
    let fault = Fault::usage(format!(
        "{} needs about {need} in {} numbers, and the device of `{backend}` has {held}",
        source.name,
        precision.name()
    ));
    Err(fault.hint(match precision {
        Precision::F32 => {
            "`--precision bf16` needs about half of it; or name a larger device with `--backend`"
        }
        Precision::Bf16 => "name a larger device with `--backend`",
    }))
}

/// Bytes that one dialogue needs, and the numbers that it is computed in.
fn needed(source: &Source, answer: usize, place: &Place) -> Option<(u64, Precision)> {
    let (precision, found) = (source.precision()?, source.inspect());
    let (config, vocabulary) = (found.config?, found.vocabulary?);
    let prompt = PROMPT.min(config.positions.saturating_sub(answer)).max(1);
    let numbers = Numbers {
        precision,
        storage: precision,
        ..Numbers::of(place)
    };
    let work = Work::Sampling {
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
    use super::*;
    use crate::cli::args::SourceArguments;
    use crate::cli::environment::Environment;
    use crate::cli::samples::plain;
    use crate::model::Kernels;

    /// A checkpoint in Hugging Face's layout with sizes of its own.
    fn source() -> Source {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/architectures/llama-2"
        );
        let arguments = SourceArguments {
            source: folder.to_owned(),
            checkpoint: None,
        };
        let environment = Environment {
            store: "no store".into(),
            output: plain(),
        };
        Source::find(&arguments, &environment).unwrap()
    }

    /// A place that counts as a card would, on the one device that is always there.
    fn card() -> Place {
        Place {
            kernels: Kernels::Plain,
            ..Place::open("flex").unwrap()
        }
    }

    fn told(source: &Source, held: u64) -> String {
        let fault = check_room(source, 16, (&card(), "wgpu:1"), Some(held)).unwrap_err();
        format!("{}\n{}", fault.error, fault.hint.unwrap())
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        insta::assert_snapshot!(told(&source(), 1000), @r"
        llama-2 needs about 299 kB in f32 numbers, and the device of `wgpu:1` has 1 kB
        `--precision bf16` needs about half of it; or name a larger device with `--backend`
        ");
        let narrow = source().computing_in(Precision::Bf16).unwrap();
        let refused = told(&narrow, 1000);
        assert!(
            refused.contains("in bf16 numbers") && !refused.contains("half"),
            "{refused}"
        );
        let [wide, narrow] =
            [source(), narrow].map(|source| needed(&source, 16, &card()).unwrap().0);
        assert!(narrow < wide, "{narrow} of {wide}");
    }

    #[test]
    fn what_fits_and_what_nobody_can_tell_passes() {
        let need = needed(&source(), 16, &card()).unwrap().0;
        check_room(&source(), 16, (&card(), "wgpu"), Some(need)).unwrap();
        check_room(&source(), 16, (&card(), "wgpu"), None).unwrap();
    }
}
