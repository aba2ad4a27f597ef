//! The C ABI. Every export catches unwinding. Memory that comes out of here goes back to here to be freed.

use crate::{
    ChatTemplate, EncodeOptions, Failure, RenderRequest, Result, Stream, Tokenizer, TokenizerFiles,
    canonical_tokenizer,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

const OK: i32 = 0;
const INVALID: i32 = 1;
const UNSUPPORTED: i32 = 2;
const PANIC: i32 = 3;

const ADD_SPECIAL_TOKENS: u32 = 1;
const PLAIN: u32 = 2;
const SKIP_SPECIAL_TOKENS: u32 = 1;
const CONTINUES: u32 = 2;

/// Bytes of the caller, for the time of the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    data: *const u8,
    size: usize,
}

/// Bytes of ours, until hotaru_text_free_bytes.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    size: usize,
}

/// Ids of ours, until hotaru_text_free_ids.
#[repr(C)]
pub struct Ids {
    data: *mut u32,
    size: usize,
}

#[repr(C)]
pub struct Files {
    tokenizer_json: View,
    vocab_json: View,
    merges_txt: View,
    tokenizer_config: View,
    added_tokens: View,
    special_tokens_map: View,
    model_type: View,
}

#[repr(C)]
pub struct Request {
    messages: View,
    extra: View,
    now_unix_seconds: i64,
    add_generation_prompt: bool,
}

pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    stream: Stream,
}

impl View {
    /// SAFETY: the caller vouches for data and size.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(self.data, self.size) } }
    }

    pub(crate) unsafe fn text<'a>(self, name: &str) -> Result<&'a str> {
        std::str::from_utf8(unsafe { self.bytes() })
            .map_err(|error| Failure::Invalid(format!("{name}: {error}")))
    }

    unsafe fn file<'a>(self) -> Option<&'a [u8]> {
        if self.data.is_null() { None } else { Some(unsafe { self.bytes() }) }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes = Box::leak(bytes.into_boxed_slice());
        Self { data: bytes.as_mut_ptr(), size: bytes.len() }
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Self {
        let ids = Box::leak(ids.into_boxed_slice());
        Self { data: ids.as_mut_ptr(), size: ids.len() }
    }
}

/// Runs `work`, puts its value into `out` or its message into `message`.
pub(crate) unsafe fn export<T, U: From<T>>(
    out: *mut U,
    message: *mut Bytes,
    work: impl FnOnce() -> Result<T>,
) -> i32 {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let (status, text) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => {
            unsafe { out.write(value.into()) };
            return OK;
        }
        Ok(Err(Failure::Invalid(text))) => (INVALID, text),
        Ok(Err(Failure::Unsupported(text))) => (UNSUPPORTED, text),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown cause");
            (PANIC, format!("the text library gave up: {text}"))
        }
    };
    unsafe { message.write(text.into()) };
    status
}

