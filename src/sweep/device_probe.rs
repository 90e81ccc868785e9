//! Probes each device in its own process, so that a crashing driver ends only that process.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use serde::de::DeserializeOwned;
use serde_json::Deserializer;

use crate::model::Precision;
use crate::pipeline::{
    DeviceAvailability, DeviceCheck, DeviceListing, backend_devices, backend_names,
    backend_precisions, check_backend, check_device,
};

/// Signals that the system sends to a faulty program: SIGILL, SIGBUS, SIGFPE, SIGSEGV.
const CRASH_SIGNALS: [i32; 4] = [4, 7, 8, 11];

/// The process that probes devices.
#[derive(Clone, Debug)]
pub enum DeviceProbe {
    /// This process, which a crash ends.
    InProcess,
    /// A new process for each device.
    Subprocess(ProbeProgram),
}

/// A program that probes devices.
#[derive(Clone, Debug)]
pub struct ProbeProgram {
    path: PathBuf,
    /// Arguments before those of a probe.
    args: Vec<OsString>,
}

/// The end of a process that printed no result.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProbeFailure {
    crashed: bool,
    reason: String,
}

impl DeviceProbe {
    /// Probes in processes of this program.
    ///
    /// # Errors
    /// If the system does not know this program's path.
    pub fn in_subprocesses() -> io::Result<Self> {
        Ok(Self::Subprocess(ProbeProgram {
            path: std::env::current_exe()?,
            args: vec!["backends".into()],
        }))
    }

    /// Every device of every backend, or of the named one.
    ///
    /// # Errors
    /// If the named backend has no device: the reason.
    pub fn list(&self, only: Option<&str>) -> Result<Vec<DeviceListing>, String> {
        let Some(name) = only else {
            return Ok(backend_names()
                .into_iter()
                .flat_map(|name| match check_backend(name) {
                    Ok(()) => self.probe_devices(name),
                    Err(_) => backend_devices(name),
                })
                .collect());
        };
        check_backend(name)?;
        let listed = self.probe_devices(name);
        // The coordinating process decides about a missing device.
        if matches!(self, Self::InProcess) {
            Ok(listed)
        } else {
            require_device(name, listed)
        }
    }

    /// Compares every device, or those of the named backend, with the default backend; in one
    /// precision, or in all of the backend.
    ///
    /// # Errors
    /// If the named backend has no device: the reason.
    pub fn check(
        &self,
        only: Option<&str>,
        precision: Option<Precision>,
    ) -> Result<Vec<DeviceCheck>, String> {
        let mut listed = self.list(only)?;
        if let Some(name) = only {
            listed = require_device(name, listed)?;
        }
        Ok(listed
            .into_iter()
            .flat_map(|listed| self.check_listed_device(&listed, precision))
            .collect())
    }

    fn check_listed_device(
        &self,
        listed: &DeviceListing,
        only: Option<Precision>,
    ) -> Vec<DeviceCheck> {
        let precisions = backend_precisions(&listed.backend).iter().copied();
        let wanted = precisions.filter(|precision| only.is_none_or(|only| only == *precision));
        match listed.availability {
            DeviceAvailability::Available => wanted
                .map(|precision| self.compare_device(&listed.backend, precision))
                .collect(),
            DeviceAvailability::Crashed => {
                let failure = ProbeFailure {
                    crashed: true,
                    reason: listed.description.clone(),
                };
                wanted
                    .map(|precision| failed_check(&listed.backend, precision, failure.clone()))
                    .collect()
            }
            DeviceAvailability::NoDevice | DeviceAvailability::NotCompiledIn => Vec::new(),
        }
    }

    fn probe_devices(&self, name: &str) -> Vec<DeviceListing> {
        let Some(program) = self.program_for(name) else {
            return backend_devices(name);
        };
        program
            .run_probe(&["list", name])
            .unwrap_or_else(|failure| {
                vec![DeviceListing {
                    backend: name.to_owned(),
                    availability: if failure.crashed {
                        DeviceAvailability::Crashed
                    } else {
                        DeviceAvailability::NoDevice
                    },
                    software: false,
                    description: failure.reason,
                }]
            })
    }

