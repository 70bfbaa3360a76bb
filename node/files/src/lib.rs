//! Files as a program reads and writes them that must not be harmed by what others put in its way: only regular files are
//! read, and no more of them than is asked for ([`regular`]); a file is replaced whole or not at all ([`place`]).

pub mod place;
pub mod regular;
