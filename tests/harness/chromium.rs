//! A real browser: headless Chromium, driven through `ChromeDriver` as the W3C's `WebDriver` says.
//!
//! It reaches this machine and nothing else: other names do not resolve, and a page that asks for
//! them is found out by [`Chromium::foreign`].

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chromium_log::Log;
pub use super::screen::Screen;
use super::{Client, eventually};

/// A running browser with a profile of its own.
#[derive(Debug)]
pub struct Chromium {
    driver: Child,
    client: Client,
    session: String,
    pub(super) log: Mutex<Log>,
    profile: TempDir,
}

/// The name of an element's id in `WebDriver`.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

/// What is said of an element that is not there any more, or not yet.
const GONE: [&str; 3] = ["stale element", "not interactable", "inspector error"];
/// Starts a driver: it, and its port. `None` when it ends before it is ready.
fn driver() -> Option<(Child, u16)> {
    let driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let hint = "chromedriver is missing: apt-get install chromium chromium-driver, or tests/run";
    let mut driver = driver.expect(hint);
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse::<u16>().ok()
    });
    if port.is_none() {
        drop(driver.wait());
    }
    std::thread::spawn(move || lines.for_each(drop));
    Some((driver, port?))
}

impl Chromium {
    /// A new browser, on a desktop's screen.
    pub fn start() -> Self {
        // Of two that begin at once, both may find the same port free: the later one ends.
        let (driver, port) = (0..5)
            .find_map(|_| driver())
            .expect("chromedriver does not start");
        let profile = tempfile::tempdir().unwrap();
        let client = Client::origin(&format!("http://127.0.0.1:{port}"));
        let data = format!("--user-data-dir={}", profile.path().display());
        let mut arguments: Vec<_> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        arguments.push(data);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "pageLoad": 20_000, "script": 20_000 },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        }}});
        let reply = client.post("/session", &wanted);
        let mut browser = Self {
            driver,
            client,
            session: String::new(),
            log: Mutex::default(),
            profile,
        };
        let made = reply.expect(200);
        browser.session = text(&made["value"]["sessionId"]);
        browser.screen(Screen::Desktop);
        browser
    }

    /// A command of this session; `Err` is what the driver says is wrong.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        let send = || match method {
            "POST" => self.client.post(&path, body),
            _ => self.client.send(method, &path, None),
        };
        let mut reply = send();
        // A page that is never through with loading, since it loads itself again, holds a command up until the
        // driver has had enough. What was to be done is done; what was asked is asked again.
        if reply.value()["value"]["error"] == "timeout" {
            if method == "POST" {
                return Ok(Value::Null);
            }
            reply = send();
        }
        let value = reply.value()["value"].clone();
        if reply.status == 200 {
            return Ok(value);
        }
        Err(format!("{path}: {} {}", value["error"], value["message"]))
    }

    #[track_caller]
    pub(super) fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, path, body)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn devtools(&self, command: &str, params: &Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.tell("POST", "/goog/cdp/execute", &body)
    }

    /// Goes to an address and waits until the page is there.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.tell("POST", "/url", &json!({ "url": url }));
    }

    /// The same; `Err` when the page cannot be had.
    pub fn try_open(&self, url: &str) -> Result<(), String> {
        self.ask("POST", "/url", &json!({ "url": url })).map(drop)
    }

    #[track_caller]
    pub fn url(&self) -> String {
        text(&self.tell("GET", "/url", &Value::Null))
    }

    #[track_caller]
    pub fn title(&self) -> String {
        text(&self.tell("GET", "/title", &Value::Null))
    }

    /// What a person reads on the page.
    #[track_caller]
    pub fn text(&self) -> String {
        self.text_of("body")
    }

    /// What a person reads in the first element that the selector finds.
    #[track_caller]
    pub fn text_of(&self, css: &str) -> String {
        text(&self.on(css, "GET", "text", &Value::Null))
    }

    /// Waits until a person reads this on the page.
    #[track_caller]
    pub fn wait_text(&self, part: &str) {
        eventually(|| self.text().contains(part).then_some(()));
    }

    /// The page as it stands now, scripts' work and all.
    #[track_caller]
    pub fn html(&self) -> String {
        text(&self.tell("GET", "/source", &Value::Null))
    }

    /// Whether the selector finds something now.
    pub fn has(&self, css: &str) -> bool {
        self.element(css).is_ok()
    }

    fn element(&self, css: &str) -> Result<String, String> {
        let how = json!({ "using": "css selector", "value": css });
        let found = self.ask("POST", "/element", &how)?;
        Ok(text(&found[ELEMENT]))
    }

    /// Does something with the first element that is found, once it is there: a page that goes takes it along.
    #[track_caller]
    fn on(&self, css: &str, method: &str, what: &str, body: &Value) -> Value {
        eventually(|| {
            let id = self.element(css).ok()?;
            let done = self.ask(method, &format!("/element/{id}/{what}"), body);
            match done {
                Err(error) if GONE.iter().any(|gone| error.contains(gone)) => None,
                done => Some(done.unwrap_or_else(|error| panic!("{css}: {error}"))),
            }
        })
    }

    /// Clicks on the first element that the selector finds.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.on(css, "POST", "click", &json!({}));
    }

    /// Types into the first element that the selector finds, after what is there.
    #[track_caller]
    pub fn type_into(&self, css: &str, what: &str) {
        self.on(css, "POST", "value", &json!({ "text": what }));
    }

    /// Presses Tab or another key (`\u{E004}`, `\u{E007}` for Enter) where the focus is.
    #[track_caller]
    pub fn press(&self, key: char) {
        let keys = [
            json!({"type": "keyDown", "value": key}),
            json!({"type": "keyUp", "value": key}),
        ];
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] });
        self.tell("POST", "/actions", &body);
    }

    /// Waits until the address begins with `prefix`: the address.
    #[track_caller]
    pub fn wait_url(&self, prefix: &str) -> String {
        eventually(|| Some(self.url()).filter(|url| url.starts_with(prefix)))
    }

    /// Runs a script that may `return` something.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.tell(
            "POST",
            "/execute/sync",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// A picture of the whole page, as PNG.
    #[track_caller]
    pub fn screenshot(&self) -> Vec<u8> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", &whole);
        STANDARD.decode(text(&picture["data"])).unwrap()
    }

    /// The same, kept as `target/tmp/{name}.png`.
    #[track_caller]
    pub fn keep_screenshot(&self, name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        std::fs::write(&path, self.screenshot()).unwrap();
        path
    }

    #[track_caller]
    pub fn screen(&self, screen: Screen) {
        self.devtools("Emulation.setDeviceMetricsOverride", &screen.metrics());
    }

    /// Whether the person wants dark colours.
    #[track_caller]
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// Whether pages may run scripts.
    #[track_caller]
    pub fn scripts(&self, on: bool) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": !on }),
        );
    }

    /// Every cookie, of whatever site.
    #[track_caller]
    pub fn cookies(&self) -> Vec<Value> {
        let all = self.devtools("Storage.getCookies", &json!({}));
        all["cookies"].as_array().unwrap().clone()
    }

    /// Forgets every cookie.
    #[track_caller]
    pub fn forget_cookies(&self) {
        self.devtools("Storage.clearCookies", &json!({}));
    }

    /// The tab that is looked at.
    #[track_caller]
    pub fn tab(&self) -> String {
        text(&self.tell("GET", "/window", &Value::Null))
    }

    /// Every tab, pop-ups too.
    #[track_caller]
    pub fn tabs(&self) -> Vec<String> {
        let all = self.tell("GET", "/window/handles", &Value::Null);
        all.as_array().unwrap().iter().map(text).collect()
    }

    /// A new tab, which is looked at from now on. It has the browser's own screen and colours.
    #[track_caller]
    pub fn new_tab(&self) -> String {
        let made = self.tell("POST", "/window/new", &json!({ "type": "tab" }));
        let tab = text(&made["handle"]);
        self.look_at(&tab);
        tab
    }

    #[track_caller]
    pub fn look_at(&self, tab: &str) {
        self.tell("POST", "/window", &json!({ "handle": tab }));
    }

    /// Where the browser keeps what it keeps.
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The driver ends the browser; killed alone, it would leave it behind.
        drop(
            self.client
                .try_send("DELETE", &format!("/session/{}", self.session), None),
        );
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
