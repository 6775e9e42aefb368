//! The house rules that a compiler does not know, read off the sources.
//!
//! A rule is a function from one file to what is wrong in it. Each is tried twice: on the tree, where
//! it must find nothing, and on a seeded violation, which it must find.
#[path = "architecture/attacks.rs"]
mod attacks;
#[path = "architecture/oauth.rs"]
mod oauth;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;

use attacks::{APART, CASES, Place, cases_of, tests_of};
use oauth::{RULES, STOPPING, Where, functions_of, rules_of, stopping_tests_of};
use rules::{
    DOORS, EXPOSERS, MAX_LINES, Rule, UNFINISHED, doors_are_kept, exposers_are_listed,
    files_are_short, imports_go_left, lints_are_expected_with_reasons, nothing_is_unfinished,
    nothing_is_unsafe, nothing_prints,
};
use source::{Source, sources};

#[track_caller]
fn holds(rule: Rule, dirs: &[&str]) {
    let all = sources(dirs);
    assert!(all.len() > 5, "no sources were found");
    let found: Vec<_> = all.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Whether `rule` finds something in a file of this path and text.
fn finds(rule: Rule, path: &str, text: &str) -> bool {
    !rule(&Source::new(path, text)).is_empty()
}

#[test]
fn every_module_imports_only_what_stands_to_its_left() {
    let rule = imports_go_left;
    assert!(finds(rule, "src/crypto/key.rs", "use crate::vault::Vault;"));
    assert!(finds(
        rule,
        "src/store/mod.rs",
        "use crate::{id::{A, B}, broker::C};"
    ));
    assert!(finds(rule, "src/id.rs", "fn f() { crate::http::serve() }"));
    assert!(finds(
        rule,
        "src/bin/runtools/main.rs",
        "use runtools_broker::store::Store;"
    ));
    assert!(finds(rule, "src/utils.rs", ""));
    assert!(!finds(
        rule,
        "src/vault/mod.rs",
        "use crate::{id::{A, B}, store::C};"
    ));
    assert!(!finds(
        rule,
        "src/id.rs",
        "/// See [`crate::http`].\nconst A: &str = \"crate::http\";"
    ));
    holds(rule, &["src"]);
}

#[test]
fn every_dependency_is_used_behind_its_door() {
    let rule = doors_are_kept;
    for (what, _) in DOORS {
        assert!(
            finds(rule, "src/vault/mod.rs", &format!("use {what};")),
            "{what}"
        );
    }
    assert!(!finds(rule, "src/vault/tests_x.rs", "use sled::Db;"));
    assert!(!finds(rule, "src/store/sled_engine.rs", "use sled::Db;"));
    holds(rule, &["src"]);
}

#[test]
fn nothing_prints_but_the_output_modules() {
    assert!(finds(
        nothing_prints,
        "src/vault/mod.rs",
        "fn f() { println!(\"{x}\") }"
    ));
    assert!(finds(
        nothing_prints,
        "src/bin/runtools/auth.rs",
        "fn f() { eprint!(\"\") }"
    ));
    holds(nothing_prints, &["src"]);
}

#[test]
fn secrets_are_exposed_only_where_it_is_listed() {
    let rule = exposers_are_listed;
    assert!(finds(
        rule,
        "src/audit/event.rs",
        "fn f() { value.expose(|v| v.len()) }"
    ));
    assert!(finds(rule, "src/audit/event.rs", "let f = Secret::expose;"));
    assert!(!finds(
        rule,
        "src/audit/event.rs",
        "#[cfg(test)]\nmod tests {\n s.expose(f) }"
    ));
    holds(rule, &["src"]);
    for (path, _) in EXPOSERS {
        assert!(
            sources(&["src"]).iter().any(|source| source.path == *path),
            "{path} is gone"
        );
    }
}

#[test]
fn files_end_before_they_tire_the_reader() {
    assert!(finds(
        files_are_short,
        "src/x.rs",
        &"\n".repeat(MAX_LINES + 1)
    ));
    assert!(!finds(files_are_short, "src/x.rs", &"\n".repeat(MAX_LINES)));
    holds(files_are_short, &["src", "tests"]);
}

#[test]
fn nothing_is_left_for_later() {
    for what in UNFINISHED {
        let text = if what.ends_with('!') || what.starts_with('#') {
            format!("{what}()")
        } else {
            format!("// {what}: x")
        };
        assert!(finds(nothing_is_unfinished, "src/x.rs", &text), "{what}");
    }
    let all: Vec<_> = sources(&["src", "tests"])
        .into_iter()
        .filter(|source| !source.path.starts_with("tests/architecture"))
        .collect();
    let found: Vec<_> = all.iter().flat_map(nothing_is_unfinished).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    let rule = lints_are_expected_with_reasons;
    assert!(finds(
        rule,
        "src/x.rs",
        "#[expect(clippy::panic)]\nfn f() {}"
    ));
    assert!(finds(
        rule,
        "src/x.rs",
        "#![allow(clippy::panic, reason = \"x\")]"
    ));
    assert!(!finds(
        rule,
        "tests/x.rs",
        "#![allow(clippy::panic, reason = \"x\")]"
    ));
    assert!(!finds(
        rule,
        "src/x.rs",
        "fn f() { x.expect(1); scopes.allow(2) }"
    ));
    holds(rule, &["src", "tests"]);
}

#[test]
fn nothing_is_unsafe_anywhere() {
    assert!(finds(
        nothing_is_unsafe,
        "src/x.rs",
        "fn f() { unsafe { g() } }"
    ));
    assert!(!finds(
        nothing_is_unsafe,
        "src/x.rs",
        "// unsafe\nconst A: &str = \"unsafe\";"
    ));
    holds(nothing_is_unsafe, &["src", "tests"]);
}

/// The files that a page of the manual names: in backticks, from `tests/` or from within `src/`.
fn named_files(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains(".rs")).collect()
}

