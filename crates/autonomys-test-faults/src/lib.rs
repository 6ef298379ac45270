//! Faults of disks for tests: preloaded into a process (`LD_PRELOAD`), it makes file operations below given paths fail by rules
//! that the test changes while the process runs.
//!
//! The file named by `AUTONOMYS_TEST_FAULTS` has one rule a line; a test replaces it by rename ([`rules`] says what rules look like).
//! Without the file, or with an empty one, everything goes through. [`interpose`] stands in front of the C library's functions, asks
//! [`rules`] and calls the next ones in line. io_uring is refused as by an old kernel, because its operations pass no function
//! of the C library. Linux only, and of no use outside tests.

mod interpose;
mod rules;
