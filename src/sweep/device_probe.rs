//! Questions to device drivers, each asked in a process of its own: a driver that crashes takes that
//! process with it, and every other device is still looked at.
//!
//! Hides how the question is put and how an end without an answer is told. Must not know what a
//! device computes, nor how answers are shown.

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

/// Signals that the system sends to a program that breaks its rules: SIGILL, SIGBUS, SIGFPE, SIGSEGV.
const CRASH_SIGNALS: [i32; 4] = [4, 7, 8, 11];

/// Where drivers are asked.
#[derive(Clone, Debug)]
pub enum DeviceProbe {
    /// In this very process, which a crash then ends.
    InProcess,
    /// In processes of a program of their own.
    Subprocess(ProbeProgram),
}

/// A program that answers questions about backends.
#[derive(Clone, Debug)]
pub struct ProbeProgram {
    path: PathBuf,
    /// Arguments before those of a question.
    args: Vec<OsString>,
}

/// How a process ended that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProbeFailure {
    crashed: bool,
    reason: String,
}

impl DeviceProbe {
    /// Processes of this very program.
    ///
    /// # Errors
    /// If the system does not tell where this program lies.
    pub fn in_subprocesses() -> io::Result<Self> {
        Ok(Self::Subprocess(ProbeProgram {
            path: std::env::current_exe()?,
            args: vec!["backends".into()],
        }))
    }

    /// Every device of every backend, or of the one that is named.
    ///
    /// # Errors
    /// If the one that is named has none: why.
    pub fn list(&self, only: Option<&str>) -> Result<Vec<DeviceListing>, String> {
        let Some(name) = only else {
            let devices = |name| match check_backend(name) {
                Ok(()) => self.probe_devices(name),
                Err(_) => backend_devices(name),
            };
            return Ok(backend_names().into_iter().flat_map(devices).collect());
        };
        check_backend(name)?;
        let listed = self.probe_devices(name);
        // Who asks from another process is told all that there is to tell.
        if matches!(self, Self::InProcess) {
            Ok(listed)
        } else {
            require_device(name, listed)
        }
    }

    /// Compares every device, or those of the backend that is named, with the default backend; in one
    /// precision, or in all that the backend has.
    ///
    /// # Errors
    /// If the one that is named has no device: why.
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
                let death = ProbeFailure {
                    crashed: true,
                    reason: listed.description.clone(),
                };
                wanted
                    .map(|precision| failed_check(&listed.backend, precision, death.clone()))
                    .collect()
            }
            DeviceAvailability::NoDevice | DeviceAvailability::NotCompiledIn => Vec::new(),
        }
    }

    fn probe_devices(&self, name: &str) -> Vec<DeviceListing> {
        let Some(program) = self.program_for(name) else {
            return backend_devices(name);
        };
        program.run_probe(&["list", name]).unwrap_or_else(
            |ProbeFailure {
                 crashed,
                 reason: how,
             }| {
                let availability = if crashed {
                    DeviceAvailability::Crashed
                } else {
                    DeviceAvailability::NoDevice
                };
                vec![DeviceListing {
                    backend: name.to_owned(),
                    availability,
                    software: false,
                    description: how,
                }]
            },
        )
    }

    fn compare_device(&self, name: &str, precision: Precision) -> DeviceCheck {
        let Some(program) = self.program_for(name) else {
            return check_device(name, precision);
        };
        let none = || ProbeFailure {
            crashed: false,
            reason: "the process compared nothing".to_owned(),
        };
        program
            .run_probe(&["check", name, "--precision", precision.name()])
            .and_then(|mut checked| checked.pop().ok_or_else(none))
            .unwrap_or_else(|death| failed_check(name, precision, death))
    }

    /// The program to ask about a backend; none if this process asks, as it does where no driver is.
    fn program_for(&self, name: &str) -> Option<&ProbeProgram> {
        match self {
            Self::Subprocess(program) if name != backend_names()[0] => Some(program),
            _ => None,
        }
    }
}

