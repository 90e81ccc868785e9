//! The peak memory of a stage: the largest resident set of the process meanwhile.
//!
//! Linux measures it. It is never part of a key or of a compared file.

#[cfg(target_os = "linux")]
use std::fs;

/// A running measurement.
#[derive(Debug)]
pub struct PeakRss {
    /// Whether the system forgot the earlier peak.
    was_reset: bool,
}

impl PeakRss {
    /// Starts to measure: frees the unused memory of earlier stages, and forgets their peak.
    pub fn start() -> Self {
        trim_allocator();
        Self {
            was_reset: reset_peak(),
        }
    }

    /// Bytes at the peak since then; none if the system does not measure, or could not forget the
    /// peak of earlier stages.
    pub fn peak_bytes(&self) -> Option<u64> {
        if self.was_reset { read_peak() } else { None }
    }
}

/// Resets the system's peak (`proc_pid_clear_refs(5)`, since Linux 4.0); it may refuse.
#[cfg(target_os = "linux")]
fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(not(target_os = "linux"))]
const fn reset_peak() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn read_peak() -> Option<u64> {
    parse_vm_hwm(&fs::read_to_string("/proc/self/status").ok()?)
}

#[cfg(not(target_os = "linux"))]
const fn read_peak() -> Option<u64> {
    None
}

/// The line `VmHWM:  123456 kB` of a process's status, in bytes.
#[cfg(any(target_os = "linux", test))]
fn parse_vm_hwm(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Returns unused memory to the system: the allocator keeps freed memory for speed, and a small
/// stage after a large one would seem to need as much.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(
        unsafe_code,
        reason = "the allocator's trimming exists as a C function only"
    )
)]
fn trim_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        let status = "Name:\trise-lab\nVmPeak:\t  900 kB\nVmHWM:\t  12345 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(parse_vm_hwm(status), Some(12_641_280));
        assert_eq!(parse_vm_hwm("Name:\trise-lab\n"), None);
        assert_eq!(parse_vm_hwm("VmHWM:\t a lot\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_used_and_given_back_counts() {
        let memory = PeakRss::start();
        // Where the system does not let us reset the peak there is nothing to test.
        let Some(before) = memory.peak_bytes() else {
            return;
        };
        let much = vec![1_u8; 64 << 20];
        assert_eq!(
            much.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
            64 << 20
        );
        drop(much);
        assert!(memory.peak_bytes().unwrap() >= before, "{before}");
        assert!(memory.peak_bytes().unwrap() >= 64 << 20);
    }
}
