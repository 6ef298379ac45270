//! Functions in front of those of the C library.
//!
//! Each asks the rules and then calls the next function of its name. Functions with variable arguments are written with as many fixed
//! ones as they can have: on the platforms that tests run on (x86-64 and AArch64 Linux) both are passed alike.

use crate::rules::{Operation, any, fault, fault_of_file};
use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off64_t, size_t, ssize_t};
use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

thread_local! {
    /// Set while rules are looked at: what that does with files passes.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Asks the rules unless they are just being asked.
fn ask(question: impl FnOnce() -> Option<i32>) -> Option<i32> {
    // Threads that are ending have no thread-local values any more; they pass.
    let begun = LOOKING
        .try_with(|looking| !looking.replace(true))
        .unwrap_or(false);
    if !begun {
        return None;
    }
    let answer = question();
    LOOKING.with(|looking| looking.set(false));
    answer
}

fn set_errno(error: i32) {
    // SAFETY: the C library gives a valid pointer to this thread's error number.
    unsafe { *libc::__errno_location() = error };
}

/// What `errno` was, put back when this is dropped: asking the rules must not change it.
struct KeepErrno(i32);

impl KeepErrno {
    fn new() -> Self {
        // SAFETY: as in `set_errno`.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}

/// The next function of a name behind this library, found once.
struct Next {
    name: &'static CStr,
    function: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            function: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn get(&self) -> *mut c_void {
        let known = self.function.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends with zero.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            std::process::abort();
        }
        self.function.store(found, Ordering::Relaxed);
        found
    }
}

/// Defines a function of the C library: `fault` is an expression that gives the error number to fail with, if any; `failed` what the
/// function returns then.
macro_rules! interpose {
    ($name:ident, $symbol:literal, ($($argument:ident: $type:ty),*) -> $result:ty, $fault:expr) => {
        /// See the function of this name in the C library.
        ///
        /// # Safety
        /// As for that function.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            static NEXT: Next = Next::new($symbol);
            let fault = {
                let _errno = KeepErrno::new();
                ask(|| $fault)
            };
            if let Some(error) = fault {
                set_errno(error);
                return -1;
            }
            type Function = unsafe extern "C" fn($($type),*) -> $result;
            // SAFETY: the C library's function of this name has this signature.
            let next: Function = unsafe { std::mem::transmute(NEXT.get()) };
            // SAFETY: the caller keeps that function's contract.
            unsafe { next($($argument),*) }
        }
    };
}

/// The absolute path that a call names.
fn path_of(directory: c_int, path: *const c_char) -> Option<PathBuf> {
    if path.is_null() {
        return None;
    }
    // SAFETY: callers of these functions give strings that end with zero.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let base = if path.is_absolute() {
        PathBuf::new()
    } else if directory == libc::AT_FDCWD {
        std::env::current_dir().ok()?
    } else {
        std::fs::read_link(format!("/proc/self/fd/{directory}")).ok()?
    };
    Some(base.join(path))
}

fn fault_at(operation: Operation, directory: c_int, path: *const c_char) -> Option<i32> {
    if !any() {
        return None;
    }
    fault(operation, &path_of(directory, path)?, 0, u64::MAX)
}

fn opening(flags: c_int) -> Operation {
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    if writes {
        Operation::OpenToWrite
    } else {
        Operation::Open
    }
}

/// Making a directory: one that is there already is told before the file system is asked whether it takes changes.
fn making(path: *const c_char) -> Option<i32> {
    let fault = fault_at(Operation::OpenToWrite, libc::AT_FDCWD, path)?;
    let is_there = path_of(libc::AT_FDCWD, path)?.symlink_metadata().is_ok();
    (!is_there).then_some(fault)
}

/// Where a call without an offset reads or writes; everywhere when the file has no position.
fn at_position(operation: Operation, file: c_int, length: size_t) -> Option<i32> {
    if !any() {
        return None;
    }
    // SAFETY: asks for the position only.
    let position = unsafe { libc::lseek64(file, 0, libc::SEEK_CUR) };
    // Sockets and pipes have none, and no path that a rule would name.
    let offset = u64::try_from(position).ok()?;
    fault_of_file(operation, file, offset, length as u64)
}

fn at(operation: Operation, file: c_int, offset: off64_t, length: u64) -> Option<i32> {
    fault_of_file(operation, file, u64::try_from(offset).unwrap_or(0), length)
}

