//! Which programs a bash script starts: the first word of each command, with substitutions, here documents, and the
//! programs that `exec`, `xargs` and the others of `PREFIXES` start. Parses as much of the grammar as the scripts here
//! use, and ignores what is known only when the script runs: a word with `$` in it, an array, a string for `bash -c`.

use std::collections::BTreeSet;

/// After these comes another command.
const LEADING: [&str; 8] = ["if", "then", "else", "elif", "do", "while", "until", "{"];

/// After these comes no command.
const TRAILING: [&str; 3] = ["fi", "done", "}"];

/// These start the program that follows their options.
const PREFIXES: [&str; 6] = ["!", "exec", "xargs", "nice", "env", "time"];

/// Where a list of commands ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Text,
    Parenthesis,
    /// `;;` or `esac`.
    Arm,
}

/// The meaning of the next word of a command.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Command,
    /// The program after a prefix and its options.
    Program,
    Argument,
}

/// A word: its literal text, and whether that is all of it.
struct Word {
    text: String,
    whole: bool,
}

/// A script that is parsed up to a position.
#[derive(Default)]
struct Reader {
    text: Vec<char>,
    at: usize,
    started: BTreeSet<String>,
    functions: BTreeSet<String>,
    /// The ends of here documents that begin on the next line, and whether they expand.
    here: Vec<(String, bool)>,
}

/// The names of the programs that `script` starts; its own functions are none.
pub(crate) fn programs(script: &str) -> BTreeSet<String> {
    let mut reader = Reader { text: script.chars().collect(), ..Reader::default() };
    reader.list(End::Text);
    let Reader { started, functions, .. } = reader;
    started.difference(&functions).filter(|name| !name.contains('/')).cloned().collect()
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || ";&|<>()".contains(character)
}

