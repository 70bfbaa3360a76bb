//! The files beside the sources: documents, the image, alert rules and scripts are correct.

mod alerts;
mod commands_answer_help;
mod docs;
mod image;
mod kind_up;
mod needs;
mod security;
