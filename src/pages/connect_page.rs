//! The question: who connects what to which organisation.

use maud::{Markup, html};

use super::pictures;
use crate::clock::Timestamp;
use crate::oauth::flow::{Invitation, ScopeLine};

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// What would be connected.
    pub invitation: &'a Invitation,
    /// What shows that the form is ours.
    pub token: &'a str,
    /// How often the code may still be wrong, when it just was.
    pub left: Option<u8>,
}

impl Asked<'_> {
    /// What the page is about.
    pub(super) fn title(&self) -> String {
        let what = self.invitation;
        let verb = if what.is_reconnect() {
            "Reconnect"
        } else {
            "Connect"
        };
        // A long name stands below in any case.
        if what.org.chars().count() <= 24 {
            format!("{verb} {} to {}", what.provider, what.org)
        } else {
            format!("{verb} {}", what.provider)
        }
    }
}

/// The page. However long the list of scopes is, the button stands on the first screen, and with it the
/// warning, which nothing may cover: it is part of the form. Who and where come first.
pub(super) fn connect_page(asked: &Asked<'_>) -> Markup {
    let what = asked.invitation;
    let initial: String = what.provider.chars().take(1).collect();
    html! {
        div class="link" aria-hidden="true" {
            span class="tile" {
                @if let Some(icon) = &what.icon { (pictures::drawn(icon)) }
                @else { (initial.to_uppercase()) }
            }
            span class="rope" {}
            span class="tile" { (pictures::mark()) }
        }
        h1 { (asked.title()) }
        (lead(what))
        (facts(what))
        @if !what.scopes.is_empty() { (scopes(what)) }
        (form(asked))
        p class="small" {
            "Tools use the account and never see its tokens. This link ends at "
            (minute(what.expires)) " UTC."
        }
    }
}

fn lead(what: &Invitation) -> Markup {
    html! {
        p class="lead" {
            @if what.is_reconnect() {
                "Sign in with the same account as before. It gets a new grant, and stays with:"
            } @else {
                "The " (what.provider) " account you sign in with next will be attached to:"
            }
        }
    }
}

fn facts(what: &Invitation) -> Markup {
    html! {
        dl {
            div { dt { "User" } dd { (what.user) } }
            div { dt { "Organisation" } dd { (what.org) } }
            @for (label, value) in &what.told {
                div { dt { (label) } dd { (value) } }
            }
            div { dt { "Sign in at" } dd { (what.host) } }
        }
    }
}

fn scopes(what: &Invitation) -> Markup {
    html! {
        h2 id="asks" { (what.provider) " will be asked to allow" }
        ul class="scopes" aria-labelledby="asks" {
            @for scope in &what.scopes { (scope_line(scope)) }
        }
    }
}

fn scope_line(line: &ScopeLine) -> Markup {
    html! {
        li {
            (pictures::check())
            @if let Some(label) = &line.label {
                (label) " "
                code { (line.scope) }
            } @else {
                code class="alone" { (line.scope) }
            }
        }
    }
}

/// A wrong code is said next to the field, and the field has the focus: not before, because a page that
/// scrolls to its field does not show who asks.
fn form(asked: &Asked<'_>) -> Markup {
    let what = asked.invitation;
    let wrong = asked.left.is_some();
    html! {
        form method="post" class="ask" autocomplete="off" {
            input type="hidden" name="token" value=(asked.token);
            p class="note" {
                strong { "Did somebody send you this link?" }
                " Continue only if you are " (what.user) " and started this yourself. If not, close this \
                  page: nothing has been connected."
            }
            @if what.needs_code {
                label for="code" { "Code from your terminal" }
                p class="hint" id="code-hint" { "Eight letters, shown where you started." }
                @if let Some(left) = asked.left {
                    p class="wrong" id="code-wrong" role="alert" {
                        "That is another code. " (tries(left))
                    }
                }
                input type="text" id="code" name="code" required autofocus[wrong] autocapitalize="characters"
                    autocomplete="one-time-code" spellcheck="false" maxlength="20" placeholder="XXXX-XXXX"
                    aria-describedby=(if wrong { "code-hint code-wrong" } else { "code-hint" })
                    aria-invalid=[wrong.then_some("true")];
            }
            button type="submit" class="button" { "Continue to " (what.provider) }
        }
    }
}

fn tries(left: u8) -> String {
    match left {
        1 => "One more try.".to_owned(),
        left => format!("{left} more tries."),
    }
}

/// `14:13`.
fn minute(at: Timestamp) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}