/// A handle for C: one owner, given back by the matching free.
pub(crate) struct Handle<T>(*mut T);
impl<T> From<T> for Handle<T> {
    fn from(value: T) -> Self {
        Self(Box::into_raw(Box::new(value)))
    }
}
impl<T> From<Handle<T>> for *mut T {
    fn from(handle: Handle<T>) -> Self {
        handle.0
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_free_bytes(bytes: Bytes) {
    if !bytes.data.is_null() {
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes.data, bytes.size)) });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_free_ids(ids: Ids) {
    if !ids.data.is_null() {
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(ids.data, ids.size)) });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_canonical_tokenizer(
    files: *const Files,
    json: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(json, message, || {
            let files = &*files;
            canonical_tokenizer(&TokenizerFiles {
                tokenizer_json: files.tokenizer_json.file(),
                vocab_json: files.vocab_json.file(),
                merges_txt: files.merges_txt.file(),
                tokenizer_config: files.tokenizer_config.file(),
                added_tokens: files.added_tokens.file(),
                special_tokens_map: files.special_tokens_map.file(),
                model_type: Some(files.model_type.text("config.json 'model_type'")?),
            })
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_tokenizer_create(
    json: View,
    out: *mut *mut Arc<Tokenizer>,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(out, message, || Ok(Handle::from(Arc::new(Tokenizer::from_json(json.bytes())?)))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_tokenizer_free(tokenizer: *mut Arc<Tokenizer>) {
    drop(unsafe { Box::from_raw(tokenizer) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_encode(
    tokenizer: *const Arc<Tokenizer>,
    text: View,
    flags: u32,
    out: *mut Ids,
    message: *mut Bytes,
) -> i32 {
    let options =
        EncodeOptions { add_special_tokens: flags & ADD_SPECIAL_TOKENS != 0, plain: flags & PLAIN != 0 };
    unsafe { export(out, message, || (*tokenizer).encode(text.text("text")?, options)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_decode(
    tokenizer: *const Arc<Tokenizer>,
    ids: *const u32,
    count: usize,
    flags: u32,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let ids = if count == 0 { &[] } else { std::slice::from_raw_parts(ids, count) };
            Ok((*tokenizer).decode(ids, flags & SKIP_SPECIAL_TOKENS != 0))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_vocabulary_size(tokenizer: *const Arc<Tokenizer>) -> u32 {
    unsafe { (*tokenizer).vocabulary_size() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_token_to_id(
    tokenizer: *const Arc<Tokenizer>,
    token: View,
    out: *mut u32,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let token = token.text("token")?;
            let id = (*tokenizer).token_to_id(token);
            id.ok_or_else(|| Failure::Invalid(format!("token '{token}' is not in the vocabulary")))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_id_to_token(
    tokenizer: *const Arc<Tokenizer>,
    id: u32,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(out, message, || (*tokenizer).id_to_token(id).ok_or_else(|| no_such_id(id))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_token_bytes(
    tokenizer: *const Arc<Tokenizer>,
    id: u32,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(out, message, || (*tokenizer).token_bytes(id).ok_or_else(|| no_such_id(id))) }
}

fn no_such_id(id: u32) -> Failure {
    Failure::Invalid(format!("token id {id} is not in the vocabulary"))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_special_ids(
    tokenizer: *const Arc<Tokenizer>,
    out: *mut Ids,
    message: *mut Bytes,
) -> i32 {
    unsafe { export(out, message, || Ok((*tokenizer).special_ids().to_vec())) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_detokenizer_create(
    tokenizer: *const Arc<Tokenizer>,
    flags: u32,
    out: *mut *mut Detokenizer,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let tokenizer = Arc::clone(&*tokenizer);
            let stream = Stream::new(&tokenizer, flags & SKIP_SPECIAL_TOKENS != 0, flags & CONTINUES != 0);
            Ok(Handle::from(Detokenizer { tokenizer, stream }))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_detokenizer_free(detokenizer: *mut Detokenizer) {
    drop(unsafe { Box::from_raw(detokenizer) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_detokenizer_push(
    detokenizer: *mut Detokenizer,
    id: u32,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let detokenizer = &mut *detokenizer;
            Ok(detokenizer.stream.push(&detokenizer.tokenizer, id))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_detokenizer_finish(
    detokenizer: *mut Detokenizer,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let detokenizer = &mut *detokenizer;
            Ok(detokenizer.stream.finish(&detokenizer.tokenizer))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_template_create(
    template: View,
    tool_use: View,
    special_tokens: View,
    out: *mut *mut ChatTemplate,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let template = template.text("chat template")?;
            let tool_use = tool_use.text("tool_use chat template")?;
            Ok(Handle::from(ChatTemplate::new(template, tool_use, special_tokens.bytes())?))
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_template_free(template: *mut ChatTemplate) {
    drop(unsafe { Box::from_raw(template) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hotaru_text_template_render(
    template: *const ChatTemplate,
    request: *const Request,
    out: *mut Bytes,
    message: *mut Bytes,
) -> i32 {
    unsafe {
        export(out, message, || {
            let request = &*request;
            (*template).render(&RenderRequest {
                messages: request.messages.bytes(),
                add_generation_prompt: request.add_generation_prompt,
                extra: request.extra.bytes(),
                now_unix_seconds: request.now_unix_seconds,
            })
        })
    }
}
