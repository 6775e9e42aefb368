//! What root may do and others may not, in the pieces that Linux cut it into (capabilities).
//!
//! A broker needs none of them, but for ports below 1024 where the settings name one. Who started it as root
//! has it go on as a user whom file modes and the kernel stop like every other; which files of root's it still
//! reaches is for Landlock to say.

use capctl::caps::{Cap, CapSet, CapState, ambient, bounding};

/// Gives up every right of this thread and those that it starts, but for that to low ports where one of
/// `ports` is low. Whether none is left.
pub(super) fn give_up_rights(ports: &[u16]) -> bool {
    // Only root may shrink what programs can gain; nobody else gains anything since `no_new_privs`.
    drop(bounding::clear());
    drop(ambient::clear());
    let Ok(held) = CapState::get_current() else {
        return false;
    };
    let kept = kept_of(held, ports);
    kept.set_current().is_ok() && CapState::get_current().is_ok_and(|now| now == kept)
}

/// What of the rights `held` is needed for `ports`.
fn kept_of(held: CapState, ports: &[u16]) -> CapState {
    let mut needed = CapSet::empty();
    if ports.iter().any(|port| (1..1024).contains(port)) {
        needed.add(Cap::NET_BIND_SERVICE);
    }
    CapState {
        effective: held.effective & needed,
        permitted: held.permitted & needed,
        // And so of the ambient ones, which are among these.
        inheritable: CapSet::empty(),
    }
}

#[cfg(test)]
mod tests {
    use capctl::caps::{Cap, CapSet, CapState};

    use super::kept_of;

    #[test]
    fn nothing_is_kept_but_the_right_to_a_low_port_that_is_listened_on() {
        let all = !CapSet::empty();
        let root = CapState {
            effective: all,
            permitted: all,
            inheritable: all,
        };
        assert_eq!(kept_of(root, &[0, 1024, 8420]), CapState::empty());
        let low: CapSet = [Cap::NET_BIND_SERVICE].into_iter().collect();
        let kept = kept_of(root, &[8420, 443]);
        assert!(kept.effective == low && kept.permitted == low && kept.inheritable.is_empty());
        assert_eq!(kept_of(CapState::empty(), &[443]), CapState::empty());
    }
}
