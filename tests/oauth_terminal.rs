//! Accounts connected from the terminal: the real command line, broker, browser and provider.

mod harness;

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use harness::Canaries;
use harness::chromium::Chromium;
use harness::desk::{Desk, ended};
use harness::jar::Jar;

#[test]
fn n1_chromium_goes_out_to_the_provider_and_comes_home_to_the_terminal() {
    let desk = Desk::new();
    let (page, child) = desk.connecting(&[]);
    let browser = Chromium::start();
    assert!(!page.starts_with(desk.broker.origin()), "{page}");
    browser.open(&page);
    browser.wait_text("Default");
    let page = browser.script("return location.href");
    let page = page.as_str().unwrap();
    assert!(
        page.starts_with(&format!("{}/connect/", desk.broker.origin())),
        "{page}"
    );
    browser.click("button[type=submit]");
    browser.wait_url(&desk.peer.origin());
    browser.type_into("input[name=login]", "ann");
    browser.type_into("input[name=password]", "any");
    browser.click("button[type=submit]");
    browser.wait_text("offline access");
    browser.click("button[type=submit]");
    browser.wait_url(&format!("{page}/result"));
    browser.wait_text("is connected");
    assert_eq!(ended(0, child).0, "connected peer as ann\n");
    let (list, _) = desk.says(0, &["oauth", "status"], "");
    assert!(list.contains("peer      ann      active  yes"), "{list}");

    let mut canaries = Canaries::new();
    desk.peer
        .secrets()
        .iter()
        .for_each(|secret| canaries.also(secret));
    canaries.absent_from("the log", desk.broker.log_text().as_bytes());

    let (_, told) = desk.says(0, &["oauth", "disconnect", "peer", "--yes"], "");
    assert!(
        told.contains("disconnected peer (ann); revoked at the provider"),
        "{told}"
    );
}

#[test]
fn a_code_connects_from_a_browser_elsewhere_and_a_second_time_renews() {
    let desk = Desk::new();
    for word in ["connected", "renewed"] {
        let mut child = desk
            .command(&["oauth", "connect", "peer", "--no-browser"])
            .spawn()
            .unwrap();
        let mut shown = BufReader::new(child.stderr.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            shown.read_line(&mut line).unwrap();
            println!("{line}");
            line
        };
        next();
        let page = next().trim().to_owned();
        next();
        let code = next().trim().to_owned();
        let mut jar = Jar::new();
        let asked = jar.open(&page);
        let wrong = jar.submit(&asked, &[("code", "AAAA-AAAA")]);
        let onward = jar.submit(&wrong, &[("code", &code)]);
        let to = onward.location().unwrap();
        let back = jar.agree(to.as_str(), "bob", desk.broker.origin());
        let end = jar.open(&back);
        assert!(end.text().contains("is connected"), "{}", end.text());
        let mut rest = String::new();
        shown.read_to_string(&mut rest).unwrap();
        let (out, _) = ended(0, child);
        assert_eq!(out, format!("{word} peer as bob\n"), "{rest}");
    }
}

#[test]
fn a_no_and_ctrl_c_end_the_flow() {
    let desk = Desk::new();
    let (page, child) = desk.connecting(&[]);
    let mut jar = Jar::new();
    let asked = jar.open(&page);
    let onward = jar.submit(&asked, &[]);
    let back = jar.deny(
        onward.location().unwrap().as_str(),
        "ann",
        desk.broker.origin(),
    );
    jar.open(&back);
    let (_, said) = ended(3, child);
    assert!(said.contains("the request was declined at peer"), "{said}");

    let (page, child) = desk.connecting(&[]);
    let page = Jar::new().open(&page).url;
    let kill = ["-INT", &child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    ended(3, child);
    let dead = Jar::new().open(page.as_str());
    assert!(!dead.text().contains("Continue to"), "{}", dead.text());
}
