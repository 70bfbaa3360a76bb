//! `podlan-lab-inside`: what an image without a shell needs beside `podlan-lab`: a pause to hold a pod's sandbox, and
//! reading and creating files, for the facts that the kernel shows as files (host name, message queues, resolv.conf).

use std::fs::{self, File};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["pause"] => loop {
            std::thread::park();
        },
        ["read", file] => copy(file),
        ["create", file] => File::create_new(file).map(drop),
        ["list", directory] => list(directory),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "pause | read FILE | create FILE | list DIRECTORY")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("podlan-lab-inside {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn copy(file: &str) -> io::Result<()> {
    io::copy(&mut File::open(file)?, &mut io::stdout()).map(drop)
}

fn list(directory: &str) -> io::Result<()> {
    let names: io::Result<Vec<_>> = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect();
    let lines: String = names?.iter().map(|name| format!("{}\n", name.display())).collect();
    io::copy(&mut lines.as_bytes(), &mut io::stdout()).map(drop)
}
