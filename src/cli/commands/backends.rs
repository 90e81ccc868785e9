//! `rise-lab backends`: which backends are compiled in, their devices, and whether they compute
//! what `flex` computes.

use anyhow::Error;

use crate::cli::args::{BackendsAction, BackendsArguments};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::{Output, Style};
use crate::cli::table::Table;
use crate::pipeline::{Checked, Here, Listed};
use crate::sweep::Drivers;

/// What may be done about a driver that crashes.
const CRASH: &str = "\
hint: update the driver of what crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
      which Mesa's software driver lacks: there, take a program that was built with `--features wgpu` alone.
      `--in-process` crashes under a debugger.
";

/// Lists or checks backends.
///
/// # Errors
/// If the backend that is named cannot be opened.
pub fn backends(arguments: &BackendsArguments, environment: &Environment) -> Result<Exit, Fault> {
    let (only, output) = (arguments.backend.as_deref(), environment.output);
    let wrong = |error: String| Fault::usage(Error::msg(error));
    let drivers = if arguments.in_process {
        Drivers::Here
    } else {
        Drivers::apart().map_err(|error| Fault::new(Exit::Bug, error))?
    };
    match arguments.action {
        BackendsAction::List => {
            let all = drivers.list(only).map_err(wrong)?;
            output.answer(|| listing(&all), &all)?;
            Ok(Exit::Fine)
        }
        BackendsAction::Check => {
            let all = drivers.check(only, arguments.precision).map_err(wrong)?;
            output.answer(|| comparison(&all, output), &all)?;
            Ok(if all.iter().all(|checked| checked.conforms) {
                Exit::Fine
            } else {
                Exit::Failed
            })
        }
    }
}

fn listing(all: &[Listed]) -> String {
    let mut table = Table::new(["backend", "here", "device"]);
    for listed in all {
        let here = match listed.here {
            Here::Yes if listed.software => "yes, in software",
            Here::Yes => "yes",
            Here::NoDevice => "no device",
            Here::NotCompiledIn => "not compiled in",
            Here::Crashed => "crashed",
        };
        table.row([listed.backend.as_str(), here, listed.about.as_str()]);
    }
    let crashed = all.iter().any(|listed| listed.here == Here::Crashed);
    format!("{table}{}", if crashed { CRASH } else { "" })
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
        let (style, said) = if checked.conforms {
            (Style::Green, "yes")
        } else {
            (Style::Red, "no")
        };
        let mut cells = vec![checked.backend.clone(), checked.precision.name().to_owned()];
        if let Some(found) = &checked.differences {
            cells.push(output.styled(style, said));
            cells.extend(
                [found.log_probability, found.loss, found.norm].map(|value| format!("{value:.1e}")),
            );
            cells.push(format!("{:.0} %", 100.0 * found.same));
            cells.push(format!("{:.1}", found.seconds));
        } else {
            cells.push(output.styled(style, if checked.crashed { "crashed" } else { "failed" }));
            cells.extend([""; 5].map(str::to_owned));
        }
        table.row(cells);
    }
    let legend = "greatest differences from `flex`: of a token's log-probability; of losses and gradient norms over some\n\
                  optimizer steps, as parts of them";
    let failed: String = all.iter().filter_map(failure).collect();
    let crashed = all.iter().any(|checked| checked.crashed);
    format!(
        "{table}{failed}\n{legend}\n{}",
        if crashed { CRASH } else { "" }
    )
}

/// Why a device could not be compared, as a line of its own.
fn failure(checked: &Checked) -> Option<String> {
    let error = checked.error.as_ref()?;
    Some(format!(
        "\n{}, {}: {error}\n",
        checked.backend,
        checked.precision.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::plain;
    use crate::pipeline::Precision;

    fn listed(backend: &str, here: Here, software: bool, about: &str) -> Listed {
        Listed {
            backend: backend.to_owned(),
            here,
            software,
            about: about.to_owned(),
        }
    }

    #[test]
    fn the_list_says_which_devices_are_software_and_which_crash() {
        let all = [
            listed(
                "wgpu:0",
                Here::Yes,
                true,
                "llvmpipe (LLVM 15.0.6, 256 bits)",
            ),
            listed("wgpu:1", Here::Yes, false, "NVIDIA H100 PCIe"),
            listed(
                "cuda",
                Here::NoDevice,
                false,
                "needs an NVIDIA driver and CUDA's NVRTC",
            ),
        ];
        insta::assert_snapshot!(listing(&all), @"
        backend  here              device
        -------  ----------------  ---------------------------------------
        wgpu:0   yes, in software  llvmpipe (LLVM 15.0.6, 256 bits)
        wgpu:1   yes               NVIDIA H100 PCIe
        cuda     no device         needs an NVIDIA driver and CUDA's NVRTC
        ");
        let crashed = [listed(
            "vulkan",
            Here::Crashed,
            false,
            "crashed (signal 11) inside the driver",
        )];
        insta::assert_snapshot!(listing(&crashed), @"
        backend  here     device
        -------  -------  -------------------------------------
        vulkan   crashed  crashed (signal 11) inside the driver
        hint: update the driver of what crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
              which Mesa's software driver lacks: there, take a program that was built with `--features wgpu` alone.
              `--in-process` crashes under a debugger.
        ");
    }

    #[test]
    fn a_crash_is_a_row_with_a_hint() {
        let crashed = Checked {
            backend: "vulkan:0".to_owned(),
            precision: Precision::F32,
            conforms: false,
            differences: None,
            error: Some("crashed (signal 11) inside the driver".to_owned()),
            crashed: true,
        };
        insta::assert_snapshot!(comparison(&[crashed], plain()), @"
        backend   precision  conforms  log-probability  loss  gradient norm  same continuations  seconds
        --------  ---------  --------  ---------------  ----  -------------  ------------------  -------
        vulkan:0  f32        crashed

        vulkan:0, f32: crashed (signal 11) inside the driver

        greatest differences from `flex`: of a token's log-probability; of losses and gradient norms over some
        optimizer steps, as parts of them
        hint: update the driver of what crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
              which Mesa's software driver lacks: there, take a program that was built with `--features wgpu` alone.
              `--in-process` crashes under a debugger.
        ");
    }
}
