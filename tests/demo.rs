//! The demo: the whole story, told from an empty folder, with nothing left behind.

mod harness;

use std::fs;
use std::time::{Duration, Instant};

use harness::program::run;

/// The one value of the demo, as the upstream saw it.
fn value_in(text: &str) -> &str {
    let start = text.find("demo_").unwrap();
    text[start..].split([' ', '\n', '"']).next().unwrap()
}

#[test]
fn the_story_is_told_in_a_moment_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let ran = run(folder.path(), &["demo"], None);
    let took = begun.elapsed();
    assert_eq!(ran.exit, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let value = value_in(&ran.stdout);
    assert_eq!(value.len(), 29, "{value}");
    assert_eq!(
        ran.stdout.matches(value).count(),
        1,
        "the upstream's column alone"
    );
    let both = ran
        .stdout
        .lines()
        .find(|line| line.contains(value))
        .unwrap();
    let (caller, upstream) = both.split_once('│').unwrap();
    assert_eq!(caller.trim(), format!("Bearer {}", "*".repeat(29)));
    assert_eq!(upstream.trim(), format!("Bearer {value}"));
    for words in [
        "tool.execute · custom-demo · 127.0.0.1 ·",
        "DEMO_KEY (override) · success",
        "403 binding_refused",
        "0 connections, 0 bytes",
        "the demo's folder is gone",
    ] {
        let flat = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80));
    assert!(
        !ran.stdout.contains('\u{1b}') && ran.stderr.is_empty(),
        "{}",
        ran.stderr
    );
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "something is left"
    );
}

#[test]
fn programs_get_the_story_as_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--json"], None);
    let story = &ran.expect(0)["data"];
    let value = value_in(&ran.stdout);
    assert_eq!(
        story["upstreamSaw"]["authorization"],
        format!("Bearer {value}")
    );
    let masked = format!("Bearer {}", "*".repeat(29));
    assert_eq!(story["callerSaw"]["authorization"], masked);
    assert_eq!(story["journal"]["outcome"]["status"], "success");
    assert_eq!(story["refused"]["code"], "binding_refused");
    assert_eq!(
        (&story["refused"]["connections"], &story["refused"]["bytes"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn each_play_has_another_value() {
    let folder = tempfile::tempdir().unwrap();
    let told = || run(folder.path(), &["demo"], None).stdout;
    assert_ne!(value_in(&told()), value_in(&told()));
}
