//! From a backend's name to a burn device: the only place that names backends.

use burn::tensor::Device;

use super::{Kernels, Threads};

/// Where tensors live, and which kernels work there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The burn device, without autodiff.
    pub device: Device,
    /// Fused on the embedded CPU backend, plain elsewhere.
    pub kernels: Kernels,
    /// Threads that one stage may use on it.
    pub threads: Threads,
}

/// Backends that this program can name, with whether each is compiled in.
const BACKENDS: [(&str, bool); 1] = [("flex", cfg!(feature = "flex"))];

impl Place {
    /// Opens the backend called `name`.
    ///
    /// # Errors
    /// If there is no such backend, or it is not compiled in: what was asked for, what there is,
    /// and what to do.
    pub fn open(name: &str) -> Result<Self, String> {
        Self::check(name)?;
        #[cfg(feature = "flex")]
        if name == "flex" {
            let (device, kernels) = (Device::flex(), Kernels::Fused);
            return Ok(Self { device, kernels, threads: Threads::default() });
        }
        Err(format!("backend `{name}` has no device here"))
    }

    /// Whether `name` can be opened, without opening it.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn check(name: &str) -> Result<(), String> {
        let compiled: Vec<&str> = BACKENDS.iter().filter(|b| b.1).map(|b| b.0).collect();
        let compiled = compiled.join(", ");
        match BACKENDS.iter().find(|backend| backend.0 == name) {
            Some((_, true)) => Ok(()),
            Some((_, false)) => Err(format!(
                "backend `{name}` is not compiled in (compiled in: {compiled}); rebuild with `--features {name}`"
            )),
            None => Err(format!("there is no backend `{name}` in this build; use one of: {compiled}")),
        }
    }

    /// The device with gradients switched on.
    #[must_use]
    pub fn training(&self) -> Device {
        self.device.clone().autodiff()
    }
}

/// The widest vector instructions of this machine that the matrix kernels may pick; results on
/// `flex` are the same bytes wherever this is the same.
#[must_use]
pub fn instruction_set() -> String {
    let level = {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                "avx512f"
            } else if std::arch::is_x86_feature_detected!("fma") {
                "avx2+fma"
            } else {
                "sse2"
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            "baseline"
        }
    };
    format!("{} {level}", std::env::consts::ARCH)
}

#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the allocator's settings exist as C functions only")
)]
pub(super) fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator and is called before any thread starts.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_backend_says_what_there_is() {
        insta::assert_snapshot!(
            Place::check("cuda").unwrap_err(),
            @"there is no backend `cuda` in this build; use one of: flex"
        );
        assert!(Place::check("flex").is_ok());
    }
}
