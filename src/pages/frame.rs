//! What every page has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::pictures;

/// The style sheet, as it stands in every page.
pub(super) const STYLE: &str = include_str!("style.css");

/// A page.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// What it is about: the tab's title.
    pub title: &'a str,
    /// Where the broker is, for people to recognise.
    pub place: &'a str,
    /// Whether the browser asks again in two seconds.
    pub again: bool,
}

impl Frame<'_> {
    /// The page with this in it.
    pub(super) fn around(&self, inside: &Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    @if self.again { meta http-equiv="refresh" content="2"; }
                    title { (self.title) " · RunTools Broker" }
                    link rel="icon" href=(pictures::ICON);
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { (pictures::mark()) "RunTools Broker" }
                    main { article class="card" { (inside) } }
                    footer { "The broker at " (self.place) }
                }
            }
        };
        page.into_string()
    }
}
