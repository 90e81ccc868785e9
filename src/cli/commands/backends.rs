//! `rise-lab backends`: which backends are compiled in, their devices, and whether they compute
//! what `flex` computes.

use anyhow::Error;

use crate::cli::args::{BackendsAction, BackendsArguments};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::{Output, Style};
use crate::cli::table::Table;
use crate::pipeline::{Checked, Here, Listed, backends as every, check_backends};

/// Lists or checks backends.
///
/// # Errors
/// If the backend that is named cannot be opened.
pub fn backends(arguments: &BackendsArguments, environment: &Environment) -> Result<Exit, Fault> {
    let (only, output) = (arguments.backend.as_deref(), environment.output);
    let wrong = |error: String| Fault::usage(Error::msg(error));
    match arguments.action {
        BackendsAction::List => {
            let all = every(only).map_err(wrong)?;
            output.answer(|| listing(&all), &all)?;
            Ok(Exit::Fine)
        }
        BackendsAction::Check => {
            let all = check_backends(only).map_err(wrong)?;
            output.answer(|| comparison(&all, output), &all)?;
            Ok(if all.iter().all(|checked| checked.conforms) { Exit::Fine } else { Exit::Failed })
        }
    }
}

fn listing(all: &[Listed]) -> String {
    let mut table = Table::new(["backend", "here", "device"]);
    for listed in all {
        let here = match listed.here {
            Here::Yes => "yes",
            Here::NoDevice => "no device",
            Here::NotCompiledIn => "not compiled in",
        };
        table.row([listed.backend.as_str(), here, listed.about.as_str()]);
    }
    table.to_string()
}

fn comparison(all: &[Checked], output: Output) -> String {
    let mut table = Table::new([
        "backend",
        "precision",
        "conforms",
        "#log-probability",
        "#loss",
        "#gradient norm",
        "#same continuations",
        "#seconds",
    ]);
    for checked in all {
        let (style, said) = if checked.conforms { (Style::Green, "yes") } else { (Style::Red, "no") };
        let mut cells = vec![checked.backend.clone(), checked.precision.name().to_owned()];
        match (&checked.differences, &checked.error) {
            (Some(found), _) => {
                cells.push(output.styled(style, said));
                cells.extend(
                    [found.log_probability, found.loss, found.norm].map(|value| format!("{value:.1e}")),
                );
                cells.push(format!("{:.0} %", 100.0 * found.same));
                cells.push(format!("{:.1}", found.seconds));
            }
            (None, error) => {
                let error = error.as_deref().unwrap_or_default();
                cells.push(output.styled(style, &format!("failed: {error}")));
                cells.extend([""; 5].map(str::to_owned));
            }
        }
        table.row(cells);
    }
    let legend = "greatest differences from `flex`: of a token's log-probability; of losses and gradient norms over some\n\
                  optimizer steps, as parts of them";
    format!("{table}\n{legend}\n")
}
