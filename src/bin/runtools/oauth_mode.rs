//! Which way an account is connected: where is the browser?

use runtools_broker::client::{ClientEnv, ClientError};
use runtools_broker::wire::Provider;

use crate::oauth_connect::ConnectArgs;

/// The way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A browser on this machine, which comes back here by itself.
    Browser,
    /// A browser on any machine; a code that is shown here is typed into the broker's page.
    Code,
    /// A browser on any machine; a code that is shown here is typed into the provider's page.
    Device,
}

/// The flags decide, else where the person sits (RFC 8252 section 8.1, rule N2). A provider that is
/// not known is left to the broker, which refuses it with a reason.
pub(crate) fn choose(
    args: &ConnectArgs,
    env: &ClientEnv,
    provider: Option<&Provider>,
) -> Result<Mode, ClientError> {
    let (browser, device) = provider.map_or((true, false), |known| (known.browser, known.device));
    if args.device {
        return if device || provider.is_none() {
            Ok(Mode::Device)
        } else {
            Err(ClientError::usage(
                "the provider has no device flow",
                "leave --device out; --no-browser is for a browser on another machine",
            ))
        };
    }
    if !browser && device {
        return Ok(Mode::Device);
    }
    if args.no_browser {
        return Ok(Mode::Code);
    }
    // What a session over SSH opens is far from the person, whatever it is.
    let near = !env.over_ssh && (env.screen || env.browser.is_some());
    Ok(if near {
        Mode::Browser
    } else if device && !args.names_account() {
        Mode::Device
    } else {
        Mode::Code
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use runtools_broker::client::ClientEnv;
    use runtools_broker::wire::Provider;

    use super::{Mode, choose};
    use crate::oauth_connect::ConnectArgs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ConnectArgs,
    }

    fn provider(browser: bool, device: bool) -> Provider {
        let text = serde_json::json!({
            "id": "github", "displayName": "GitHub", "configured": true, "browser": browser,
            "device": device, "status": "verified", "defaultScopes": [], "scopes": {}, "params": [],
        });
        serde_json::from_value(text).unwrap()
    }

    fn chosen(flags: &str, env: &ClientEnv, browser: bool, device: bool) -> Option<Mode> {
        let line = format!("runtools github {flags}");
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        choose(&line.args, env, Some(&provider(browser, device))).ok()
    }

    #[test]
    fn n2_a_browser_is_used_where_the_person_can_see_it() {
        let env = |screen, over_ssh, browser: Option<&str>| ClientEnv {
            screen,
            over_ssh,
            browser: browser.map(str::to_owned),
            ..ClientEnv::default()
        };
        for (env, with_device, without) in [
            (env(true, false, None), Mode::Browser, Mode::Browser),
            (env(false, false, Some("w3m")), Mode::Browser, Mode::Browser),
            (env(false, false, None), Mode::Device, Mode::Code),
            (env(true, true, None), Mode::Device, Mode::Code),
            (env(false, true, Some("ff")), Mode::Device, Mode::Code),
        ] {
            assert_eq!(chosen("", &env, true, true), Some(with_device), "{env:?}");
            assert_eq!(chosen("", &env, true, false), Some(without), "{env:?}");
        }
    }

    #[test]
    fn flags_beat_the_environment() {
        let (near, far) = (
            ClientEnv {
                screen: true,
                ..ClientEnv::default()
            },
            ClientEnv::default(),
        );
        for env in [&near, &far] {
            assert_eq!(chosen("--device", env, true, true), Some(Mode::Device));
            assert_eq!(chosen("--no-browser", env, true, true), Some(Mode::Code));
            assert_eq!(chosen("--device", env, true, false), None);
        }
        // A device flow has no place for these.
        assert_eq!(chosen("--another", &far, true, true), Some(Mode::Code));
        assert_eq!(
            chosen("--account-hint a", &far, true, true),
            Some(Mode::Code)
        );
    }

    #[test]
    fn a_provider_that_has_a_device_flow_only_is_connected_by_it() {
        let near = ClientEnv {
            screen: true,
            ..ClientEnv::default()
        };
        assert_eq!(chosen("", &near, false, true), Some(Mode::Device));
        assert_eq!(
            chosen("--no-browser", &near, false, true),
            Some(Mode::Device)
        );
    }

    #[test]
    fn a_provider_that_is_not_known_is_left_to_the_broker() {
        let line = Line::try_parse_from(["runtools", "nowhere", "--device"]).unwrap();
        let env = ClientEnv::default();
        assert_eq!(choose(&line.args, &env, None).unwrap(), Mode::Device);
    }
}
