//! libFuzzer as a library: it calls the law repeatedly, with inputs that it derives from the code that earlier inputs
//! reached. Its arguments come from the environment. It ends the process itself when a law is broken, and leaves the
//! input in a file.

#![expect(unsafe_code, reason = "libFuzzer is C++ with a C interface")]

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

// Links the library.
use libfuzzer_sys as _;

/// The arguments of libFuzzer: options and directories of inputs, separated by spaces.
const ARGUMENTS: &str = "PODLAN_FUZZ_ARGUMENTS";

static LAW: OnceLock<fn(&[u8])> = OnceLock::new();

unsafe extern "C" {
    /// FuzzerInterface.h: runs until it has done what `argv` asks for, and returns the exit code.
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        test: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

extern "C" fn test(data: *const u8, size: usize) -> c_int {
    // SAFETY: libFuzzer gives `size` readable bytes at `data`, which do not change until this returns.
    let input = unsafe { std::slice::from_raw_parts(data, size) };
    let held = std::panic::catch_unwind(|| LAW.get().map(|holds| holds(input)));
    if held.is_err() {
        // libFuzzer keeps the input when the process aborts.
        std::process::abort();
    }
    0
}

pub(crate) fn run(corpus: &str, holds: fn(&[u8])) {
    LAW.get_or_init(|| holds);
    let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
    let words = std::iter::once(corpus).chain(arguments.split_ascii_whitespace());
    let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
    let mut argc = c_int::try_from(words.len()).unwrap_or(0);
    let mut pointers: Vec<*mut c_char> = words.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    let mut argv = pointers.as_mut_ptr();
    // SAFETY: `argv` points at `argc` C strings and a null, all of which live until the process ends or this returns.
    let code = unsafe { LLVMFuzzerRunDriver(&mut argc, &mut argv, test) };
    assert_eq!(code, 0, "libFuzzer");
}
