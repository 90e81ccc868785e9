//! Formats durations, rates, bytes, counts and proportions.

pub use crate::domain::plural;

/// A duration: `8 s`, `3 min 20 s`, `1 h 05 min`.
pub fn format_duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0 if seconds > 0.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A rate in three digits or so: `840`, `5.2k`, `1.3M`.
pub fn format_rate(per_second: f64) -> String {
    match per_second {
        ..1e3 => format!("{per_second:.0}"),
        ..1e5 => format!("{:.1}k", per_second / 1e3),
        ..1e6 => format!("{:.0}k", per_second / 1e3),
        _ => format!("{:.1}M", per_second / 1e6),
    }
}

/// An amount of memory in three digits or so: `840 kB`, `412 MB`, `1.3 GB`; a kB is 1024 bytes.
pub fn format_bytes(bytes: u64) -> String {
    let kilobytes = bytes as f64 / 1024.0;
    match kilobytes {
        ..1e3 => format!("{kilobytes:.0} kB"),
        ..1e6 => format!("{:.0} MB", kilobytes / 1024.0),
        _ => format!("{:.1} GB", kilobytes / 1024.0 / 1024.0),
    }
}

/// A number with its thousands separated: `6,738,415`.
pub fn with_thousands_separators(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// The mean of scores in [0, 1] with its 95 % interval; none without scores.
///
/// Wilson's score interval for a binomial proportion (Wilson 1927) stays inside [0, 1] and holds
/// near both ends, where a small model's accuracies often are.
pub fn wilson_interval(scores: &[f64]) -> Option<ProportionEstimate> {
    const Z: f64 = 1.959_963_984_540_054;
    if scores.is_empty() {
        return None;
    }
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let middle = (mean + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (mean * (1.0 - mean) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(ProportionEstimate {
        mean,
        low: middle - half,
        high: middle + half,
        n: scores.len(),
    })
}

/// An estimated proportion.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ProportionEstimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// The number of scores.
    pub n: usize,
}

impl std::fmt::Display for ProportionEstimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} [{:.1}, {:.1}]",
            self.mean * 1e2,
            self.low * 1e2,
            self.high * 1e2
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        let shown = [0.0, 0.34, 8.4, 59.6, 200.0, 3600.0, 3900.0]
            .map(format_duration)
            .join(" | ");
        assert_eq!(
            shown,
            "0 s | 0.3 s | 8 s | 1 min 00 s | 3 min 20 s | 1 h 00 min | 1 h 05 min"
        );
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(
            [0.0, 840.0, 5234.0, 123_456.0, 1.26e6]
                .map(format_rate)
                .join(" "),
            "0 840 5.2k 123k 1.3M"
        );
    }

    #[test]
    fn memory_is_short() {
        let shown = [0, 860_160, 412 << 20, 1_400_000_000]
            .map(format_bytes)
            .join(", ");
        assert_eq!(shown, "0 kB, 840 kB, 412 MB, 1.3 GB");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1000, 6_738_415_616].map(with_thousands_separators),
            ["0", "999", "1,000", "6,738,415,616"]
        );
    }

    #[test]
    fn intervals_are_wilsons() {
        // 8 of 10: 0.4902 to 0.9433 (Wilson's formula by hand).
        let scores: Vec<f64> = (0..10).map(|i| f64::from(u8::from(i < 8))).collect();
        let proportion = wilson_interval(&scores).unwrap();
        assert!((proportion.low - 0.4902).abs() < 1e-4 && (proportion.high - 0.9433).abs() < 1e-4);
        assert_eq!(proportion.to_string(), "80.0 [49.0, 94.3]");
    }

    #[test]
    fn no_success_at_all_still_has_an_interval() {
        let proportion = wilson_interval(&[0.0; 500]).unwrap();
        assert_eq!(proportion.to_string(), "0.0 [0.0, 0.8]");
        assert_eq!(wilson_interval(&[]), None);
    }
}
