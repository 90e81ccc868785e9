//! The files of known data sets as their authors ship them, told by their SHA-256.
//!
//! GSM8K: openai/grade-school-math at 3101c7d5072418e28b9008a6636bde82a006892c. SVAMP: arkilpatel/SVAMP at
//! 689d7ccac74b9983a2ac7cc3b264f441b99e7c53. MATH: the SHA-256 of what `sha256sum` says of its 12,500
//! files, in order of their names; the files' own are those of the Git LFS pointers in
//! molumolua/Math-Generator at 43165c3351345401d0b1e1fb3f8cad7ac1ac5706.

use crate::domain::Key;

/// (task, file, SHA-256).
const OFFICIAL: [(&str, &str, &str); 4] = [
    (
        "gsm8k",
        "train.jsonl",
        "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    ),
    (
        "gsm8k",
        "test.jsonl",
        "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    ),
    (
        "svamp",
        "SVAMP.json",
        "5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",
    ),
    (
        "math",
        "MATH",
        "c00a767878ffca6f7de268acb9882b0f96d423e06d0ae39ede77fd9fbe26ff74",
    ),
];

/// Whether a file is the official one; none where there is no official one.
#[must_use]
pub fn is_official(task: &str, file: &str, sha256: &Key) -> Option<bool> {
    let known = OFFICIAL
        .iter()
        .find(|known| (known.0, known.1) == (task, file))?;
    Some(known.2 == sha256.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_content() {
        let official = Key::from(OFFICIAL[2].2.to_owned());
        assert_eq!(is_official("svamp", "SVAMP.json", &official), Some(true));
        assert_eq!(
            is_official("svamp", "SVAMP.json", &Key::from_bytes(b"")),
            Some(false)
        );
        assert_eq!(is_official("jsonl", "train", &official), None);
    }
}
