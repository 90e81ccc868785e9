//! Backends: what is compiled in, what is missing, and what a wrong name says.

use serde_json::Value;

use crate::support::Lab;

#[test]
fn backends_are_listed_with_what_they_lack() {
    let lab = Lab::new();
    let ran = lab.run(&["backends"]);
    ran.expect_exit(0);
    if cfg!(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "cuda",
        feature = "tch"
    )) {
        assert!(ran.stdout.contains("flex"), "{}", ran.stdout);
        return;
    }
    // The first device is named after this machine's instructions.
    let (flex, others): (Vec<&str>, Vec<&str>) = ran
        .stdout
        .lines()
        .partition(|line| line.starts_with("flex     yes"));
    assert_eq!(flex.len(), 1);
    let others: Vec<&str> = others.into_iter().map(str::trim_end).collect();
    insta::assert_snapshot!(others[2..].join("\n"), @"
    vulkan   not compiled in  rebuild with --features vulkan
    wgpu     not compiled in  rebuild with --features wgpu
    cuda     not compiled in  rebuild with --features cuda
    tch      not compiled in  rebuild with --features tch
    ");
}

#[test]
fn the_default_backend_conforms_to_itself() {
    let answer = Lab::new().json(&["backends", "check", "flex"]);
    let rows = answer.as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["conforms"]), (1, &Value::Bool(true)));
    assert_eq!(rows[0]["differences"]["log_probability"], 0.0);
}

#[test]
fn a_backend_that_is_not_there_is_one_clear_message() {
    let lab = Lab::new();
    for (name, said) in [
        (
            "opencl",
            "there is no backend `opencl`; use one of: flex, vulkan, wgpu, cuda, tch",
        ),
        ("flex:1", "`flex` has one device; write `flex`"),
        ("flex/2", "there is no backend `flex/2`"),
    ] {
        let ran = lab.run(&["backends", "check", name]);
        ran.expect_exit(2);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    if cfg!(not(feature = "vulkan")) {
        let ran = lab.sweep(&["--backend", "vulkan"]);
        ran.expect_exit(2);
        assert!(
            ran.stderr.contains("rebuild with `--features vulkan`"),
            "{}",
            ran.stderr
        );
    }
}
