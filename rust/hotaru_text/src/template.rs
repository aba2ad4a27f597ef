//! Chat templates, rendered as transformers' apply_chat_template does: Jinja with trim_blocks and lstrip_blocks, loop
//! controls, Python's methods and Python's way to print, tojson without HTML escapes, raise_exception, strftime_now.

use crate::python_text::{str_of, tojson};
use crate::{Failure, Result, invalid};
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

/// Instructions one rendering may take: a hundred times what a long chat needs, less than a second's work.
const FUEL: u64 = 10_000_000;
const NOW: &str = "_hotaru_now";

/// Templates are immutable after new(); any number of threads may render.
pub struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: serde_json::Map<String, serde_json::Value>,
    has_tool_use: bool,
}

pub struct RenderRequest<'a> {
    /// A JSON array of {"role", "content", ...}.
    pub messages: &'a [u8],
    pub add_generation_prompt: bool,
    /// A JSON object of further variables: tools, documents, enable_thinking, ...; empty for none.
    pub extra: &'a [u8],
    /// What strftime_now takes for now.
    pub now_unix_seconds: i64,
}

impl ChatTemplate {
    /// `tool_use`: the template for requests with tools, empty if it is the same one.
    pub fn new(template: &str, tool_use: &str, special_tokens: &[u8]) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(|out, _, value| out.write_str(&str_of(value)).map_err(Error::from));
        environment.add_filter("tojson", |value: Value, kwargs| tojson(&value, kwargs));
        environment.add_filter("trim", trim);
        environment.add_filter("string", |value: Value| str_of(&value));
        // In Python a text is a sequence of characters; templates ask to tell it from a list of parts.
        environment.add_test("iterable", |value: &Value| is_text(value) || value.try_iter().is_ok());
        environment.add_test("sequence", |value: &Value| {
            is_text(value) || matches!(value.kind(), ValueKind::Seq | ValueKind::Map)
        });
        environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", strftime_now);
        let mut add = |name: &'static str, text: &str| {
            // Jinja reads every kind of line end as \n, in the template's strings too.
            let text = without_generation_tags(&text.replace("\r\n", "\n").replace('\r', "\n"));
            environment.add_template_owned(name, text).map_err(|error| describe(&error))
        };
        add("chat_template", template)?;
        if !tool_use.is_empty() {
            add("tool_use", tool_use)?;
        }
        let special_tokens = parse_object(special_tokens, "special tokens")?;
        Ok(Self { environment, special_tokens, has_tool_use: !tool_use.is_empty() })
    }

    pub fn render(&self, request: &RenderRequest) -> Result<String> {
        let messages: serde_json::Value = serde_json::from_slice(request.messages)
            .map_err(|error| Failure::Invalid(format!("messages: {error}")))?;
        if !messages.is_array() {
            return invalid("messages: want a JSON array");
        }
        let mut variables = self.special_tokens.clone();
        // transformers always passes these two, so `tools is defined` holds without tools.
        variables.insert("tools".into(), serde_json::Value::Null);
        variables.insert("documents".into(), serde_json::Value::Null);
        variables.insert("messages".into(), messages);
        variables.insert("add_generation_prompt".into(), request.add_generation_prompt.into());
        variables.extend(parse_object(request.extra, "template variables")?);
        variables.insert(NOW.into(), request.now_unix_seconds.into());
        let name =
            if self.has_tool_use && variables["tools"].is_array() { "tool_use" } else { "chat_template" };
        let rendered = self.environment.get_template(name).and_then(|template| template.render(variables));
        rendered.map_err(|error| describe(&error))
    }
}

/// Jinja's trim takes any value, as its text: str(value).strip(characters).
fn trim(value: Value, characters: Option<String>) -> String {
    let text = str_of(&value);
    match characters {
        Some(characters) => text.trim_matches(|symbol| characters.contains(symbol)).to_owned(),
        None => text.trim().to_owned(),
    }
}

fn is_text(value: &Value) -> bool {
    value.kind() == ValueKind::String
}

fn parse_object(bytes: &[u8], name: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    if bytes.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(bytes).map_err(|error| Failure::Invalid(format!("{name}: {error}")))
}

fn describe(error: &Error) -> Failure {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let place = match (error.name(), error.line()) {
        (Some(name), Some(line)) => format!("{name} line {line}: "),
        _ => String::new(),
    };
    Failure::Invalid(format!("{place}{detail}"))
}

/// {% generation %} only marks for training what the assistant said. Its block has a scope of its own, as `with` has.
fn without_generation_tags(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(length) = tag.find("%}").map(|end| end + 2) else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(length);
        match tag[2..length - 2].trim_matches(|symbol: char| symbol.is_whitespace() || "-+".contains(symbol))
        {
            "generation" => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// datetime.now().strftime(format), in local time.
fn strftime_now(state: &State, format: String) -> std::result::Result<String, Error> {
    let fail = |message: &str| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {message}"));
    let seconds: i64 = state.lookup(NOW).and_then(|now| i64::try_from(now).ok()).unwrap_or(0);
    let seconds: libc::time_t = seconds;
    // A marker in front: an empty result and a result that does not fit both have length 0 otherwise.
    let format = std::ffi::CString::new(format!("_{format}")).map_err(|_| fail("zero byte in the format"))?;
    let mut buffer = [0_u8; 512];
    // SAFETY: tm is plain data that localtime_r fills; strftime writes at most buffer.len() bytes.
    let length = unsafe {
        let mut broken_down: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&seconds, &mut broken_down).is_null() {
            return Err(fail("time out of range"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &broken_down)
    };
    match std::str::from_utf8(&buffer[..length]) {
        Ok(text) if length > 0 => Ok(text[1..].to_owned()),
        _ => Err(fail("the format gives more than 511 bytes")),
    }
}
