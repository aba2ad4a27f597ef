//! The C ABI of grammars; ffi.rs has what its calls have in common.

use crate::ffi::{Bytes, Handle, View, export};
use crate::{Grammar, GrammarState, Spec, Tokenizer, invalid};
use std::sync::Arc;

#[repr(C)]
pub struct GrammarSpec {
    kind: u32,
    text: View,
    end_ids: *const u32,
    end_count: usize,
    vocabulary: u32,
}

unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, count) } }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_create(
    tokenizer: *const Arc<Tokenizer>,
    spec: *const GrammarSpec,
    out: *mut *mut Grammar,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let given = &*spec;
            let text = given.text.text("grammar")?;
            let spec = match given.kind {
                0 => Spec::JsonSchema(text),
                1 => Spec::JsonObject,
                2 => Spec::Regex(text),
                3 => Spec::Lark(text),
                kind => return invalid(format!("grammar: kind {kind}, want 0 to 3")),
            };
            let end_ids = slice(given.end_ids, given.end_count);
            Ok(Handle::from(Grammar::compile(&*tokenizer, end_ids, given.vocabulary, &spec)?))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_free(grammar: *mut Grammar) {
    drop(unsafe { Box::from_raw(grammar) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_begin(
    grammar: *const Grammar,
    out: *mut *mut GrammarState,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(out, message, || Ok(Handle::from((*grammar).begin()))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_state_free(state: *mut GrammarState) {
    drop(unsafe { Box::from_raw(state) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_advance(
    state: *mut GrammarState,
    ids: *const u32,
    count: usize,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(&mut (), message, || (*state).advance(slice(ids, count))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_grammar_allowed(
    state: *mut GrammarState,
    words: *mut u64,
    count: usize,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(&mut (), message, || {
            let words = if count == 0 { &mut [] } else { std::slice::from_raw_parts_mut(words, count) };
            (*state).allowed(words)
        })
    }
}
