//! `rise-lab backends` lists backends and their devices, or compares them with `flex`.

use clap::{Args, ValueEnum};

use crate::cli::args::parse_name;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::model::Precision;
use crate::pipeline::{DeviceAvailability, DeviceCheck, DeviceListing};
use crate::sweep::DeviceProbe;

/// `rise-lab backends`.
#[derive(Debug, Args)]
pub struct BackendsArguments {
    /// List backends, or check them
    #[arg(value_enum, default_value = "list")]
    pub action: BackendsAction,
    /// Use only this one, e.g. vulkan or tch:1 [default: all]
    #[arg(value_name = "BACKEND")]
    pub backend: Option<String>,
    /// Compare only in this precision: f32 or bf16
    #[arg(long, value_name = "PRECISION", value_parser = parse_name::<Precision>)]
    pub precision: Option<Precision>,
    /// Probe devices in this process (a crash ends rise-lab)
    #[arg(long)]
    pub in_process: bool,
}

/// The actions of `rise-lab backends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendsAction {
    /// List the compiled-in backends and their devices
    List,
    /// Run a small model on each device and compare with `flex`
    Check,
}

/// The way out after a driver crash.
const CRASH_HINT: &str = "\
hint: update the driver that crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
      which Mesa's software driver lacks; build with `--features wgpu` alone there.
      `--in-process` crashes under a debugger.
";

/// The legend of the comparison.
const COMPARISON_LEGEND: &str = "\
largest differences from `flex`: absolute for a token's log-probability; relative for losses and
gradient norms over some optimizer steps";

/// Lists or checks backends.
///
/// # Errors
/// If the named backend cannot be opened.
pub fn backends(
    arguments: &BackendsArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let (only, output) = (arguments.backend.as_deref(), environment.output);
    let probe = if arguments.in_process {
        DeviceProbe::InProcess
    } else {
        DeviceProbe::in_subprocesses().map_err(|error| CliError::new(ExitReason::Bug, error))?
    };
    match arguments.action {
        BackendsAction::List => {
            let all = probe.list(only).map_err(CliError::usage)?;
            output.print_result(|| device_table(&all), &all)?;
            Ok(ExitReason::Success)
        }
        BackendsAction::Check => {
            let all = probe
                .check(only, arguments.precision)
                .map_err(CliError::usage)?;
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
    let has_crash = all
        .iter()
        .any(|listed| listed.availability == DeviceAvailability::Crashed);
    format!("{table}{}", if has_crash { CRASH_HINT } else { "" })
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
    for check in all {
        table.add_row(comparison_cells(check, output));
    }
    let failures: String = all.iter().filter_map(failure_line).collect();
    let has_crash = all.iter().any(|check| check.crashed);
    format!(
        "{table}{failures}\n{COMPARISON_LEGEND}\n{}",
        if has_crash { CRASH_HINT } else { "" }
    )
}

fn comparison_cells(check: &DeviceCheck, output: CliOutput) -> Vec<String> {
    let (style, verdict) = match (&check.differences, check.conforms) {
        (Some(_), true) => (TextStyle::Green, "yes"),
        (Some(_), false) => (TextStyle::Red, "no"),
        (None, _) if check.crashed => (TextStyle::Red, "crashed"),
        (None, _) => (TextStyle::Red, "failed"),
    };
    let mut cells = vec![
        check.backend.clone(),
        check.precision.name().to_owned(),
        output.style_stdout(style, verdict),
    ];
    match &check.differences {
        Some(differences) => {
            let values = [
                differences.log_probability,
                differences.loss,
                differences.norm,
            ];
            cells.extend(values.map(|value| format!("{value:.1e}")));
            cells.push(format!("{:.0} %", 100.0 * differences.matching_share));
            cells.push(format!("{:.1}", differences.seconds));
        }
        None => cells.extend([""; 5].map(str::to_owned)),
    }
    cells
}

/// The line with the error of a device.
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
    fn the_list_shows_which_devices_are_software() {
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
    }

    #[test]
    fn the_list_shows_which_devices_crash() {
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
        hint: update the driver that crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
              which Mesa's software driver lacks; build with `--features wgpu` alone there.
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

        largest differences from `flex`: absolute for a token's log-probability; relative for losses and
        gradient norms over some optimizer steps
        hint: update the driver that crashed. `vulkan` needs a driver with VK_KHR_workgroup_memory_explicit_layout,
              which Mesa's software driver lacks; build with `--features wgpu` alone there.
              `--in-process` crashes under a debugger.
        ");
    }
}
