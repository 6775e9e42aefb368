//! Connecting accounts: an admin sets the client, a member starts, a browser agrees, and the account is
//! there; everything real, down to the provider and the browser.

mod harness;

mod oauth_connect {
    mod accounts;
    mod at_once;
    mod browser;
    mod caps;
    mod clients;
    mod code;
    mod dashboard;
    mod discovery;
    mod extends;
    mod key;
    mod resources;
}
