//! `rise-lab backends`: which backends are compiled in, their devices, and whether they compute
//! what `flex` computes.

use anyhow::Error;

use crate::cli::args::{BackendsAction, BackendsArguments};
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::pipeline::{DeviceAvailability, DeviceCheck, DeviceListing};
use crate::sweep::DeviceProbe;

/// What may be done about a driver that crashes.
const CRASH_HINT: &str = "\
hint: update the driver of what crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
      which Mesa's software driver lacks: there, take a program that was built with `--features wgpu` alone.
      `--in-process` crashes under a debugger.
";

/// Lists or checks backends.
///
/// # Errors
/// If the backend that is named cannot be opened.
pub fn backends(
    arguments: &BackendsArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let (only, output) = (arguments.backend.as_deref(), environment.output);
    let wrong = |error: String| CliError::usage(Error::msg(error));
    let drivers = if arguments.in_process {
        DeviceProbe::InProcess
    } else {
        DeviceProbe::in_subprocesses().map_err(|error| CliError::new(ExitReason::Bug, error))?
    };
    match arguments.action {
        BackendsAction::List => {
            let all = drivers.list(only).map_err(wrong)?;
            output.print_result(|| device_table(&all), &all)?;
            Ok(ExitReason::Success)
        }
        BackendsAction::Check => {
            let all = drivers.check(only, arguments.precision).map_err(wrong)?;
            output.print_result(|| comparison_table(&all, output), &all)?;
            Ok(if all.iter().all(|checked| checked.conforms) {
                ExitReason::Success
            } else {
                ExitReason::RunsFailed
            })
        }
    }
}

fn device_table(all: &[DeviceListing]) -> String {
    let mut table = TextTable::new(["backend", "here", "device"]);
    for listed in all {
        let here = match listed.availability {
            DeviceAvailability::Available if listed.software => "yes, in software",
            DeviceAvailability::Available => "yes",
            DeviceAvailability::NoDevice => "no device",
            DeviceAvailability::NotCompiledIn => "not compiled in",
            DeviceAvailability::Crashed => "crashed",
        };
        table.add_row([listed.backend.as_str(), here, listed.description.as_str()]);
    }
    let crashed = all
        .iter()
        .any(|listed| listed.availability == DeviceAvailability::Crashed);
    format!("{table}{}", if crashed { CRASH_HINT } else { "" })
}

fn comparison_table(all: &[DeviceCheck], output: CliOutput) -> String {
    let mut table = TextTable::new([
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
            (TextStyle::Green, "yes")
        } else {
            (TextStyle::Red, "no")
        };
        let mut cells = vec![checked.backend.clone(), checked.precision.name().to_owned()];
        if let Some(found) = &checked.differences {
            cells.push(output.style_stdout(style, said));
            cells.extend(
                [found.log_probability, found.loss, found.norm].map(|value| format!("{value:.1e}")),
            );
            cells.push(format!("{:.0} %", 100.0 * found.matching_share));
            cells.push(format!("{:.1}", found.seconds));
        } else {
            cells.push(
                output.style_stdout(style, if checked.crashed { "crashed" } else { "failed" }),
            );
            cells.extend([""; 5].map(str::to_owned));
        }
        table.add_row(cells);
    }
    let legend = "greatest differences from `flex`: of a token's log-probability; of losses and gradient norms over some\n\
                  optimizer steps, as parts of them";
    let failed: String = all.iter().filter_map(failure_line).collect();
    let crashed = all.iter().any(|checked| checked.crashed);
    format!(
        "{table}{failed}\n{legend}\n{}",
        if crashed { CRASH_HINT } else { "" }
    )
}

/// Why a device could not be compared, as a line of its own.
fn failure_line(checked: &DeviceCheck) -> Option<String> {
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
    use crate::cli::fixtures::plain_output;
    use crate::model::Precision;

    fn listed(
        backend: &str,
        here: DeviceAvailability,
        software: bool,
        about: &str,
    ) -> DeviceListing {
        DeviceListing {
            backend: backend.to_owned(),
            availability: here,
            software,
            description: about.to_owned(),
        }
    }

    #[test]
    fn the_list_says_which_devices_are_software_and_which_crash() {
        let all = [
            listed(
                "wgpu:0",
                DeviceAvailability::Available,
                true,
                "llvmpipe (LLVM 15.0.6, 256 bits)",
            ),
            listed(
                "wgpu:1",
                DeviceAvailability::Available,
                false,
                "NVIDIA H100 PCIe",
            ),
            listed(
                "cuda",
                DeviceAvailability::NoDevice,
                false,
                "needs an NVIDIA driver and CUDA's NVRTC",
            ),
        ];
        insta::assert_snapshot!(device_table(&all), @"
        backend  here              device
        -------  ----------------  ---------------------------------------
        wgpu:0   yes, in software  llvmpipe (LLVM 15.0.6, 256 bits)
        wgpu:1   yes               NVIDIA H100 PCIe
        cuda     no device         needs an NVIDIA driver and CUDA's NVRTC
        ");
        let crashed = [listed(
            "vulkan",
            DeviceAvailability::Crashed,
            false,
            "crashed (signal 11) inside the driver",
        )];
        insta::assert_snapshot!(device_table(&crashed), @"
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
        let crashed = DeviceCheck {
            backend: "vulkan:0".to_owned(),
            precision: Precision::F32,
            conforms: false,
            differences: None,
            error: Some("crashed (signal 11) inside the driver".to_owned()),
            crashed: true,
        };
        insta::assert_snapshot!(comparison_table(&[crashed], plain_output()), @"
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
