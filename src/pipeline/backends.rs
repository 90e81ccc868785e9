//! The backends of this program: their devices, and whether these compute what the default backend
//! computes.
//!
//! Hides how a device that fails is told from a program that does. Must not know how either is
//! shown, nor that a driver may end the process that it is asked in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::model::{
    BACKENDS, ExecutionContext, Precision, device_name, is_software_renderer, list_devices,
};
use crate::train::{ConformanceReport, check_conformance};

/// A device that can be opened, or a backend that has none here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListing {
    /// What to write as `backend`.
    pub backend: String,
    /// Whether there is something to open.
    #[serde(rename = "here")]
    pub availability: DeviceAvailability,
    /// Whether it is a graphics driver that computes on the CPU.
    pub software: bool,
    /// The device's name, or what is missing.
    #[serde(rename = "about")]
    pub description: String,
}

/// Whether a backend can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceAvailability {
    /// There is a device.
    #[serde(rename = "yes")]
    Available,
    /// There is none that its driver shows.
    NoDevice,
    /// The program was built without it.
    NotCompiledIn,
    /// The process that asked for its devices died of it.
    Crashed,
}

/// How one device compares with the default backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceCheck {
    /// What was opened.
    pub backend: String,
    /// The numbers that it multiplied.
    pub precision: Precision,
    /// Whether all differences are within their limits.
    pub conforms: bool,
    /// The differences; none if the device failed.
    pub differences: Option<ConformanceReport>,
    /// What a device that failed said, or how its process ended.
    pub error: Option<String>,
    /// Whether the process that computed on the device died of it.
    pub crashed: bool,
}

/// The names of all backends, the default one first.
#[must_use]
pub fn backend_names() -> Vec<&'static str> {
    BACKENDS.iter().map(|backend| backend.name).collect()
}

/// The devices of a backend, or the one device that is named (`vulkan:1`); a single line that says
/// why where there is none.
#[must_use]
pub fn backend_devices(name: &str) -> Vec<DeviceListing> {
    let none = |availability, description| {
        vec![DeviceListing {
            backend: name.to_owned(),
            availability,
            software: false,
            description,
        }]
    };
    let backend = name.split(':').next().unwrap_or(name);
    let Some(backend) = BACKENDS.iter().find(|known| known.name == backend) else {
        return none(
            DeviceAvailability::NoDevice,
            format!("there is no backend `{name}`"),
        );
    };
    if !backend.compiled {
        return none(
            DeviceAvailability::NotCompiledIn,
            format!("rebuild with --features {}", backend.name),
        );
    }
    let names = device_names(name);
    if names.is_empty() {
        return none(
            DeviceAvailability::NoDevice,
            format!("needs {}", backend.requirements),
        );
    }
    names.into_iter().map(list_device).collect()
}

/// Names under which a backend's devices can be opened.
fn device_names(name: &str) -> Vec<String> {
    if name.contains(':') {
        return vec![name.to_owned()];
    }
    match (name, list_devices(name).len()) {
        ("flex", _) => vec!["flex".to_owned()],
        ("tch", 0) => vec!["tch:cpu".to_owned()],
        (name, count) => (0..count)
            .map(|number| format!("{name}:{number}"))
            .collect(),
    }
}

fn list_device(backend: String) -> DeviceListing {
    match ExecutionContext::open(&backend) {
        Ok(ExecutionContext { device, .. }) => DeviceListing {
            backend,
            availability: DeviceAvailability::Available,
            software: is_software_renderer(&device),
            description: device_name(&device),
        },
        Err(about) => DeviceListing {
            backend,
            availability: DeviceAvailability::NoDevice,
            software: false,
            description: about,
        },
    }
}

/// The precisions in which a backend is compared with the default one.
#[must_use]
pub fn backend_precisions(name: &str) -> &'static [Precision] {
    // The fused kernels know one precision.
    if name == BACKENDS[0].name {
        &[Precision::F32]
    } else {
        &[Precision::F32, Precision::Bf16]
    }
}

/// Compares a device with the default one: the differences, or what the device said when it
/// failed, for burn panics where a device refuses.
#[must_use]
pub fn check_device(backend: &str, precision: Precision) -> DeviceCheck {
    let compared = open_with_reference(backend, precision).and_then(|[place, reference]| {
        catch_unwind(AssertUnwindSafe(|| check_conformance(&place, &reference))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            panic_summary(
                text.or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("the device failed"),
            )
            .to_owned()
        })
    });
    let conforms = compared.as_ref().is_ok_and(ConformanceReport::passes);
    let error = compared.as_ref().err().cloned();
    let backend = backend.to_owned();
    DeviceCheck {
        backend,
        precision,
        conforms,
        differences: compared.ok(),
        error,
        crashed: false,
    }
}

/// What a panic is about, in a line.
fn panic_summary(panic: &str) -> &str {
    let line = panic.lines().next().unwrap_or_default();
    line.strip_prefix("called `Result::unwrap()` on an `Err` value: ")
        .unwrap_or(line)
}

fn open_with_reference(
    backend: &str,
    precision: Precision,
) -> Result<[ExecutionContext; 2], String> {
    let place = ExecutionContext::open(backend)?;
    Ok([
        ExecutionContext { precision, ..place },
        ExecutionContext::open(BACKENDS[0].name)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_without_how_it_came_about() {
        let panic =
            "called `Result::unwrap()` on an `Err` value: bf16 is not supported\nnote: more of it";
        assert_eq!(panic_summary(panic), "bf16 is not supported");
        assert_eq!(panic_summary("out of memory"), "out of memory");
        assert_eq!(panic_summary(""), "");
    }
}
