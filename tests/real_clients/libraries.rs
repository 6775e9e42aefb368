//! Vendors' libraries for Node, each as its manual says.

use crate::{World, peers};

/// Runs one of the libraries of `clients.mjs`, and finds its credential in `header` of every request.
fn library(tool: &str, name: &str, secret: &str, (header, frame): (&str, &str), requests: usize) {
    let mut world = World::new();
    let value = world.secret(secret);
    let slug = world.shipped(tool);
    let url = world.url();
    let route = peers("tool-hub/route.mjs").display().to_string();
    let ran = world.works(
        &slug,
        &["node", "--import", &route, "clients.mjs", name, &url],
    );
    for request in world.arrived(requests) {
        assert_eq!(
            request.header(header),
            frame.replace("{}", &value),
            "{}",
            request.target
        );
    }
    // Its own world: where the value would be, there is the placeholder.
    let variable = ran.told["env"].as_object().unwrap();
    let placed = variable
        .values()
        .any(|it| it.as_str().unwrap().contains("rtPlaceh0lder"));
    assert!(placed, "{}", ran.told);
    assert!(ran.told["env"].get("RUNTOOLS_API_KEY").is_none());
    // The vendor repeats what it is sent; what came of it is in the client's answer, masked.
    assert!(
        ran.told["came"].to_string().contains("****"),
        "{}",
        ran.told
    );
    world.stage.finish();
}

#[test]
fn octokit_works_and_never_has_the_token() {
    library(
        "github",
        "octokit",
        "GITHUB_TOKEN",
        ("authorization", "token {}"),
        2,
    );
}

#[test]
fn the_openai_library_works_and_never_has_the_key() {
    library(
        "openai",
        "openai",
        "OPENAI_API_KEY",
        ("authorization", "Bearer {}"),
        2,
    );
}

#[test]
fn the_anthropic_library_works_and_never_has_the_key() {
    library(
        "anthropic",
        "anthropic",
        "ANTHROPIC_API_KEY",
        ("authorization", "Bearer {}"),
        2,
    );
}

#[test]
fn the_stripe_library_works_and_never_has_the_key() {
    library(
        "stripe",
        "stripe",
        "STRIPE_SECRET_KEY",
        ("authorization", "Bearer {}"),
        2,
    );
}

#[test]
fn the_slack_library_works_and_never_has_the_token() {
    library(
        "slack",
        "slack",
        "SLACK_BOT_TOKEN",
        ("authorization", "Bearer {}"),
        2,
    );
}
