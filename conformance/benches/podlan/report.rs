//! The output for people: a table in Markdown, and plots.

mod plot;
mod table;

pub(crate) use plot::plots;
pub(crate) use table::{all, short};
