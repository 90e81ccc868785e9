//! Recognises a lack of memory in a backend's error message.
//!
//! Hides the words of burn's backends, which tell of it by panicking, some of them in the middle of a
//! longer text. Must not know what was computed, nor what is done about it.

use std::any::Any;

/// Messages of backends without memory, in lower case: cubecl's pools, wgpu, CUDA, `LibTorch`.
const MESSAGES: [&str; 5] = [
    "out of device memory",
    "can't allocate",
    "out of memory",
    "out-of-memory",
    "not enough memory",
];

/// Units of memory as they are written, in bytes.
const UNITS: [(&str, f64); 5] = [
    ("bytes", 1.0),
    ("kib", 1024.0),
    ("mib", 1024.0 * 1024.0),
    ("gib", 1024.0 * 1024.0 * 1024.0),
    ("gb", 1e9),
];

/// A device had no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes of the failed allocation, where the message names them.
    pub requested_bytes: Option<u64>,
}

impl OutOfMemory {
    /// Reads it from a panic; none if the panic is about something else.
    #[must_use]
    pub fn from_panic(panic: &(dyn Any + Send)) -> Option<Self> {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Self::from_text(text.or_else(|| panic.downcast_ref::<&str>().copied())?)
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let place = MESSAGES.iter().filter_map(|words| text.find(words)).min()?;
        Some(Self {
            requested_bytes: parse_amount(&text[place..]),
        })
    }
}

/// The first amount of memory in a text: a number with its unit, or one behind `size:`.
fn parse_amount(text: &str) -> Option<u64> {
    let words: Vec<&str> = text
        .split_whitespace()
        .map(|word| word.trim_matches(['.', ',', '(', ')']))
        .collect();
    words.windows(2).find_map(|pair| {
        let (number, unit) = if pair[0] == "size:" {
            (pair[1], "bytes")
        } else {
            (pair[0], pair[1])
        };
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
        Some((number.parse::<f64>().ok()? * bytes) as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_backends_say_is_understood() {
        let asked = |text: &str| OutOfMemory::from_text(text).map(|found| found.requested_bytes);
        for (text, expected) in [
            (
                "Error while reading data: Caused by: out of device memory allocating 4096 bytes",
                Some(4096),
            ),
            (
                "can't allocate buffer of size: 5368709120\n<backtrace>",
                Some(5_368_709_120),
            ),
            (
                "wgpu error: Out of Memory\n\nCaused by:\n  In Device::create_buffer",
                None,
            ),
            ("wgpu error: Not enough memory left.", None),
            (
                "CUDA out of memory. Tried to allocate 2.50 GiB (GPU 0; 79.11 GiB total)",
                Some(2_684_354_560),
            ),
            (
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes. Error",
                Some(800),
            ),
        ] {
            assert_eq!(asked(text), Some(expected), "{text}");
        }
        assert_eq!(
            asked("index out of bounds: the len is 3 but the index is 3"),
            None
        );
        assert_eq!(asked("the shader needs 4096 bytes"), None);
    }

    #[test]
    fn panics_of_both_kinds_of_text_are_read() {
        let text: Box<dyn Any + Send> = Box::new("out of memory");
        assert_eq!(
            OutOfMemory::from_panic(&*text),
            Some(OutOfMemory {
                requested_bytes: None
            })
        );
        let text: Box<dyn Any + Send> = Box::new("out of memory: 12 bytes".to_owned());
        assert_eq!(
            OutOfMemory::from_panic(&*text),
            Some(OutOfMemory {
                requested_bytes: Some(12)
            })
        );
        assert_eq!(OutOfMemory::from_panic(&3), None);
    }
}
