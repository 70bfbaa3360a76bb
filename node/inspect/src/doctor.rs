//! What is wrong with this node, why it matters and how to fix it: each check judges the facts alone ([`checks`]), the
//! outcome is shown ([`report`]), and what may be fixed safely is fixed by the code that owns it ([`fix`]).

pub mod checks;
pub mod finding;
pub mod fix;
pub mod report;
