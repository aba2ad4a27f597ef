//! Tokenizers, chat templates and grammars behind a small C ABI (include/hotaru_text.h). What is wrong in the input comes back
//! as a message; a panic never crosses the border and prints nothing.

mod assemble;
mod decoder;
pub mod ffi;
mod grammar;
mod grammar_ffi;
mod python_text;
mod template;
mod tokenizer;

pub use assemble::{TokenizerFiles, canonical_tokenizer};
pub use decoder::Stream;
pub use grammar::{Grammar, GrammarState, Spec};
pub use template::{ChatTemplate, RenderRequest};
pub use tokenizer::{EncodeOptions, Tokenizer};

/// Why something could not be done. `Invalid`: the input is malformed; `Unsupported`: well-formed, but not for us.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    Invalid(String),
    Unsupported(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

pub(crate) fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::Invalid(message.into()))
}

/// The C header promises that handles may be shared between threads.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Tokenizer>();
    is_shared::<ChatTemplate>();
    is_shared::<Grammar>();
    const fn is_sent<T: Send>() {}
    is_sent::<GrammarState>();
};