/// Bytes of all parts.
fn total(parts: *const iovec, count: c_int) -> size_t {
    let count = usize::try_from(count).unwrap_or(0);
    if parts.is_null() {
        return 0;
    }
    // SAFETY: callers of these functions give that many parts.
    unsafe { std::slice::from_raw_parts(parts, count) }
        .iter()
        .map(|part| part.iov_len)
        .sum()
}

interpose!(open, c"open", (path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
    fault_at(opening(flags), libc::AT_FDCWD, path));
interpose!(open64, c"open64", (path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
    fault_at(opening(flags), libc::AT_FDCWD, path));
interpose!(openat, c"openat", (directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
    fault_at(opening(flags), directory, path));
interpose!(openat64, c"openat64", (directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
    fault_at(opening(flags), directory, path));
interpose!(mkdir, c"mkdir", (path: *const c_char, mode: mode_t) -> c_int,
    making(path));
interpose!(unlink, c"unlink", (path: *const c_char) -> c_int,
    fault_at(Operation::Remove, libc::AT_FDCWD, path));
interpose!(rename, c"rename", (from: *const c_char, to: *const c_char) -> c_int,
    fault_at(Operation::Rename, libc::AT_FDCWD, from)
        .or_else(|| fault_at(Operation::Rename, libc::AT_FDCWD, to)));

interpose!(read, c"read", (file: c_int, buffer: *mut c_void, length: size_t) -> ssize_t,
    at_position(Operation::Read, file, length));
interpose!(readv, c"readv", (file: c_int, parts: *const iovec, count: c_int) -> ssize_t,
    at_position(Operation::Read, file, total(parts, count)));
interpose!(pread, c"pread", (file: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t,
    at(Operation::Read, file, offset, length as u64));
interpose!(pread64, c"pread64", (file: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t,
    at(Operation::Read, file, offset, length as u64));
interpose!(preadv, c"preadv", (file: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t,
    at(Operation::Read, file, offset, total(parts, count) as u64));
interpose!(preadv64, c"preadv64", (file: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t,
    at(Operation::Read, file, offset, total(parts, count) as u64));
interpose!(sendfile64, c"sendfile64",
(to: c_int, from: c_int, offset: *mut off64_t, length: size_t) -> ssize_t,
if offset.is_null() {
    at_position(Operation::Read, from, length)
} else {
    // SAFETY: callers of this function give a valid offset or none.
    at(Operation::Read, from, unsafe { *offset }, length as u64)
});

interpose!(write, c"write", (file: c_int, buffer: *const c_void, length: size_t) -> ssize_t,
    at_position(Operation::Write, file, length));
interpose!(writev, c"writev", (file: c_int, parts: *const iovec, count: c_int) -> ssize_t,
    at_position(Operation::Write, file, total(parts, count)));
interpose!(pwrite, c"pwrite", (file: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t,
    at(Operation::Write, file, offset, length as u64));
interpose!(pwrite64, c"pwrite64",
    (file: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t,
    at(Operation::Write, file, offset, length as u64));
interpose!(pwritev, c"pwritev", (file: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t,
    at(Operation::Write, file, offset, total(parts, count) as u64));
interpose!(pwritev64, c"pwritev64",
    (file: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t,
    at(Operation::Write, file, offset, total(parts, count) as u64));

interpose!(fsync, c"fsync", (file: c_int) -> c_int, at(Operation::Sync, file, 0, u64::MAX));
interpose!(fdatasync, c"fdatasync", (file: c_int) -> c_int, at(Operation::Sync, file, 0, u64::MAX));
interpose!(sync_file_range, c"sync_file_range",
    (file: c_int, offset: off64_t, length: off64_t, flags: c_uint) -> c_int,
    at(Operation::Sync, file, offset, u64::try_from(length).unwrap_or(0)));
interpose!(fallocate, c"fallocate", (file: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int,
    at(Operation::Allocate, file, offset, u64::try_from(length).unwrap_or(0)));
interpose!(fallocate64, c"fallocate64", (file: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int,
    at(Operation::Allocate, file, offset, u64::try_from(length).unwrap_or(0)));
interpose!(ftruncate, c"ftruncate", (file: c_int, length: off64_t) -> c_int,
    at(Operation::Allocate, file, 0, u64::try_from(length).unwrap_or(0)));
interpose!(ftruncate64, c"ftruncate64", (file: c_int, length: off64_t) -> c_int,
    at(Operation::Allocate, file, 0, u64::try_from(length).unwrap_or(0)));

interpose!(syscall, c"syscall",
    (number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long,
    (number == libc::SYS_io_uring_setup).then_some(libc::ENOSYS));
