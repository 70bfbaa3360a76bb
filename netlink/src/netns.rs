//! The network namespace of a socket, asked of the socket itself: ten times as quick as a path below /proc, and right
//! wherever the thread is. The one room of this crate with unsafe code.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// `SIOCGSKNS` of linux/sockios.h, an argument-free request whose answer is a descriptor.
struct NetnsOf;

#[expect(unsafe_code, reason = "rustix has no wrapper for it")]
// SAFETY: the kernel reads and writes no memory of ours for SIOCGSKNS; what it returns is a new descriptor, owned by
// nobody else, with O_CLOEXEC.
unsafe impl Ioctl for NetnsOf {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        0x894c
    }

    fn as_ptr(&mut self) -> *mut c_void {
        null_mut()
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> rustix::io::Result<OwnedFd> {
        // SAFETY: see above; called with what the kernel has just returned without an error.
        Ok(unsafe { OwnedFd::from_raw_fd(answer) })
    }
}

/// The network namespace in which `socket` was opened.
pub(crate) fn netns_of(socket: impl AsFd) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "an ioctl by its number")]
    // SAFETY: on anything but a socket the kernel refuses the number (ENOTTY).
    let netns = unsafe { ioctl(socket, NetnsOf) };
    Ok(netns?)
}
