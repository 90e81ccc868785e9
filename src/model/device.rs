//! From a backend's name to a burn device: the only place that names backends.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Engine, Threads, device_memory};

/// The numbers that products are computed in; parameters and their moments are kept in 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats with the range of 32-bit ones, where the kernels are plain.
    Bf16,
}

impl Precision {
    /// All precisions.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Where tensors live, and which kernels work there.
#[derive(Clone, Debug)]
pub struct ExecutionContext {
    /// The burn device, without autodiff.
    pub device: Device,
    /// Fused on the embedded CPU backend, plain elsewhere.
    pub engine: Engine,
    /// The numbers that plain kernels multiply.
    pub precision: Precision,
    /// The numbers that matrices are read from checkpoints as.
    pub storage: Precision,
    /// Bytes that activations may take there before they are computed a second time instead, and
    /// that the caches of dialogues may take before fewer are written at a time.
    pub activation_budget: usize,
    /// Tokens of a batch that pass through the network together there, about; their gradients are
    /// added up.
    pub micro_batch_tokens: usize,
    /// Whether only half of what would be there together is: half of a batch's tokens, of the prompts
    /// that enter, of the sequences that are written; and nothing that can be computed again.
    pub half_batch: bool,
    /// Threads that one stage may use on the host.
    pub threads: Threads,
}

/// A backend that this program can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name in experiments, and that of its cargo feature.
    pub name: &'static str,
    /// Whether it is compiled in.
    pub compiled: bool,
    /// Its requirements on the machine.
    pub requirements: &'static str,
}

/// All backends, the default one first.
pub const BACKENDS: [Backend; 5] = [
    Backend {
        name: "flex",
        compiled: cfg!(feature = "flex"),
        requirements: "nothing: a CPU",
    },
    Backend {
        name: "vulkan",
        compiled: cfg!(feature = "vulkan"),
        requirements: "a Vulkan driver and its loader (libvulkan.so.1)",
    },
    Backend {
        name: "wgpu",
        compiled: cfg!(feature = "wgpu"),
        requirements: "a driver for Vulkan, Metal, DirectX 12 or OpenGL",
    },
    Backend {
        name: "cuda",
        compiled: cfg!(feature = "cuda"),
        requirements: "an NVIDIA driver and CUDA's NVRTC",
    },
    Backend {
        name: "tch",
        compiled: cfg!(feature = "tch"),
        requirements: "LibTorch on the library path",
    },
];

impl ExecutionContext {
    /// Bytes that activations may take on a device whose memory is not known.
    pub const DEFAULT_ACTIVATION_BUDGET: usize = 8 << 30;
    /// Tokens of a batch that pass through the network together, unless something else is said.
    pub const MICRO_BATCH_TOKENS: usize = 8192;

    /// Opens a backend by name, on its first device or the one whose number follows a colon
    /// (`vulkan:1`); `tch:cpu` is `LibTorch` without a graphics card.
    ///
    /// # Errors
    /// If there is no such backend, it is not compiled in, or it has no such device. The message
    /// lists the alternatives.
    pub fn open(name: &str) -> Result<Self, String> {
        Self::check_backend(name)?;
        let (backend, which) = name.split_once(':').unwrap_or((name, ""));
        let kernels = if backend == "flex" {
            Engine::Cpu
        } else {
            Engine::Portable
        };
        let device = open_device(backend, which)?;
        let (precision, storage) = (Precision::F32, Precision::F32);
        Ok(Self {
            device,
            engine: kernels,
            precision,
            storage,
            activation_budget: Self::activation_budget_of(name),
            micro_batch_tokens: Self::MICRO_BATCH_TOKENS,
            half_batch: false,
            threads: Threads::default(),
        })
    }

    /// Bytes that activations, or caches, may take on a backend's device: a quarter of its memory.
    #[must_use]
    pub fn activation_budget_of(name: &str) -> usize {
        device_memory(name).map_or(Self::DEFAULT_ACTIVATION_BUDGET, |bytes| {
            (bytes / 4) as usize
        })
    }

