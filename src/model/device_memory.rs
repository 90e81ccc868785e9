//! The memory of a backend's device.
//!
//! Asks the system, and for graphics cards what their drivers leave in reach of everybody. Says
//! nothing rather than something wrong. Must not know what the memory is for.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Bytes of memory of the device behind a backend's name (`flex`, `vulkan:1`, `tch:cpu`); none if the
/// driver does not report them. The first call queries the device, later ones repeat its answer.
#[must_use]
pub fn device_memory(backend: &str) -> Option<u64> {
    static KNOWN: Mutex<BTreeMap<String, Option<u64>>> = Mutex::new(BTreeMap::new());
    let mut asked = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *asked
        .entry(backend.to_owned())
        .or_insert_with(|| query_memory(backend))
}

fn query_memory(backend: &str) -> Option<u64> {
    let (name, which) = backend.split_once(':').unwrap_or((backend, "0"));
    if name == "flex" || which == "cpu" {
        return parse_meminfo(&fs::read_to_string("/proc/meminfo").ok()?);
    }
    let number = which.parse().unwrap_or(0);
    nvidia_memory(number).or_else(|| amd_memory(number))
}

/// The line `MemTotal:  24567890 kB`, in bytes.
fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The memory of a card in bytes, from `nvidia-smi`.
fn nvidia_memory(number: usize) -> Option<u64> {
    let question = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"];
    let answer = Command::new("nvidia-smi").args(question).output().ok()?;
    parse_mebibytes(&String::from_utf8(answer.stdout).ok()?, number)
}

fn parse_mebibytes(table: &str, number: usize) -> Option<u64> {
    let mebibytes: u64 = table.lines().nth(number)?.trim().parse().ok()?;
    Some(mebibytes << 20)
}

/// The memory of a card in bytes, from AMD's kernel driver.
fn amd_memory(number: usize) -> Option<u64> {
    let mut cards: Vec<_> = fs::read_dir("/sys/class/drm")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    cards.sort();
    let told = cards.iter().filter_map(|card| {
        fs::read_to_string(card.join("device/mem_info_vram_total"))
            .ok()?
            .trim()
            .parse()
            .ok()
    });
    // The folder lists each output of a card too, without this file.
    told.collect::<Vec<u64>>().get(number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_bytes() {
        assert_eq!(
            parse_meminfo("MemFree: 7 kB\nMemTotal:       2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(parse_mebibytes("24576\n81920\n", 1), Some(80 << 30));
        assert_eq!(parse_mebibytes("24576\n", 1), None);
        assert_eq!(parse_mebibytes("[N/A]\n", 0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_has_memory() {
        assert!(device_memory("flex").is_some_and(|bytes| bytes > 1 << 28));
    }
}