/// `NAME=`, `NAME+=` or `NAME[...]=` with what follows.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let name = name.trim_end_matches('+').split('[').next().unwrap_or_default();
    !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || character == '_')
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn follows(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(ahead, character)| self.peek(ahead) == Some(character))
    }

    /// Skips `what` if it is there.
    fn take(&mut self, what: &str) -> bool {
        let there = self.follows(what);
        if there {
            self.at += what.len();
        }
        there
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|character| character != '\n') {
            self.at += 1;
        }
    }

    /// Blanks, continued lines, and with `lines` line ends and comments too.
    fn skip_blanks(&mut self, lines: bool) {
        while let Some(character) = self.peek(0) {
            match character {
                '\n' if lines => self.at += 1,
                '#' if lines => self.skip_line(),
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '\n' => break,
                blank if blank.is_whitespace() => self.at += 1,
                _ => break,
            }
        }
    }

    fn list(&mut self, end: End) {
        let mut next = Next::Command;
        loop {
            self.skip_blanks(false);
            let Some(character) = self.peek(0) else { return };
            match character {
                '#' => self.skip_line(),
                '\n' => {
                    self.at += 1;
                    self.here_documents();
                    next = Next::Command;
                }
                ';' if self.take(";;") => {
                    if end == End::Arm {
                        return;
                    }
                }
                '&' if self.peek(1) == Some('>') => self.redirection(),
                ';' | '&' | '|' => {
                    self.at += 1;
                    next = Next::Command;
                }
                '(' if self.take("((") => self.arithmetic(),
                '(' => {
                    self.at += 1;
                    self.list(End::Parenthesis);
                    next = Next::Argument;
                }
                ')' => {
                    self.at += 1;
                    if end == End::Parenthesis {
                        return;
                    }
                    next = Next::Command;
                }
                '<' | '>' => self.redirection(),
                _ => {
                    let before = self.at;
                    let word = self.word();
                    if end == End::Arm && next == Next::Command && word.text == "esac" {
                        self.at = before;
                        return;
                    }
                    next = self.judge(&word, next);
                }
            }
        }
    }

    /// Records a word of a command; returns what the next one is.
    fn judge(&mut self, word: &Word, next: Next) -> Next {
        let name = word.text.as_str();
        if next == Next::Argument {
            return Next::Argument;
        }
        let is_number = !name.is_empty() && name.chars().all(|digit| digit.is_ascii_digit());
        if next == Next::Program && (name.starts_with('-') || is_number) {
            return Next::Program;
        }
        if is_assignment(name) {
            if name.ends_with('=') && self.take("(") {
                self.array();
            }
            return next;
        }
        if !word.whole || name.is_empty() {
            return Next::Argument;
        }
        if self.take("()") {
            self.functions.insert(name.to_owned());
            return Next::Command;
        }
        match name {
            "[[" => self.test(),
            "case" => self.case(),
            "for" => self.skip_words(),
            _ if LEADING.contains(&name) => return Next::Command,
            _ if TRAILING.contains(&name) => {}
            _ if PREFIXES.contains(&name) => {
                self.started.insert(name.to_owned());
                return Next::Program;
            }
            _ => {
                self.started.insert(name.to_owned());
            }
        }
        Next::Argument
    }

    fn word(&mut self) -> Word {
        let mut word = Word { text: String::new(), whole: true };
        while let Some(character) = self.peek(0) {
            match character {
                '\\' => {
                    word.text.extend(self.peek(1));
                    self.at += 2;
                }
                '\'' => {
                    word.whole = false;
                    self.at += 1;
                    while self.peek(0).is_some_and(|character| character != '\'') {
                        self.at += 1;
                    }
                    self.at += 1;
                }
                '"' => {
                    word.whole = false;
                    self.at += 1;
                    self.quoted('"');
                }
                '$' => {
                    word.whole = false;
                    self.dollar();
                }
                end if ends_word(end) => break,
                _ => {
                    word.text.push(character);
                    self.at += 1;
                }
            }
        }
        word
    }

    /// Up to `end`, with the substitutions in it.
    fn quoted(&mut self, end: char) {
        while let Some(character) = self.peek(0) {
            match character {
                '\\' => self.at += 2,
                '$' => self.dollar(),
                '"' if end != '"' => {
                    self.at += 1;
                    self.quoted('"');
                }
                '\'' if end == '}' => drop(self.word()),
                _ => {
                    self.at += 1;
                    if character == end {
                        return;
                    }
                }
            }
        }
    }

    fn dollar(&mut self) {
        self.at += 1;
        if self.take("$") {
            // The process's own number.
        } else if self.take("((") {
            self.arithmetic();
        } else if self.take("(") {
            self.list(End::Parenthesis);
        } else if self.take("{") {
            self.quoted('}');
        } else if self.take("'") {
            while self.peek(0).is_some_and(|character| character != '\'') {
                self.at += if self.peek(0) == Some('\\') { 2 } else { 1 };
            }
            self.at += 1;
        }
    }

    fn arithmetic(&mut self) {
        while self.peek(0).is_some() && !self.take("))") {
            if self.peek(0) == Some('$') { self.dollar() } else { self.at += 1 }
        }
    }

    /// The words of an array, up to its `)`.
    fn array(&mut self) {
        loop {
            self.skip_blanks(true);
            if self.peek(0).is_none() || self.take(")") {
                return;
            }
            let before = self.at;
            self.word();
            self.at = self.at.max(before + usize::from(self.at == before));
        }
    }

    /// `[[ ... ]]`, after its first word.
    fn test(&mut self) {
        loop {
            self.skip_blanks(true);
            if self.peek(0).is_none() || self.take("]]") {
                return;
            }
            if self.peek(0).is_some_and(ends_word) { self.at += 1 } else { drop(self.word()) }
        }
    }

    /// Up to the end of the command.
    fn skip_words(&mut self) {
        loop {
            self.skip_blanks(false);
            match self.peek(0) {
                None | Some('\n' | ';') => return,
                Some(end) if ends_word(end) => self.at += 1,
                Some(_) => drop(self.word()),
            }
        }
    }

    /// `case WORD in PATTERN) ... ;; esac`, after its first word.
    fn case(&mut self) {
        self.skip_blanks(false);
        self.word();
        self.skip_blanks(true);
        self.word();
        loop {
            self.skip_blanks(true);
            if self.peek(0).is_none() || self.take("esac") {
                return;
            }
            while self.peek(0).is_some_and(|character| character != ')') {
                if self.peek(0).is_some_and(ends_word) { self.at += 1 } else { drop(self.word()) }
            }
            self.at += 1;
            self.list(End::Arm);
        }
    }

    /// `>FILE`, `2>&1`, `<<<WORD`, `<<END`, and `<(COMMAND)`.
    fn redirection(&mut self) {
        if self.take("<(") || self.take(">(") {
            return self.list(End::Parenthesis);
        }
        let document = self.follows("<<") && !self.follows("<<<");
        while self.peek(0).is_some_and(|character| "<>&|-".contains(character)) {
            self.at += 1;
        }
        self.skip_blanks(false);
        if self.take("(") {
            return self.list(End::Parenthesis);
        }
        if document {
            let before = self.at;
            self.word();
            let end: String = self.text[before..self.at].iter().collect();
            self.here.push((end.replace(['\'', '"'], ""), !end.contains(['\'', '"'])));
        } else {
            self.word();
        }
    }

    fn here_documents(&mut self) {
        for (end, expands) in std::mem::take(&mut self.here) {
            loop {
                let before = self.at;
                self.skip_line();
                let line: String = self.text[before..self.at].iter().collect();
                let after = self.at + 1;
                if line.trim_start() == end || self.peek(0).is_none() {
                    self.at = after;
                    break;
                }
                if expands {
                    self.at = before;
                    while self.at < after - 1 {
                        if self.peek(0) == Some('$') { self.dollar() } else { self.at += 1 }
                    }
                }
                self.at = self.at.max(after);
            }
        }
    }
}

#[test]
fn the_programs_of_a_script_are_found_wherever_a_command_can_stand() {
    let script = r#"#!/bin/bash
# comment with curl
set -euo pipefail
A=1 B=$(one "$(two)") three --x=four | five && ! six || { seven; }
if [[ $A =~ ^(a|b)$ && -n "$(eight)" ]]; then nine >out 2>&1 <in; fi
words=(not these "$(ten)" # nor these
    either)
for x in no such $(eleven); do twelve; done
case "$A" in a | b) thirteen ;; *) fourteen "it's" 'no; fifteen' ;; esac
ours() { sixteen; }
ours
cat <<END | seventeen
not this but $(eighteen)
END
cat <<'END'
not $(these)
END
nice -n 19 nineteen; xargs -L 1 twenty <<<"$(twenty1)"; exec "$A"
mapfile -t y < <(twenty2 | (cd x && twenty3))
echo $((1 + $(twenty4))) "${A:-$(twenty5)}" $'it\'s' \
    argument
trap 'no' EXIT; ./path/to; "$A" argument; twenty6 &>/dev/null; if ! "$A" argument; then :; fi; echo "$$(/|\$)"
"#;
    let mut wanted: Vec<&str> = "one two three five six seven eight nine ten eleven twelve thirteen fourteen sixteen \
        seventeen eighteen nineteen twenty twenty1 twenty2 twenty3 twenty4 twenty5 twenty6 \
        set cat nice xargs exec mapfile cd echo trap ! :"
        .split_whitespace()
        .collect();
    wanted.sort_unstable();
    assert_eq!(programs(script).iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}
