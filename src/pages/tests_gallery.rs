//! Every page there is: each stands by itself, and all are written to `target/pages` to be looked at.

use std::collections::BTreeMap;
use std::path::Path;

use super::connect_page::{Asked, connect_page};
use super::frame::Frame;
use super::refusal::Refusal;
use super::respond::{Leave, page};
use super::result_page::result_page;
use crate::crypto::SystemRandom;
use crate::id::ConnectionId;
use crate::oauth::flow::tests_rig::{GIT, Rig, SHOP, URL, ask, at, loopback};
use crate::oauth::flow::{
    Failure, FlowPurpose, Home, Invitation, Outcome, PublicUrl, ResultView, ScopeLine, Standing,
    Tell,
};

async fn text(response: axum::response::Response) -> String {
    use http_body_util::BodyExt;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn invitation(text: &str, tell: Tell) -> Invitation {
    let rig = Rig::new();
    let started = rig
        .book
        .begin(ask(text, tell), at(0), &SystemRandom)
        .unwrap();
    rig.book
        .invitation(&started.flow, &rig.nobody(), at(0))
        .unwrap()
}

fn github() -> Invitation {
    let line = |scope: &str, label: Option<&str>| ScopeLine {
        scope: scope.to_owned(),
        label: label.map(str::to_owned),
    };
    Invitation {
        provider: "GitHub".to_owned(),
        host: "github.com".to_owned(),
        scopes: vec![
            line("read:user", None),
            line("user:email", Some("Read the e-mail addresses")),
            line("repo", Some("Read and change all repositories")),
        ],
        ..invitation(GIT, loopback())
    }
}

async fn question(invitation: &Invitation, left: Option<u8>) -> String {
    let asked = Asked {
        invitation,
        token: "token",
        left,
    };
    let title = asked.title();
    let frame = Frame {
        title: &title,
        place: URL,
        again: false,
    };
    let html = frame.around(&connect_page(&asked));
    text(page(http::StatusCode::OK, html, &Leave::default())).await
}

fn view(standing: Standing) -> ResultView {
    ResultView {
        provider: "GitHub".to_owned(),
        user: "Ann Example".to_owned(),
        org: "Acme".to_owned(),
        standing,
        said: None,
        home: None,
    }
}

fn connected(renewed: bool, missing: &[&str]) -> Standing {
    Standing::Over(Outcome::Connected {
        connection: ConnectionId::from_bytes([9; 16]),
        account: "octocat".to_owned(),
        renewed,
        missing: missing.iter().map(|scope| (*scope).to_owned()).collect(),
    })
}

/// Names as long as they get.
fn long() -> Invitation {
    let mut long = github();
    long.purpose = FlowPurpose::Reconnect(ConnectionId::from_bytes([9; 16]));
    long.user = "Maximiliane-Alexandra von Hohenstein-Wackernagel (max@example.com)".to_owned();
    long.org = "Gesellschaft für angewandte Verlässlichkeit und Nachtruhe".to_owned();
    long.scopes.push(ScopeLine {
        scope: "https://www.googleapis.com/auth/calendar.events.readonly.and.more".to_owned(),
        label: None,
    });
    long
}

fn popup() -> ResultView {
    let mut popup = view(connected(false, &[]));
    popup.home = Some(Home {
        origin: URL.to_owned(),
        url: format!("{URL}/apps"),
        popup: true,
        flow: Rig::new().begin(GIT, loopback()).flow,
        ticket: None,
    });
    popup
}

async fn all() -> BTreeMap<String, String> {
    let url = PublicUrl::parse(URL).unwrap();
    let mut pages = BTreeMap::new();
    let mut add = |name: &str, html: String| pages.insert(name.to_owned(), html);
    let code = invitation(GIT, Tell::Code);
    let shop = invitation(SHOP, loopback());
    add("connect", question(&github(), None).await);
    add("connect-again-long", question(&long(), None).await);
    add("connect-shop", question(&shop, None).await);
    add("connect-code", question(&code, None).await);
    add("connect-code-wrong", question(&code, Some(1)).await);
    let limited = view(connected(true, &["repo", "workflow"]));
    for (name, view) in [
        ("connected", view(connected(false, &[]))),
        ("limited", limited),
        ("away", view(Standing::Away)),
        ("working", view(Standing::Working)),
        ("popup", popup()),
    ] {
        add(
            &format!("result-{name}"),
            text(result_page(&view, &url)).await,
        );
    }
    for &failure in Failure::ALL {
        let mut view = view(Standing::Over(Outcome::Failed(failure)));
        let said = "The user has denied your request.".to_owned();
        view.said = (failure == Failure::Denied).then_some(said);
        let html = text(result_page(&view, &url)).await;
        add(&format!("failed-{}", failure.code()), html);
    }
    for refusal in [
        Refusal::Unknown,
        Refusal::WrongBrowser,
        Refusal::Form,
        Refusal::Callback,
        Refusal::Method,
        Refusal::Ahead,
        Refusal::Sealed,
        Refusal::Internal,
    ] {
        let name = format!("{refusal:?}").to_lowercase();
        add(&format!("refused-{name}"), text(refusal.page(&url)).await);
    }
    pages
}

#[tokio::test]
async fn every_page_can_be_read_by_everybody_and_needs_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, html) in all().await {
        std::fs::write(folder.join(format!("{name}.html")), &html).unwrap();
        let once = |what: &str| assert_eq!(html.matches(what).count(), 1, "{name}: {what}");
        for what in [
            "<html lang=\"en\">",
            "<title>",
            "<main>",
            "<h1",
            "name=\"viewport\"",
            "<header>",
        ] {
            once(what);
        }
        let outside = html
            .replace(URL, "")
            .replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://"), "{name}");
        assert_eq!(
            outside.contains("https://"),
            name == "connect-again-long",
            "{name}"
        );
        assert!(
            !html.contains(" style=") && !html.contains(" onclick"),
            "{name}"
        );
        for picture in html.split("<svg ").skip(1) {
            let tag = picture.split('>').next().unwrap();
            assert!(tag.contains("aria-hidden=\"true\""), "{name}");
        }
        let refused = name.starts_with("refused-") || name.starts_with("failed-");
        assert_eq!(
            html.contains("<h2>What to do</h2>"),
            refused || name == "result-limited",
            "{name}"
        );
        assert_eq!(
            html.contains("Code: <code>"),
            refused || name == "result-limited",
            "{name}"
        );
    }
}