    /// Checks `name` without looking for devices.
    ///
    /// # Errors
    /// As [`ExecutionContext::open`], but for missing devices.
    pub fn check_backend(name: &str) -> Result<(), String> {
        let compiled: Vec<&str> = BACKENDS
            .iter()
            .filter(|b| b.compiled)
            .map(|b| b.name)
            .collect();
        let compiled = compiled.join(", ");
        let (backend, which) = name.split_once(':').unwrap_or((name, ""));
        let known = BACKENDS.iter().find(|known| known.name == backend);
        match known {
            None => {
                let all = BACKENDS.map(|backend| backend.name).join(", ");
                Err(format!(
                    "there is no backend `{backend}`; use one of: {all} (compiled in: {compiled})"
                ))
            }
            Some(Backend {
                compiled: false, ..
            }) => Err(format!(
                "backend `{backend}` is not compiled in (compiled in: {compiled}); rebuild with `--features {backend}`"
            )),
            Some(_) if which.is_empty() || which.parse::<usize>().is_ok() && backend != "flex" => {
                Ok(())
            }
            Some(_) if backend == "tch" && which == "cpu" => Ok(()),
            Some(_) if backend == "flex" => Err("`flex` has one device; write `flex`".to_owned()),
            Some(_) => Err(format!(
                "`{which}` is no device of `{backend}`; write a number, as in `{backend}:0`"
            )),
        }
    }

    /// Gives memory that nothing uses any more back to the device.
    pub fn free_unused_memory(&self) {
        self.device.memory_cleanup();
    }
}

/// The device of a backend that is compiled in, by number; the first one if none is given.
fn open_device(backend: &str, which: &str) -> Result<Device, String> {
    #[cfg(feature = "flex")]
    if backend == "flex" {
        return Ok(Device::flex());
    }
    #[cfg(feature = "tch")]
    #[expect(
        deprecated,
        reason = "burn will leave LibTorch out one day; it is the one way to its kernels until then"
    )]
    if backend == "tch" && (which == "cpu" || which.is_empty() && list_devices("tch").is_empty()) {
        return Ok(Device::libtorch());
    }
    let number = which.parse().unwrap_or(0);
    let mut found = list_devices(backend);
    if number < found.len() {
        return Ok(found.swap_remove(number));
    }
    let needs = BACKENDS
        .iter()
        .find(|known| known.name == backend)
        .map_or("", |known| known.requirements);
    Err(match found.len() {
        0 => format!("backend `{backend}` finds no device here; it needs {needs}"),
        1 => format!(
            "backend `{backend}` has one device, `{backend}:0`, and not `{backend}:{number}`"
        ),
        count => format!(
            "backend `{backend}` has devices 0 to {}, and not {number}",
            count - 1
        ),
    })
}

/// The devices that a backend finds on this machine; none if it is not compiled in.
#[must_use]
pub fn list_devices(backend: &str) -> Vec<Device> {
    use burn::tensor::DeviceType;
    let kind: Option<DeviceType> = match backend {
        #[cfg(feature = "flex")]
        "flex" => Some(DeviceType::Flex),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(DeviceType::Vulkan),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(DeviceType::Wgpu),
        #[cfg(feature = "cuda")]
        "cuda" => Some(DeviceType::Cuda),
        #[cfg(feature = "tch")]
        "tch" => Some(DeviceType::LibTorch),
        _ => None,
    };
    kind.map_or_else(Vec::new, |kind| Device::enumerate(kind).into_vec())
}

/// A device's name, from its driver where the driver gives one.
#[must_use]
pub fn device_name(device: &Device) -> String {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(identity) = device.identity() {
        return identity.name;
    }
    match format!("{device:?}") {
        name if name.contains("Flex") => instruction_set(),
        name => name
            .trim_start_matches("Device<")
            .trim_end_matches('>')
            .to_owned(),
    }
}

/// Whether a device is a graphics driver that computes on the CPU, which `wgpu` takes where there
/// is no card.
#[must_use]
pub fn is_software_renderer(device: &Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    {
        device
            .identity()
            .is_some_and(|identity| identity.physical.is_none())
    }
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = device;
        false
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
    expect(
        unsafe_code,
        reason = "the allocator's settings exist as C functions only"
    )
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
            ExecutionContext::check_backend("opencl").unwrap_err(),
            @"there is no backend `opencl`; use one of: flex, vulkan, wgpu, cuda, tch (compiled in: flex)"
        );
        assert!(ExecutionContext::check_backend("flex").is_ok());
    }
}
