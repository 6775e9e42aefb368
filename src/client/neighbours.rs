//! Whose program is at the other end of a connection on this machine.
//!
//! A loopback port is everybody's on the machine, and so is what stands on a command line: `ps` shows the
//! address that a browser is started with. The kernel knows who opened the other end. With that, the
//! link of a flow is given to its user's own programs alone, and taken from them alone: somebody else who
//! reads the address cannot agree in the user's place, with an account of their own.

use std::net::{IpAddr, SocketAddr};

/// Where the kernel lists connections: those of IPv4, and those of IPv6 sockets that speak IPv4.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Whether the program at the other end, `theirs`, of a connection to `ours` is of the same user, or of
/// root, who can do anything here (and who carries connections into a virtual machine). One that is not
/// listed is nobody's.
pub(super) fn is_own(theirs: SocketAddr, ours: SocketAddr) -> bool {
    let me = rustix::process::geteuid().as_raw();
    TABLES.iter().any(|table| {
        let listed = std::fs::read_to_string(table).unwrap_or_default();
        owner(&listed, theirs, ours).is_some_and(|uid| uid == me || uid == 0)
    })
}

/// The user id of the socket that has this end of a connection (`proc_pid_net(5)`).
fn owner(table: &str, theirs: SocketAddr, ours: SocketAddr) -> Option<u32> {
    let (near, far) = (spellings(theirs), spellings(ours));
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (local, remote) = (fields.get(1)?, fields.get(2)?);
        let same = near.iter().any(|near| near == local) && far.iter().any(|far| far == remote);
        // A socket that its program closed has no inode any more, and is shown as root's.
        let held = fields.get(9).is_some_and(|inode| *inode != "0");
        (same && held).then_some(())?;
        fields.get(7)?.parse().ok()
    })
}

/// How the kernel writes an address: four bytes at a time, as numbers of this machine.
fn spellings(address: SocketAddr) -> [String; 2] {
    let words = |bytes: &[u8]| -> String {
        let words = bytes.as_chunks().0.iter();
        words
            .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
            .collect()
    };
    let (plain, mapped) = match address.ip() {
        IpAddr::V4(ip) => (words(&ip.octets()), words(&ip.to_ipv6_mapped().octets())),
        IpAddr::V6(ip) => (words(&ip.octets()), words(&ip.octets())),
    };
    let port = address.port();
    [
        format!("{plain}:{port:04X}"),
        format!("{mapped}:{port:04X}"),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::{is_own, owner};

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20E4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1
   1: 0100007F:D431 0100007F:20E4 01 00000000:00000000 00:00000000 00000000  1001        0 12 1
   2: 0100007F:D432 0100007F:20E4 05 00000000:00000000 00:00000000 00000000     0        0 0 1
   3: 0000000000000000FFFF00000100007F:D433 0000000000000000FFFF00000100007F:20E4 01 0:0 0:0 0 1002 0 13 1
   4: 0100007F:20E4 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 14 1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_other_end_is_found_and_not_our_own() {
        let of = |port: u16| {
            let theirs = ([127, 0, 0, 1], port).into();
            owner(TABLE, theirs, ([127, 0, 0, 1], 0x20E4).into())
        };
        assert_eq!(of(0xD431), Some(1001));
        assert_eq!(of(0xD433), Some(1002), "an IPv6 socket that speaks IPv4");
        assert_eq!(
            of(0xD432),
            None,
            "closed by its program: nobody's, not root's"
        );
        assert_eq!(of(0xD434), None);
    }

    #[test]
    fn n1_a_connection_of_this_very_user_is_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = listener.local_addr().unwrap();
        let _near = TcpStream::connect(ours).unwrap();
        let (_far, theirs) = listener.accept().unwrap();
        assert!(is_own(theirs, ours));
        let gone = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(!is_own(gone, ours));
    }
}
