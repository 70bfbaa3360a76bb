//! What is wrong with this node, why it matters and how to mend it: facts are gathered once ([`observe`]), each check
//! judges them alone ([`checks`]), and what may be mended safely is mended by the code that owns it ([`fix`]).

pub mod checks;
pub mod finding;
pub mod fix;
pub mod report;
