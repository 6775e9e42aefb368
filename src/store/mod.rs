//! What stands on disk: engines, the commit writer, and the guard against an older or emptier store.
