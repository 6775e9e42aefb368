//! The few pictures, drawn in the page itself. They only repeat what the words say, so readers of the
//! page's text pass over them.

use maud::{Markup, PreEscaped, html};

/// The tab's picture.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%230c6152'/%3E%3Cpath d='M8 10.5V9a4 4 0 0 1 8 0v1.5M7 10.5h10v7H7z' fill='none' stroke='%23fff' stroke-width='1.8' stroke-linejoin='round'/%3E%3C/svg%3E";

fn svg(inside: &'static str) -> Markup {
    PreEscaped(format!(
        "<svg viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.9\" stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\">{inside}</svg>"
    ))
}

/// A provider's own picture, from the path in its file. Not in its colours: it stands on light and on dark.
pub(super) fn drawn(path: &str) -> Markup {
    html! { svg class="own" viewBox="0 0 24 24" fill="currentColor" aria-hidden="true" { path d=(path) {} } }
}

/// The product's mark: a lock whose shackle is a link.
pub(super) fn mark() -> Markup {
    svg(
        "<rect x=\"4.5\" y=\"10.5\" width=\"15\" height=\"10\" rx=\"2.6\"/><path d=\"M8 10.5V8a4 4 0 0 1 8 0v2.5\"/><path d=\"M12 14.4v2.2\"/>",
    )
}

/// Done.
pub(super) fn check() -> Markup {
    svg("<path d=\"m5.5 12.6 4.3 4.3 8.7-9.4\"/>")
}

/// Look here.
pub(super) fn attention() -> Markup {
    svg("<path d=\"M12 7v6.2\"/><path d=\"M12 17.2v.1\"/>")
}

/// No.
pub(super) fn cross() -> Markup {
    svg("<path d=\"m7 7 10 10M17 7 7 17\"/>")
}

/// At work.
pub(super) fn wheel() -> Markup {
    svg("<path class=\"turn\" d=\"M12 4a8 8 0 1 1-7.4 5\"/>")
}
