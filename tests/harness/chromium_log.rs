//! What a browser asked for, how long it waited for each answer, and what it complained of.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::chromium::{Chromium, text};

/// What the driver has told: it tells everything once.
#[derive(Debug, Default)]
pub(super) struct Log {
    asked: Vec<Asked>,
    /// By the browser's id of a request, the last of its addresses, which has no end yet.
    open: HashMap<String, usize>,
    console: Vec<String>,
}

/// One address that was asked for: a page, a part of one, or a step of a redirect.
#[derive(Clone, Debug)]
pub struct Asked {
    pub url: String,
    /// When, in seconds since 1970.
    pub at: f64,
    /// How long until the answer was there, if it came.
    pub took: Option<Duration>,
    /// When, by the browser's own clock.
    began: f64,
}

impl Log {
    fn hear(&mut self, event: &Value) {
        let params = &event["params"];
        let (id, now) = (text(&params["requestId"]), params["timestamp"].as_f64());
        let Some(now) = now else { return };
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                // The step before it of a redirect has ended.
                self.end(&id, now);
                self.open.insert(id, self.asked.len());
                self.asked.push(Asked {
                    url: text(&params["request"]["url"]),
                    at: params["wallTime"].as_f64().unwrap_or_default(),
                    took: None,
                    began: now,
                });
            }
            Some("Network.loadingFinished" | "Network.loadingFailed") => self.end(&id, now),
            _ => {}
        }
    }

    fn end(&mut self, id: &str, now: f64) {
        if let Some(index) = self.open.remove(id) {
            let asked = &mut self.asked[index];
            asked.took = Some(Duration::from_secs_f64((now - asked.began).max(0.0)));
        }
    }
}

impl Chromium {
    /// Moves what the driver has logged into what is kept here.
    fn drain(&self) {
        let told = |kind: &str| {
            let entries = self.tell("POST", "/se/log", &json!({ "type": kind }));
            entries.as_array().unwrap().clone()
        };
        let (performance, browser) = (told("performance"), told("browser"));
        let mut log = self.log.lock().unwrap();
        for entry in performance {
            let event: Value = serde_json::from_str(&text(&entry["message"])).unwrap();
            log.hear(&event["message"]);
        }
        let severe = browser.iter().filter(|entry| entry["level"] == "SEVERE");
        log.console
            .extend(severe.map(|entry| text(&entry["message"])));
    }

    /// Everything that was asked for, by pages and by their parts, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.drain();
        self.log.lock().unwrap().asked.clone()
    }

    /// Every address that was asked for.
    pub fn requests(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.url).collect()
    }

    /// Those that are of none of these origins (`http://127.0.0.1:8420`).
    pub fn foreign(&self, own: &[&str]) -> Vec<String> {
        let mut all = self.requests();
        all.retain(|url| {
            let url = Url::parse(url).unwrap();
            let over_network = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
            over_network && !own.contains(&&*url.origin().ascii_serialization())
        });
        all
    }

    /// Every error that the console showed: of scripts, of policies, of what could not be loaded.
    pub fn console(&self) -> Vec<String> {
        self.drain();
        self.log.lock().unwrap().console.clone()
    }
}