    fn compare_device(&self, name: &str, precision: Precision) -> DeviceCheck {
        let Some(program) = self.program_for(name) else {
            return check_device(name, precision);
        };
        program
            .run_probe(&["check", name, "--precision", precision.name()])
            .and_then(|mut checks| {
                checks.pop().ok_or_else(|| ProbeFailure {
                    crashed: false,
                    reason: "the process compared nothing".to_owned(),
                })
            })
            .unwrap_or_else(|failure| failed_check(name, precision, failure))
    }

    /// The program that probes a backend; none for the default backend, which needs no driver.
    fn program_for(&self, name: &str) -> Option<&ProbeProgram> {
        match self {
            Self::Subprocess(program) if name != backend_names()[0] => Some(program),
            _ => None,
        }
    }
}

impl ProbeProgram {
    /// Runs one probe in a new process.
    fn run_probe<T: DeserializeOwned>(&self, probe: &[&str]) -> Result<Vec<T>, ProbeFailure> {
        let output = Command::new(&self.path)
            .args(&self.args)
            .args(probe)
            .args(["--in-process", "--format", "json"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| ProbeFailure {
                crashed: false,
                reason: format!("cannot start a process: {error}"),
            })?;
        parse_output(&output.stdout).ok_or_else(|| failure_from_exit(output.status, &output.stderr))
    }
}

/// The devices of a named backend; an error if it has none.
fn require_device(name: &str, listed: Vec<DeviceListing>) -> Result<Vec<DeviceListing>, String> {
    match listed.as_slice() {
        [
            DeviceListing {
                availability: DeviceAvailability::NoDevice,
                description,
                ..
            },
        ] => Err(format!("there is no `{name}` here: {description}")),
        _ => Ok(listed),
    }
}

/// The list in a process's output, between lines that a driver printed.
fn parse_output<T: DeserializeOwned>(printed: &[u8]) -> Option<Vec<T>> {
    let text = String::from_utf8_lossy(printed);
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1));
    starts
        .map(|start| &text[start..])
        .filter(|rest| rest.starts_with('['))
        .find_map(|rest| Deserializer::from_str(rest).into_iter().next()?.ok())
}

