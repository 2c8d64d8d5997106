//! pinport
fn main() {}
