//! Safe access to files that other programs can write too: only regular files are read, up to a limit ([`regular`]); a
//! file is replaced atomically ([`replace`]); changes of directories are watched ([`watcher`]).

pub mod regular;
pub mod replace;
pub mod watcher;
