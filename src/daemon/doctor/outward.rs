//! The way out, to upstream hosts. Nobody is called: what the machine says of its own ways is read.

use std::fs;
use std::path::Path;

use super::finding::Finding;

/// Whether there is a way to another machine at all.
pub(super) fn routes(root: &Path) -> Finding {
    const CHECK: &str = "egress";
    // The interface stands first in the one, and last in the other.
    let four = fs::read_to_string(root.join("proc/net/route"));
    let six = fs::read_to_string(root.join("proc/net/ipv6_route"));
    if four.is_err() && six.is_err() {
        return Finding::unexamined(CHECK, "not examined: the kernel does not tell its routes");
    }
    let (four, six) = (four.unwrap_or_default(), six.unwrap_or_default());
    let first = four
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().next());
    let last = six.lines().map(|line| line.split_whitespace().last());
    let mut interfaces = first.chain(last).flatten();
    if interfaces.any(|name| name != "lo") {
        return Finding::ok(CHECK, "there is a way to other machines");
    }
    Finding::warn(
        CHECK,
        "there is no way to other machines: upstream hosts are reached on this one only",
        "Look with: ip route. A container needs a network, and a unit neither PrivateNetwork= nor IPAddressDeny=any.",
    )
}

/// Whether names of hosts can be asked for.
pub(super) fn resolver(root: &Path) -> Finding {
    const CHECK: &str = "resolver";
    let text = fs::read_to_string(root.join("etc/resolv.conf")).unwrap_or_default();
    let mut words = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words
            .next()
            .filter(|word| *word == "nameserver")
            .and(words.next())
    });
    match words.next() {
        Some(first) => Finding::ok(CHECK, format!("names are asked for at {first}")),
        None => Finding::warn(
            CHECK,
            "nobody can be asked for the addresses of hosts",
            "Name a server in /etc/resolv.conf: nameserver ADDRESS.",
        ),
    }
}