/// The failure that an exit status and the last line of standard error describe.
fn failure_from_exit(status: ExitStatus, errors: &[u8]) -> ProbeFailure {
    if let Some(signal) = signal(status) {
        let reason = if CRASH_SIGNALS.contains(&signal) {
            format!("crashed (signal {signal}) inside the driver")
        } else {
            format!("was killed (signal {signal})")
        };
        return ProbeFailure {
            crashed: true,
            reason,
        };
    }
    let errors = String::from_utf8_lossy(errors);
    let last = errors.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.map_or_else(String::new, |last| format!(": {last}"));
    ProbeFailure {
        crashed: false,
        reason: format!("the process printed no result ({status}){last}"),
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// Elsewhere a crash is an exit code.
#[cfg(not(unix))]
const fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

fn failed_check(backend: &str, precision: Precision, failure: ProbeFailure) -> DeviceCheck {
    DeviceCheck {
        backend: backend.to_owned(),
        precision,
        conforms: false,
        differences: None,
        error: Some(failure.reason),
        crashed: failure.crashed,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A program that runs a shell script instead of a probe.
    fn script(text: &str) -> DeviceProbe {
        DeviceProbe::Subprocess(ProbeProgram {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), text.into()],
        })
    }

    #[test]
    fn a_process_that_crashes_is_told_as_such() {
        let DeviceCheck {
            conforms,
            error,
            crashed,
            ..
        } = script("kill -SEGV $$").compare_device("vulkan:0", Precision::Bf16);
        assert!(!conforms && crashed);
        assert_eq!(error.unwrap(), "crashed (signal 11) inside the driver");
        let killed = script("kill -KILL $$").compare_device("vulkan:0", Precision::F32);
        assert_eq!(
            (killed.crashed, killed.error.unwrap().as_str()),
            (true, "was killed (signal 9)")
        );
        let listed = script("kill -BUS $$").probe_devices("cuda");
        assert_eq!(
            (listed.len(), listed[0].availability),
            (1, DeviceAvailability::Crashed)
        );
        assert_eq!(
            listed[0].description,
            "crashed (signal 7) inside the driver"
        );
    }

    #[test]
    fn a_crash_is_reported_in_every_precision_and_leaves_the_others_be() {
        let drivers = script("kill -SEGV $$");
        let crashed = drivers.probe_devices("vulkan").remove(0);
        let checked = drivers.check_listed_device(&crashed, None);
        assert_eq!(
            checked
                .iter()
                .map(|checked| checked.precision)
                .collect::<Vec<_>>(),
            Precision::ALL
        );
        assert!(checked.iter().all(|checked| checked.crashed));
        assert_eq!(
            drivers
                .check_listed_device(&crashed, Some(Precision::Bf16))
                .len(),
            1
        );
        // The default backend is this program's own.
        assert!(drivers.compare_device("flex", Precision::F32).conforms);
        assert_eq!(
            drivers.probe_devices("flex")[0].availability,
            DeviceAvailability::Available
        );
    }

    /// The error of a device whose process runs this script.
    fn probe_error(text: &str) -> String {
        let check = script(text).compare_device("tch:cpu", Precision::F32);
        check.error.expect("a failed probe has an error")
    }

    #[test]
    fn an_end_without_an_answer_tells_its_last_words() {
        insta::assert_snapshot!(
            probe_error("echo libtorch.so: cannot open >&2; echo >&2; exit 127"),
            @"the process printed no result (exit status: 127): libtorch.so: cannot open"
        );
        insta::assert_snapshot!(probe_error("echo '['; echo 1"), @"the process printed no result (exit status: 0)");
        insta::assert_snapshot!(probe_error("echo '[]'"), @"the process compared nothing");
        let nowhere = DeviceProbe::Subprocess(ProbeProgram {
            path: "/no/such/program".into(),
            args: vec![],
        });
        let error = nowhere.compare_device("tch", Precision::F32).error.unwrap();
        assert!(error.starts_with("cannot start a process: "), "{error}");
    }

    #[test]
    fn an_answer_is_found_between_what_a_driver_prints() {
        let listed = DeviceListing {
            backend: "wgpu:0".to_owned(),
            availability: DeviceAvailability::Available,
            software: true,
            description: "llvmpipe".to_owned(),
        };
        let json = serde_json::to_string_pretty(&[&listed]).unwrap();
        let noisy = format!("[mesa] hello\nMESA: warning\n{json}\nMESA: bye\n");
        assert_eq!(
            parse_output::<DeviceListing>(noisy.as_bytes()),
            Some(vec![listed.clone()])
        );
        assert_eq!(parse_output::<DeviceListing>(b"[mesa] hello\n"), None);
        let probed = script(&format!("echo '{}'", json.replace('\n', " "))).probe_devices("wgpu");
        assert_eq!(probed, vec![listed]);
    }

    #[test]
    fn what_is_named_has_to_exist() {
        assert_eq!(DeviceProbe::InProcess.list(Some("flex")).unwrap().len(), 1);
        let error = DeviceProbe::InProcess
            .check(Some("opencl"), None)
            .unwrap_err();
        assert!(error.starts_with("there is no backend `opencl`"), "{error}");
        let missing = DeviceListing {
            backend: "vulkan:7".to_owned(),
            availability: DeviceAvailability::NoDevice,
            software: false,
            description: "backend `vulkan` has one device, `vulkan:0`, and not `vulkan:7`"
                .to_owned(),
        };
        insta::assert_snapshot!(
            require_device("vulkan:7", vec![missing]).unwrap_err(),
            @"there is no `vulkan:7` here: backend `vulkan` has one device, `vulkan:0`, and not `vulkan:7`"
        );
        assert_eq!(
            DeviceProbe::InProcess
                .check(Some("flex"), Some(Precision::Bf16))
                .unwrap()
                .len(),
            0
        );
    }
}
