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

use crate::pipeline::{
    Checked, Here, Listed, Precision, backend_devices, backend_names, backend_precisions,
    check_backend, check_device,
};

/// Signals that the system sends to a program that breaks its rules: SIGILL, SIGBUS, SIGFPE, SIGSEGV.
const BREAKS: [i32; 4] = [4, 7, 8, 11];

/// Where drivers are asked.
#[derive(Clone, Debug)]
pub enum Drivers {
    /// In this very process, which a crash then ends.
    Here,
    /// In processes of a program of their own.
    Apart(Program),
}

/// A program that answers questions about backends.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Arguments before those of a question.
    args: Vec<OsString>,
}

/// How a process ended that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Death {
    crashed: bool,
    how: String,
}

impl Drivers {
    /// Processes of this very program.
    ///
    /// # Errors
    /// If the system does not tell where this program lies.
    pub fn apart() -> io::Result<Self> {
        Ok(Self::Apart(Program {
            path: std::env::current_exe()?,
            args: vec!["backends".into()],
        }))
    }

    /// Every device of every backend, or of the one that is named.
    ///
    /// # Errors
    /// If the one that is named has none: why.
    pub fn list(&self, only: Option<&str>) -> Result<Vec<Listed>, String> {
        let Some(name) = only else {
            let devices = |name| match check_backend(name) {
                Ok(()) => self.devices(name),
                Err(_) => backend_devices(name),
            };
            return Ok(backend_names().into_iter().flat_map(devices).collect());
        };
        check_backend(name)?;
        let listed = self.devices(name);
        // Who asks from another process is told all that there is to tell.
        if matches!(self, Self::Here) {
            Ok(listed)
        } else {
            some(name, listed)
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
    ) -> Result<Vec<Checked>, String> {
        let mut listed = self.list(only)?;
        if let Some(name) = only {
            listed = some(name, listed)?;
        }
        Ok(listed
            .into_iter()
            .flat_map(|listed| self.checked(&listed, precision))
            .collect())
    }

    fn checked(&self, listed: &Listed, only: Option<Precision>) -> Vec<Checked> {
        let precisions = backend_precisions(&listed.backend).iter().copied();
        let wanted = precisions.filter(|precision| only.is_none_or(|only| only == *precision));
        match listed.here {
            Here::Yes => wanted
                .map(|precision| self.compared(&listed.backend, precision))
                .collect(),
            Here::Crashed => {
                let death = Death {
                    crashed: true,
                    how: listed.about.clone(),
                };
                wanted
                    .map(|precision| dead(&listed.backend, precision, death.clone()))
                    .collect()
            }
            Here::NoDevice | Here::NotCompiledIn => Vec::new(),
        }
    }

    fn devices(&self, name: &str) -> Vec<Listed> {
        let Some(program) = self.program(name) else {
            return backend_devices(name);
        };
        program
            .ask(&["list", name])
            .unwrap_or_else(|Death { crashed, how }| {
                let here = if crashed {
                    Here::Crashed
                } else {
                    Here::NoDevice
                };
                vec![Listed {
                    backend: name.to_owned(),
                    here,
                    software: false,
                    about: how,
                }]
            })
    }

    fn compared(&self, name: &str, precision: Precision) -> Checked {
        let Some(program) = self.program(name) else {
            return check_device(name, precision);
        };
        let none = || Death {
            crashed: false,
            how: "the process compared nothing".to_owned(),
        };
        program
            .ask(&["check", name, "--precision", precision.name()])
            .and_then(|mut checked| checked.pop().ok_or_else(none))
            .unwrap_or_else(|death| dead(name, precision, death))
    }

    /// The program to ask about a backend; none if this process asks, as it does where no driver is.
    fn program(&self, name: &str) -> Option<&Program> {
        match self {
            Self::Apart(program) if name != backend_names()[0] => Some(program),
            _ => None,
        }
    }
}

impl Program {
    /// Puts one question to a process of its own.
    fn ask<T: DeserializeOwned>(&self, question: &[&str]) -> Result<Vec<T>, Death> {
        let output = Command::new(&self.path)
            .args(&self.args)
            .args(question)
            .args(["--in-process", "--format", "json"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Death {
                crashed: false,
                how: format!("cannot start a process: {error}"),
            })?;
        answer(&output.stdout).ok_or_else(|| death(output.status, &output.stderr))
    }
}

/// The devices of a backend that is named, if there is one.
fn some(name: &str, listed: Vec<Listed>) -> Result<Vec<Listed>, String> {
    match listed.as_slice() {
        [
            Listed {
                here: Here::NoDevice,
                about,
                ..
            },
        ] => Err(format!("there is no `{name}` here: {about}")),
        _ => Ok(listed),
    }
}

/// The list that a process printed, between whatever a driver printed.
fn answer<T: DeserializeOwned>(printed: &[u8]) -> Option<Vec<T>> {
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
fn death(status: ExitStatus, errors: &[u8]) -> Death {
    if let Some(signal) = signal(status) {
        let breaks = BREAKS.contains(&signal);
        let how = if breaks { "crashed" } else { "was ended" };
        let place = if breaks { " inside the driver" } else { "" };
        return Death {
            crashed: true,
            how: format!("{how} (signal {signal}){place}"),
        };
    }
    let errors = String::from_utf8_lossy(errors);
    let last = errors.lines().map(str::trim).rfind(|line| !line.is_empty());
    let words = last.map_or_else(String::new, |last| format!(": {last}"));
    Death {
        crashed: false,
        how: format!("the process gave no answer ({status}){words}"),
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

fn dead(backend: &str, precision: Precision, Death { crashed, how }: Death) -> Checked {
    let backend = backend.to_owned();
    Checked {
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
    fn script(text: &str) -> Drivers {
        Drivers::Apart(Program {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), text.into()],
        })
    }

    #[test]
    fn a_process_that_crashes_is_told_as_such() {
        let Checked {
            conforms,
            error,
            crashed,
            ..
        } = script("kill -SEGV $$").compared("vulkan:0", Precision::Bf16);
        assert!(!conforms && crashed);
        assert_eq!(error.unwrap(), "crashed (signal 11) inside the driver");
        let killed = script("kill -KILL $$").compared("vulkan:0", Precision::F32);
        assert_eq!(
            (killed.crashed, killed.error.unwrap().as_str()),
            (true, "was ended (signal 9)")
        );
        let listed = script("kill -BUS $$").devices("cuda");
        assert_eq!((listed.len(), listed[0].here), (1, Here::Crashed));
        assert_eq!(listed[0].about, "crashed (signal 7) inside the driver");
    }

    #[test]
    fn a_crash_is_reported_in_every_precision_and_leaves_the_others_be() {
        let drivers = script("kill -SEGV $$");
        let crashed = drivers.devices("vulkan").remove(0);
        let checked = drivers.checked(&crashed, None);
        assert_eq!(
            checked
                .iter()
                .map(|checked| checked.precision)
                .collect::<Vec<_>>(),
            Precision::ALL
        );
        assert!(checked.iter().all(|checked| checked.crashed));
        assert_eq!(drivers.checked(&crashed, Some(Precision::Bf16)).len(), 1);
        // The default backend is this program's own.
        assert!(drivers.compared("flex", Precision::F32).conforms);
        assert_eq!(drivers.devices("flex")[0].here, Here::Yes);
    }

    #[test]
    fn an_end_without_an_answer_tells_its_last_words() {
        let told = |text| {
            script(text)
                .compared("tch:cpu", Precision::F32)
                .error
                .unwrap()
        };
        insta::assert_snapshot!(
            told("echo libtorch.so: cannot open >&2; echo >&2; exit 127"),
            @"the process gave no answer (exit status: 127): libtorch.so: cannot open"
        );
        insta::assert_snapshot!(told("echo '['; echo 1"), @"the process gave no answer (exit status: 0)");
        insta::assert_snapshot!(told("echo '[]'"), @"the process compared nothing");
        let nowhere = Drivers::Apart(Program {
            path: "/no/such/program".into(),
            args: vec![],
        });
        let error = nowhere.compared("tch", Precision::F32).error.unwrap();
        assert!(error.starts_with("cannot start a process: "), "{error}");
    }

    #[test]
    fn an_answer_is_found_between_what_a_driver_prints() {
        let listed = Listed {
            backend: "wgpu:0".to_owned(),
            here: Here::Yes,
            software: true,
            about: "llvmpipe".to_owned(),
        };
        let json = serde_json::to_string_pretty(&[&listed]).unwrap();
        let noisy = format!("[mesa] hello\nMESA: warning\n{json}\nMESA: bye\n");
        assert_eq!(
            answer::<Listed>(noisy.as_bytes()),
            Some(vec![listed.clone()])
        );
        assert_eq!(answer::<Listed>(b"[mesa] hello\n"), None);
        let asked = script(&format!("echo '{}'", json.replace('\n', " "))).devices("wgpu");
        assert_eq!(asked, vec![listed]);
    }

    #[test]
    fn what_is_named_has_to_exist() {
        assert_eq!(Drivers::Here.list(Some("flex")).unwrap().len(), 1);
        let error = Drivers::Here.check(Some("opencl"), None).unwrap_err();
        assert!(error.starts_with("there is no backend `opencl`"), "{error}");
        let none = |about: &str| Listed {
            backend: "vulkan:7".to_owned(),
            here: Here::NoDevice,
            software: false,
            about: about.to_owned(),
        };
        insta::assert_snapshot!(
            some("vulkan:7", vec![none("backend `vulkan` has one device, `vulkan:0`, and not `vulkan:7`")]).unwrap_err(),
            @"there is no `vulkan:7` here: backend `vulkan` has one device, `vulkan:0`, and not `vulkan:7`"
        );
        assert_eq!(
            Drivers::Here
                .check(Some("flex"), Some(Precision::Bf16))
                .unwrap()
                .len(),
            0
        );
    }
}
