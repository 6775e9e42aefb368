//! The egress proxy: where it is to listen, and whether it does.

use super::finding::Finding;
use super::surroundings::{ProxyUp, Running, Surroundings};
use super::ways_in::{free, socket_file};
use crate::config::Config;

const RESTART: &str = "Restart the broker: it was started with other settings.";

/// Its address and its socket: free when the broker is down, answered by the proxy when it is up.
pub(super) fn proxy(config: &Config, around: &Surroundings) -> Vec<Finding> {
    let broker = &around.broker;
    if !config.proxy.enabled {
        let found = match broker {
            Running::Up { proxy: Some(_), .. } => {
                Finding::warn("proxy", "the running broker has one", RESTART)
            }
            _ => Finding::ok("proxy", "none: proxy.enabled = false"),
        };
        return vec![found];
    }
    let keys = ("proxy_socket", "proxy.socket");
    let path = config.proxy_socket();
    let file = || socket_file(keys, &path, config, around);
    match broker {
        Running::Up {
            proxy: Some(up), ..
        } => {
            let same = up.socket == path.display().to_string();
            let socket = match (same, up.answers.1) {
                (false, _) => {
                    let text = format!("the running broker's is {}", up.socket);
                    Finding::warn(keys.0, text, RESTART)
                }
                (true, false) => silent(keys.0, &up.socket),
                (true, true) => file(),
            };
            vec![address(config, up), socket]
        }
        Running::Up { proxy: None, .. } => {
            vec![Finding::warn(
                "proxy",
                "the running broker has none",
                RESTART,
            )]
        }
        Running::Down | Running::Silent => {
            let listen = config.proxy.listen;
            let found = if listen.port() == 0 {
                Finding::ok("proxy", format!("{listen}: any free port"))
            } else {
                free("proxy", listen, "proxy.listen")
            };
            vec![found, file()]
        }
    }
}

fn address(config: &Config, up: &ProxyUp) -> Finding {
    let listen = config.proxy.listen;
    if listen.port() != 0 && up.address != listen.to_string() {
        let text = format!("{listen}: the running broker's is at {}", up.address);
        return Finding::warn("proxy", text, RESTART);
    }
    if !up.answers.0 {
        return silent("proxy", &up.address);
    }
    let text = format!(
        "{}: the running broker's, {} tunnels",
        up.address, up.tunnels
    );
    Finding::ok("proxy", text)
}

fn silent(check: &'static str, place: &str) -> Finding {
    let text = format!("{place}: the running broker does not answer there");
    Finding::fail(check, text, "Look at its log, then restart the broker.")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::tests_rig::{around, config, up};
    use super::super::{Level, ProxyUp, Running, Surroundings};
    use super::proxy;
    use crate::config::Config;

    fn levels(config: &Config, broker: &Running) -> Vec<Level> {
        let broker = broker.clone();
        let found = proxy(config, &Surroundings { broker, ..around() });
        found.into_iter().map(|found| found.level).collect()
    }

    fn running(front: Option<ProxyUp>) -> Running {
        match up(&[], &[]) {
            Running::Up {
                version,
                sealed,
                reasons,
                answers,
                unconfined,
                ..
            } => Running::Up {
                version,
                sealed,
                reasons,
                answers,
                proxy: front,
                unconfined,
            },
            other => other,
        }
    }

    #[test]
    fn while_no_broker_runs_its_address_must_be_free() {
        let (_dir, mut config) = config();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        config.proxy.listen = taken.local_addr().unwrap();
        assert_eq!(levels(&config, &Running::Down), [Level::Fail, Level::Ok]);
        drop(taken);
        assert_eq!(levels(&config, &Running::Down), [Level::Ok, Level::Ok]);
        config.proxy.enabled = false;
        assert_eq!(levels(&config, &Running::Down), [Level::Ok]);
    }

    #[test]
    fn that_of_a_running_broker_must_be_where_the_settings_say_and_answer() {
        let (_dir, mut config) = config();
        config.proxy.listen = "127.0.0.1:8421".parse().unwrap();
        let front = |address: &str, answers| {
            let socket = config.proxy_socket().display().to_string();
            running(Some(ProxyUp {
                address: address.to_owned(),
                socket,
                tunnels: 3,
                answers,
            }))
        };
        let found = |broker: &Running| levels(&config, broker);
        let here = "127.0.0.1:8421";
        assert_eq!(found(&front(here, (true, true))), [Level::Ok, Level::Ok]);
        assert_eq!(found(&front(here, (false, true))), [Level::Fail, Level::Ok]);
        assert_eq!(found(&front(here, (true, false))), [Level::Ok, Level::Fail]);
        let elsewhere = front("127.0.0.1:9", (true, true));
        assert_eq!(found(&elsewhere), [Level::Warn, Level::Ok]);
        assert_eq!(found(&running(None)), [Level::Warn]);
        let mut off = config.clone();
        off.proxy.enabled = false;
        assert_eq!(levels(&off, &front(here, (true, true))), [Level::Warn]);
        assert_eq!(levels(&off, &running(None)), [Level::Ok]);
        let mut moved = config.clone();
        moved.proxy.socket = Some("/elsewhere.sock".into());
        let found = levels(&moved, &front(here, (true, true)));
        assert_eq!(found, [Level::Ok, Level::Warn]);
    }
}
