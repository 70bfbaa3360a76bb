//! Files as a program reads and writes them that must not be harmed by what others put in its way: only regular files are
//! read, and no more of them than is asked for ([`regular`]); a file is replaced whole or not at all ([`replace`]); changes of
//! directories are heard of ([`watcher`]).

pub mod regular;
pub mod replace;
pub mod watcher;
