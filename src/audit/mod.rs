//! The journal: nothing is used unseen.
