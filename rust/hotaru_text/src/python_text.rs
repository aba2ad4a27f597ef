//! How Python writes values: str(), repr() and json.dumps(). Templates are written against Python, and a model was
//! trained on what Python printed.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// str(value), as {{ value }} prints it; undefined is nothing.
pub fn str_of(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Undefined => String::new(),
        _ => repr(value),
    }
}

fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "None".into(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.into(),
        ValueKind::Number => number(value, ["inf", "-inf", "nan"]),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq => format!("[{}]", items(value, repr)),
        ValueKind::Map => {
            let pair =
                |key: Value| format!("{}: {}", repr(&key), repr(&value.get_item(&key).unwrap_or_default()));
            format!("{{{}}}", items(value, |key| pair(key.clone())))
        }
        _ => value.to_string(),
    }
}

fn items(value: &Value, write: impl Fn(&Value) -> String) -> String {
    let parts: Vec<String> = value.try_iter().into_iter().flatten().map(|item| write(&item)).collect();
    parts.join(", ")
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for symbol in text.chars() {
        match symbol {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if symbol == quote => out.extend(['\\', symbol]),
            _ if symbol.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(symbol))),
            _ => out.push(symbol),
        }
    }
    out.push(quote);
    out
}

/// Python's repr of an int or a float: exponents from 1e16 up and below 1e-4, two digits at least.
fn number(value: &Value, not_finite: [&str; 3]) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else {
        return value.to_string();
    };
    if !float.is_finite() {
        return not_finite[if float.is_nan() { 2 } else { usize::from(float < 0.0) }].into();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{float}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The tojson filter that transformers puts in place of Jinja's: json.dumps without HTML escapes.
pub fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let indent = match kwargs.get::<Option<Value>>("indent")? {
        None => None,
        Some(width) => match (usize::try_from(width.clone()), width.as_str()) {
            (Ok(width), _) if width <= 32 => Some(" ".repeat(width)),
            (Err(_), Some(text)) => Some(text.to_owned()),
            _ => {
                return Err(Error::new(ErrorKind::InvalidOperation, "tojson: indent must be at most 32"));
            }
        },
    };
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some([given_item, given_key]) = separators.as_deref() {
        (item, key) = (given_item.clone(), given_key.clone());
    }
    let ensure_ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    kwargs.assert_all_used()?;
    let mut writer = JsonWriter { out: String::new(), indent, item, key, ensure_ascii, sort_keys };
    writer.write(value, 0)?;
    Ok(writer.out)
}

struct JsonWriter {
    out: String,
    indent: Option<String>,
    item: String,
    key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl JsonWriter {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > 200 {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value, ["Infinity", "-Infinity", "NaN"])),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let list: Vec<Value> = value.try_iter()?.collect();
                self.all("[]", list, depth, |writer, item| writer.write(&item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.all("{}", keys, depth, |writer, name| {
                    let item = value.get_item(&name)?;
                    writer.string(&str_of(&name));
                    let separator = writer.key.clone();
                    writer.out.push_str(&separator);
                    writer.write(&item, depth + 1)
                })?;
            }
            kind => {
                let message = format!("tojson: a value of type {kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn all(
        &mut self,
        brackets: &str,
        list: Vec<Value>,
        depth: usize,
        each: impl Fn(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (open, close) = brackets.split_at(1);
        self.out.push_str(open);
        let is_empty = list.is_empty();
        for (index, item) in list.into_iter().enumerate() {
            if index > 0 {
                let separator = self.item.clone();
                self.out.push_str(&separator);
            }
            self.new_line(depth + 1);
            each(self, item)?;
        }
        if !is_empty {
            self.new_line(depth);
        }
        self.out.push_str(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            let line = format!("\n{}", indent.repeat(depth));
            self.out.push_str(&line);
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for symbol in text.chars() {
            match symbol {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                _ if symbol < ' ' || (self.ensure_ascii && symbol > '~') => {
                    for unit in symbol.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => self.out.push(symbol),
            }
        }
        self.out.push('"');
    }
}
