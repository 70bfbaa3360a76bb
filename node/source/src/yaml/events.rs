//! The events of a YAML text, one at a time; aliases are replaced by what they refer to, within bounds.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event as Parsed, Parser, ScalarStyle, ScanError};

use crate::collector::Problem;
use crate::text::{Meter, Metered};

/// A line and what is wrong there.
pub(super) type Error = Problem;

/// How deep lists and mappings may be nested.
const NESTED: usize = 1_000;

/// The maximum number of events from aliases in one file.
const REPEATED: usize = 1_000_000;

/// The maximum number of bytes that anchors keep in one file.
const KEPT: usize = 8 << 20;

/// How deep aliases may be nested in what aliases refer to.
const ALIASES: usize = 32;

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    DocumentStart,
    Scalar { text: String, null: bool },
    ListStart,
    ListEnd,
    MappingStart,
    MappingEnd,
    Alias(usize),
    End,
}

type Chars<R> = granit_parser::FallibleBufferedInput<Decoded<R>>;

/// The events of a text.
pub(super) struct Events<R: BufRead> {
    parser: Parser<'static, Chars<R>>,
    meter: Rc<Meter>,
    line: u64,
    anchors: BTreeMap<usize, Rc<[Event]>>,
    /// Anchored lists and mappings that are not over, with their depth.
    open: Vec<(usize, usize, Vec<Event>)>,
    /// The events that aliases refer to, and how far they have been returned.
    repeats: Vec<(Rc<[Event]>, usize)>,
    kept: usize,
    repeated: usize,
}

