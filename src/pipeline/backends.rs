//! The backends of this program: their devices, and whether these compute what the default backend
//! computes.
//!
//! Hides how a device that fails is told from a program that does. Must not know how either is
//! shown.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use crate::model::{BACKENDS, Backend, Place, Precision, device_name, devices};
use crate::train::{Conformance, conformance};

/// A device that can be opened, or a backend that has none here.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What to write as `backend`.
    pub backend: String,
    /// Whether there is something to open.
    pub here: Here,
    /// The device's name, or what is missing.
    pub about: String,
}

/// Whether a backend can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Here {
    /// There is a device.
    Yes,
    /// There is none that its driver shows.
    NoDevice,
    /// The program was built without it.
    NotCompiledIn,
}

/// How one device compares with the default backend.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// What was opened.
    pub backend: String,
    /// The numbers that it multiplied.
    pub precision: Precision,
    /// Whether all differences are within their limits.
    pub conforms: bool,
    /// The differences; none if the device failed.
    pub differences: Option<Conformance>,
    /// What a device that failed said.
    pub error: Option<String>,
}

/// Every device of every backend, or of the one that is named.
///
/// # Errors
/// If the one that is named cannot be opened: why.
pub fn backends(only: Option<&str>) -> Result<Vec<Listed>, String> {
    if let Some(name) = only {
        Place::open(name)?;
    }
    Ok(wanted(only).flat_map(|backend| listed(backend, only)).collect())
}

/// Compares every device, or those of the backend that is named, with the default one.
///
/// # Errors
/// If the one that is named cannot be opened: why.
pub fn check_backends(only: Option<&str>) -> Result<Vec<Checked>, String> {
    let reference = Place::open(BACKENDS[0].name)?;
    let there = backends(only)?.into_iter().filter(|listed| listed.here == Here::Yes);
    let pairs = there.flat_map(|listed| {
        let precisions: &[Precision] = if listed.backend == BACKENDS[0].name {
            &[Precision::F32]
        } else {
            &[Precision::F32, Precision::Bf16]
        };
        precisions.iter().map(move |&precision| (listed.backend.clone(), precision))
    });
    Ok(pairs.map(|(backend, precision)| checked(backend, precision, &reference)).collect())
}

fn wanted(only: Option<&str>) -> impl Iterator<Item = &'static Backend> {
    let only = only.map(|name| name.split(':').next().unwrap_or_default().to_owned());
    BACKENDS.iter().filter(move |backend| only.as_ref().is_none_or(|only| only == backend.name))
}

fn listed(backend: &Backend, only: Option<&str>) -> Vec<Listed> {
    let name = backend.name.to_owned();
    if !backend.compiled {
        let about = format!("rebuild with --features {name}");
        return vec![Listed { backend: name, here: Here::NotCompiledIn, about }];
    }
    let names = names(backend, only);
    if names.is_empty() {
        let about = format!("needs {}", backend.needs);
        return vec![Listed { backend: name, here: Here::NoDevice, about }];
    }
    let device = |name: String| {
        let about = Place::open(&name).map_or_else(|error| error, |place| device_name(&place.device));
        Listed { backend: name, here: Here::Yes, about }
    };
    names.into_iter().map(device).collect()
}

/// Names under which a backend's devices can be opened.
fn names(backend: &Backend, only: Option<&str>) -> Vec<String> {
    if let Some(only) = only.filter(|only| only.contains(':')) {
        return vec![only.to_owned()];
    }
    match (backend.name, devices(backend.name).len()) {
        ("flex", _) => vec!["flex".to_owned()],
        ("tch", 0) => vec!["tch:cpu".to_owned()],
        (name, count) => (0..count).map(|number| format!("{name}:{number}")).collect(),
    }
}

/// The comparison, or what the device said when it failed: burn panics where a device refuses.
fn checked(backend: String, precision: Precision, reference: &Place) -> Checked {
    let place = Place::open(&backend).map(|place| Place { precision, ..place });
    let compared = place.and_then(|place| {
        catch_unwind(AssertUnwindSafe(|| conformance(&place, reference))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the device failed");
            text.lines().next().unwrap_or_default().to_owned()
        })
    });
    let conforms = compared.as_ref().is_ok_and(Conformance::holds);
    let error = compared.as_ref().err().cloned();
    Checked { backend, precision, conforms, differences: compared.ok(), error }
}
