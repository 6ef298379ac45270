//! Command line of `autonomys-farmer`; every role lives in its own module.

fn main() {}