impl ProbeProgram {
    /// Puts one question to a process of its own.
    fn run_probe<T: DeserializeOwned>(&self, question: &[&str]) -> Result<Vec<T>, ProbeFailure> {
        let output = Command::new(&self.path)
            .args(&self.args)
            .args(question)
            .args(["--in-process", "--format", "json"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| ProbeFailure {
                crashed: false,
                reason: format!("cannot start a process: {error}"),
            })?;
        parse_answer(&output.stdout).ok_or_else(|| failure_from_exit(output.status, &output.stderr))
    }
}

/// The devices of a backend that is named, if there is one.
fn require_device(name: &str, listed: Vec<DeviceListing>) -> Result<Vec<DeviceListing>, String> {
    match listed.as_slice() {
        [
            DeviceListing {
                availability: DeviceAvailability::NoDevice,
                description: about,
                ..
            },
        ] => Err(format!("there is no `{name}` here: {about}")),
        _ => Ok(listed),
    }
}

/// The list that a process printed, between whatever a driver printed.
fn parse_answer<T: DeserializeOwned>(printed: &[u8]) -> Option<Vec<T>> {
    let text = String::from_utf8_lossy(printed);
    let begins = text.split_inclusive('\n').scan(0, |end, line| {
        *end += line.len();
        Some((*end - line.len(), line))
    });
    let mut places = begins
        .filter(|(_, line)| line.starts_with('['))
        .map(|(place, _)| place);
    places.find_map(|place| {
        Deserializer::from_str(&text[place..])
            .into_iter()
            .next()?
            .ok()
    })
}

/// How a process ended, as its status and its last words tell.
fn failure_from_exit(status: ExitStatus, errors: &[u8]) -> ProbeFailure {
    if let Some(signal) = signal(status) {
        let breaks = CRASH_SIGNALS.contains(&signal);
        let how = if breaks { "crashed" } else { "was ended" };
        let place = if breaks { " inside the driver" } else { "" };
        return ProbeFailure {
            crashed: true,
            reason: format!("{how} (signal {signal}){place}"),
        };
    }
    let errors = String::from_utf8_lossy(errors);
    let last = errors.lines().map(str::trim).rfind(|line| !line.is_empty());
    let words = last.map_or_else(String::new, |last| format!(": {last}"));
    ProbeFailure {
        crashed: false,
        reason: format!("the process gave no answer ({status}){words}"),
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// Elsewhere a crash is an exit code, which the status tells.
#[cfg(not(unix))]
const fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

fn failed_check(
    backend: &str,
    precision: Precision,
    ProbeFailure {
        crashed,
        reason: how,
    }: ProbeFailure,
) -> DeviceCheck {
    let backend = backend.to_owned();
    DeviceCheck {
        backend,
        precision,
        conforms: false,
        differences: None,
        error: Some(how),
        crashed,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A program that runs a shell script instead of asking a driver.
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
            (true, "was ended (signal 9)")
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

    #[test]
    fn an_end_without_an_answer_tells_its_last_words() {
        let told = |text| {
            script(text)
                .compare_device("tch:cpu", Precision::F32)
                .error
                .unwrap()
        };
        insta::assert_snapshot!(
            told("echo libtorch.so: cannot open >&2; echo >&2; exit 127"),
            @"the process gave no answer (exit status: 127): libtorch.so: cannot open"
        );
        insta::assert_snapshot!(told("echo '['; echo 1"), @"the process gave no answer (exit status: 0)");
        insta::assert_snapshot!(told("echo '[]'"), @"the process compared nothing");
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
            parse_answer::<DeviceListing>(noisy.as_bytes()),
            Some(vec![listed.clone()])
        );
        assert_eq!(parse_answer::<DeviceListing>(b"[mesa] hello\n"), None);
        let asked = script(&format!("echo '{}'", json.replace('\n', " "))).probe_devices("wgpu");
        assert_eq!(asked, vec![listed]);
    }

    #[test]
    fn what_is_named_has_to_exist() {
        assert_eq!(DeviceProbe::InProcess.list(Some("flex")).unwrap().len(), 1);
        let error = DeviceProbe::InProcess
            .check(Some("opencl"), None)
            .unwrap_err();
        assert!(error.starts_with("there is no backend `opencl`"), "{error}");
        let none = |about: &str| DeviceListing {
            backend: "vulkan:7".to_owned(),
            availability: DeviceAvailability::NoDevice,
            software: false,
            description: about.to_owned(),
        };
        insta::assert_snapshot!(
            require_device("vulkan:7", vec![none("backend `vulkan` has one device, `vulkan:0`, and not `vulkan:7`")]).unwrap_err(),
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