impl<R: BufRead> Events<R> {
    pub(super) fn of(text: Metered<R>) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: NESTED,
            block_nesting_limit: NESTED,
        };
        let meter = text.meter();
        Self {
            parser: Parser::new_from_fallible_iter_with_options(Decoded(text), options),
            meter,
            line: 1,
            anchors: BTreeMap::new(),
            open: Vec::new(),
            repeats: Vec::new(),
            kept: 0,
            repeated: 0,
        }
    }

    /// The line of the last event.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Another item begins.
    pub(super) fn refill(&self) {
        self.meter.refill();
    }

    /// An error at the last event.
    pub(super) fn broken(&self, what: &str) -> Error {
        (self.line, what.to_owned())
    }

    /// The next event, with an alias replaced by what it refers to.
    pub(super) fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.next_as_written()? {
                Event::Alias(anchor) if self.anchors.contains_key(&anchor) => self.repeat(anchor)?,
                // The alias is inside its own anchor.
                Event::Alias(_) => return Ok(Event::Scalar { text: "*".to_owned(), null: false }),
                event => return Ok(event),
            }
        }
    }

    /// Skips a value without expanding its aliases.
    pub(super) fn skip_value(&mut self) -> Result<(), Error> {
        match self.next_as_written()? {
            Event::ListStart | Event::MappingStart => self.skip(1),
            Event::Scalar { .. } | Event::Alias(_) => Ok(()),
            _ => Err(self.broken("a value is missing")),
        }
    }

    /// Skips to the end of that many lists and mappings.
    pub(super) fn skip(&mut self, mut depth: usize) -> Result<(), Error> {
        while depth > 0 {
            match self.next_as_written()? {
                Event::ListStart | Event::MappingStart => depth += 1,
                Event::ListEnd | Event::MappingEnd => depth -= 1,
                Event::Scalar { .. } | Event::Alias(_) => {}
                Event::DocumentStart | Event::End => return Err(self.broken("the text ends in the middle of a value")),
            }
        }
        Ok(())
    }

    fn next_as_written(&mut self) -> Result<Event, Error> {
        while let Some((events, said)) = self.repeats.last_mut() {
            if let Some(event) = events.get(*said) {
                *said += 1;
                self.repeated += 1;
                if self.repeated > REPEATED {
                    return Err(self.broken("aliases repeat too much"));
                }
                return Ok(event.clone());
            }
            self.repeats.pop();
        }
        self.parse()
    }

    fn repeat(&mut self, anchor: usize) -> Result<(), Error> {
        self.repeats.extend(self.anchors.get(&anchor).map(|events| (events.clone(), 0)));
        if self.repeats.len() > ALIASES { Err(self.broken("aliases of aliases of aliases")) } else { Ok(()) }
    }

    fn parse(&mut self) -> Result<Event, Error> {
        loop {
            let Some(parsed) = self.parser.next_event() else { return Ok(Event::End) };
            let (parsed, span) = parsed.map_err(|error| self.problem(&error))?;
            self.line = span.start.line() as u64;
            let anchor = parsed.anchor_id().filter(|anchor| *anchor != 0);
            let event = match parsed {
                Parsed::DocumentStart(..) => {
                    self.anchors.clear();
                    Event::DocumentStart
                }
                Parsed::StreamEnd => Event::End,
                Parsed::Scalar(text, style, _, tag) => {
                    let tag = tag.as_ref().and_then(|tag| tag.core_suffix().map(ToOwned::to_owned));
                    Event::Scalar { null: is_null(&text, style, tag.as_deref()), text: text.into_owned() }
                }
                Parsed::SequenceStart(..) => Event::ListStart,
                Parsed::SequenceEnd => Event::ListEnd,
                Parsed::MappingStart(..) => Event::MappingStart,
                Parsed::MappingEnd => Event::MappingEnd,
                Parsed::Alias(anchor) => Event::Alias(anchor),
                Parsed::UnresolvedAlias(name) => Event::Scalar { text: format!("*{name}"), null: false },
                // A stream's start, a document's end, a comment.
                _ => continue,
            };
            if anchor.is_some() || !self.open.is_empty() {
                self.keep(anchor, &event)?;
            }
            return Ok(event);
        }
    }

    /// Keeps an event for the anchors that it belongs to.
    fn keep(&mut self, anchor: Option<usize>, event: &Event) -> Result<(), Error> {
        if let Some(anchor) = anchor {
            self.open.push((anchor, 0, Vec::new()));
        }
        let text = if let Event::Scalar { text, .. } = event { text.len() } else { 0 };
        for (_, depth, events) in &mut self.open {
            match event {
                Event::ListStart | Event::MappingStart => *depth += 1,
                Event::ListEnd | Event::MappingEnd => *depth = depth.saturating_sub(1),
                _ => {}
            }
            events.push(event.clone());
            self.kept += text + size_of::<Event>();
        }
        if self.kept > KEPT {
            return Err(self.broken("anchors hold too much"));
        }
        while let Some((anchor, _, events)) = self.open.pop_if(|(_, depth, _)| *depth == 0) {
            self.anchors.insert(anchor, events.into());
        }
        Ok(())
    }

    fn problem(&self, error: &ScanError) -> Error {
        let line = match error.kind() {
            // The reader is ahead of the parser.
            ErrorKind::Custom(_) => self.meter.line(),
            _ => error.marker().line() as u64,
        };
        (line.max(1), error.kind().to_string())
    }
}

/// Null as YAML 1.2 writes it, unless quotes or a tag make it a string.
fn is_null(text: &str, style: ScalarStyle, tag: Option<&str>) -> bool {
    match tag {
        Some("null") => true,
        Some(_) => false,
        None => style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL"),
    }
}

/// The characters of a text.
struct Decoded<R>(Metered<R>);

impl<R: BufRead> Iterator for Decoded<R> {
    type Item = Result<char, ErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decode().map_err(|error| ErrorKind::Custom(error.to_string())).transpose()
    }
}

impl<R: BufRead> Decoded<R> {
    fn decode(&mut self) -> std::io::Result<Option<char>> {
        let Some(first) = self.0.byte()? else { return Ok(None) };
        let length = match first {
            0..0x80 => return Ok(Some(char::from(first))),
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let mut bytes = [first, 0, 0, 0];
        for byte in &mut bytes[1..length] {
            *byte = self.0.byte()?.unwrap_or_default();
        }
        let text = std::str::from_utf8(&bytes[..length]).map_err(|_| std::io::Error::other("it is not UTF-8 text"))?;
        Ok(text.chars().next())
    }
}
