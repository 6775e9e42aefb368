//! Where the root key comes from: the ring file and its slots.
