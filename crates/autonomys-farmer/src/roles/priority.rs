//! Who goes first when processors are short: audits and proofs, which have seconds, before encoding, which has hours.
//!
//! A thread's nice value only counts against threads of the same scheduling group. Linux makes one group of every session (autogroup), so a
//! process that leads a session of its own, as services do, lowers its group too. Containers are groups of their own: there the weights of
//! the containers decide (`docs/farming.md`).

use nix::unistd::{getpid, getsid};
use std::io;

/// The lowest: against a normal thread on the same processor such a thread gets 1.5 % of the time, and all of it when nobody else wants any.
const BACKGROUND_NICE: libc::c_int = 19;
/// Nice value of the scheduling group of this process's session.
const AUTOGROUP: &str = "/proc/self/autogroup";

/// How urgent the work of some threads is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Audits, proofs, and whatever answers somebody.
    Normal,
    /// Encoding: gives way to everything else on the machine.
    Background,
}

impl Priority {
    /// Gives the calling thread this priority. It cannot be raised again without privileges, so only threads that do nothing else
    /// are to be lowered.
    pub(crate) fn apply_to_this_thread(self) {
        if self == Self::Normal {
            return;
        }
        if let Err(error) = lower_this_thread() {
            // It computes all the same, only less politely.
            tracing::warn!(%error, "encoding threads could not be given a low priority; proofs on this machine may suffer");
        }
    }
}

fn lower_this_thread() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: both calls read their arguments only; thread 0 is the calling one, and `parameters` lives through the call.
    let (batch, nice) = unsafe {
        (
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters),
            libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND_NICE),
        )
    };
    if batch != 0 || nice != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lowers this process's whole scheduling group when the process has one for itself; for processes that do nothing urgent.
pub(crate) fn lower_own_session() {
    // Others in the session would be lowered with it.
    if getsid(None) != Ok(getpid()) {
        return;
    }
    match std::fs::write(AUTOGROUP, BACKGROUND_NICE.to_string()) {
        Ok(()) => tracing::debug!("the session of this process gives way to others"),
        // Kernels without such groups.
        Err(error) => tracing::debug!(%error, "the session keeps its priority"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::chain::compute_pool;

    /// Nice value and policy of the calling thread, as `proc(5)` has them: fields 19 and 41 of `stat`.
    fn nice_and_policy() -> (i32, u32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .expect("a name")
            .1
            .split_whitespace()
            .collect();
        let field = |number: usize| fields[number - 3];
        (
            field(19).parse().expect("number"),
            field(41).parse().expect("number"),
        )
    }

    #[test]
    fn only_background_threads_are_lowered() {
        let before = nice_and_policy();
        let normal = compute_pool("normal", 1, Priority::Normal).expect("threads");
        assert_eq!(normal.install(nice_and_policy), before);
        let background = compute_pool("background", 2, Priority::Background).expect("threads");
        for (nice, policy) in background.broadcast(|_| nice_and_policy()) {
            assert_eq!((nice, policy), (BACKGROUND_NICE, libc::SCHED_BATCH as u32));
        }
        assert_eq!(nice_and_policy(), before, "the caller is left alone");
    }
}
