//! Java's own clients, which read nothing of the environment but options.

use std::process::Command;

use crate::{Ran, World, path, peers};

/// Their compiled classes, as a tool's own would be.
fn classes(world: &World) -> String {
    let folder = world.home.path().join("classes");
    let output = Command::new("javac")
        .arg("-d")
        .arg(&folder)
        .arg(peers("real-clients").join("Clients.java"))
        .env_clear()
        .env("PATH", path())
        .output()
        .expect("the Java compiler is installed: tests/run does");
    assert!(output.status.success(), "{output:?}");
    folder.display().to_string()
}

/// A world with a token, and the words that run a client of its own class, or by way of the hub's.
fn world() -> (World, String, String) {
    let mut world = World::new();
    let value = world.secret("GITHUB_TOKEN");
    let slug = world.shipped("github");
    (world, value, slug)
}

/// What is so however it goes: no option and no argument has the right, and the environment the placeholder.
fn is_clean(ran: &Ran) {
    let told = &ran.told;
    let variable = |name: &str| told["env"][name].as_str().unwrap().to_owned();
    assert!(
        variable("GITHUB_TOKEN").starts_with("ghp_rtPlaceh0lder"),
        "{told}"
    );
    assert!(
        variable("JAVA_TOOL_OPTIONS").contains("-Dhttps.proxyHost="),
        "{told}"
    );
    assert!(!variable("JAVA_TOOL_OPTIONS").contains("rt_hdl_"), "{told}");
    assert!(!told["argv"].to_string().contains("rt_hdl_"), "{told}");
    assert!(
        ran.err.contains("JAVA_TOOL_OPTIONS"),
        "Java says what it reads: {}",
        ran.err
    );
    assert!(!ran.err.contains("rt_hdl_"), "{}", ran.err);
}

/// Both requests arrived with the value, and both answers are masked.
fn is_served(world: &World, value: &str, ran: &Ran) {
    for request in world.arrived(2) {
        assert_eq!(request.header("authorization"), format!("Bearer {value}"));
    }
    let came = ran.told["came"].to_string();
    assert_eq!(came.matches("octocat").count(), 1, "{came}");
    assert!(came.contains("Bearer ****"), "{came}");
}

#[test]
fn a_url_connection_works_unchanged_and_never_has_the_token() {
    let (world, value, slug) = world();
    let (classes, url) = (classes(&world), world.url());
    let route = peers("tool-hub/Route.java").display().to_string();
    let program = [
        "java",
        "-Xmx64m",
        "-cp",
        &classes,
        &route,
        "Clients",
        "connection",
        &url,
    ];
    let ran = world.works(&slug, &program);
    is_clean(&ran);
    is_served(&world, &value, &ran);
    world.stage.finish();
}

#[test]
fn an_http_client_that_shows_the_right_works_and_never_has_the_token() {
    let (world, value, slug) = world();
    let (classes, url) = (classes(&world), world.url());
    let program = [
        "java", "-Xmx64m", "-cp", &classes, "Clients", "client", &url,
    ];
    let ran = world.works(&slug, &program);
    is_clean(&ran);
    is_served(&world, &value, &ran);
    // Over what it prefers, where nobody listens.
    let ran = world.ran(world.untapped(&slug, &program), &program);
    is_clean(&ran);
    is_served(&world, &value, &ran);
    assert_eq!(ran.told["came"][3], "HTTP_2", "{}", ran.told);
    world.stage.finish();
}

#[test]
fn a_client_that_shows_no_right_goes_nowhere_and_nothing_past_the_proxy() {
    for client in ["connection", "stranger"] {
        let (world, _, slug) = world();
        let (classes, url) = (classes(&world), world.url());
        let program = ["java", "-Xmx64m", "-cp", &classes, "Clients", client, &url];
        let ran = world.runs(&slug, &program);
        is_clean(&ran);
        assert!(ran.told["came"].to_string().contains("407"), "{}", ran.told);
        assert_eq!(world.origin.accepted(), 0, "{}", ran.told);
        world.stage.finish();
    }
}