#[test]
fn what_the_threats_are_shown_by_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_there = |name: &str| root.join("src").join(name).is_file() || root.join(name).is_file();
    assert_eq!(
        named_files("| `a/b.rs`, `Permit` | `c.rs`"),
        ["a/b.rs", "c.rs"]
    );
    let page = include_str!("../src/manual/threats.md");
    let table = page.lines().filter(|line| line.starts_with("| "));
    let unshown: Vec<_> = table.filter(|row| named_files(row).is_empty()).collect();
    assert_eq!(
        unshown,
        ["| attack | what stands in its way | where it is shown |"]
    );
    let gone: Vec<_> = named_files(page)
        .into_iter()
        .filter(|name| !is_there(name))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn each_attack_has_a_test_of_its_name_in_every_lane_that_it_applies_to() {
    assert_eq!(cases_of("dc_3_ss_14_a_name_of_ex_1"), ["dc_3", "ss_14"]);
    assert_eq!(cases_of("ex_x_1"), Vec::<String>::new());
    let file =
        "#[test]\nfn ex_1_a() {}\nfn ex_2_b() {}\n#[tokio::test]\n#[x]\nasync fn ex_3_c() {}";
    let file = Source::new("tests/lane_x.rs", file);
    assert_eq!(tests_of(&file).collect::<Vec<_>>(), ["ex_1_a", "ex_3_c"]);
    assert!(!Place::Action.has(&file, "ex_1_a"));
    let file =
        "#[test]\nfn ex_1_a() {\n    LANES\n}\n#[test]\nfn ex_2_b() {\n    Lane::Egress\n}\n";
    let file = Source::new("tests/lane_x.rs", file);
    let lanes = |test| [Place::Execute, Place::Stream].map(|place| place.has(&file, test));
    assert_eq!(lanes("ex_1_a"), [true, true]);
    assert_eq!(lanes("ex_2_b"), [false, true]);
    let all = sources(&["src", "tests"]);
    let tests: Vec<_> = all
        .iter()
        .flat_map(|source| tests_of(source).map(move |name| (source, name, cases_of(name))))
        .collect();
    let tried = |case: &str, place: Place| {
        let mut tests = tests
            .iter()
            .filter(|(.., cases)| cases.iter().any(|of| of == case));
        tests.any(|(source, name, _)| place.has(source, name))
    };
    let missing: Vec<_> = CASES
        .iter()
        .flat_map(|(case, places)| places.iter().map(move |place| (*case, *place)))
        .filter(|(case, place)| !tried(case, *place))
        .collect();
    assert_eq!(missing, []);
    // No test is of a case that the table does not know, and none of one that it calls apart.
    let known: BTreeSet<&str> = CASES.iter().map(|(case, _)| *case).collect();
    assert!(
        APART
            .iter()
            .all(|(case, why)| !known.contains(case) && !why.is_empty())
    );
    let named = tests.iter().flat_map(|(.., cases)| cases);
    let strange: BTreeSet<_> = named.filter(|case| !known.contains(&***case)).collect();
    assert_eq!(strange, BTreeSet::new());
}

#[test]
fn each_rule_of_the_oauth_client_has_a_test_of_its_name_where_it_applies() {
    assert_eq!(rules_of("b3_x4_another_browser"), ["b3", "x4"]);
    assert_eq!(rules_of("lk_5_t10_no_value"), ["t10"]);
    assert_eq!(rules_of("a_rule_of_b3"), Vec::<&str>::new());
    let all = sources(&["src", "tests"]);
    let tried = |rule: &str, place: Where| {
        let files = all.iter().filter(|source| place.has(source));
        files
            .flat_map(functions_of)
            .any(|name| rules_of(name).contains(&rule))
    };
    let places = RULES
        .iter()
        .flat_map(|(rule, places)| places.iter().map(move |place| (*rule, *place)));
    let missing: Vec<_> = places
        .filter(|(rule, place)| !tried(rule, *place))
        .collect();
    assert_eq!(missing, []);
    let known: BTreeSet<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
    let named: BTreeSet<_> = all
        .iter()
        .flat_map(functions_of)
        .flat_map(rules_of)
        .collect();
    assert_eq!(named, known, "no test is of a rule that is not known");
}

#[test]
fn each_rule_that_stops_before_redeeming_is_shown_by_the_log_of_who_would_redeem() {
    let with = "#[test]\nfn b1_a() {\n    stage.no_call();\n}\n#[test]\nfn b2_b() {\n}\n";
    let file = Source::new("tests/x.rs", with);
    assert_eq!(stopping_tests_of(&file).collect::<Vec<_>>(), ["b1_a"]);
    let all = sources(&["tests"]);
    let shown: BTreeSet<_> = all
        .iter()
        .flat_map(stopping_tests_of)
        .flat_map(rules_of)
        .collect();
    let missing: Vec<_> = STOPPING
        .iter()
        .filter(|rule| !shown.contains(*rule))
        .collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
