//! From ids back to text, token by token: text leaves as soon as it is certain, never half a character.
//!
//! Equal to Hugging Face's decoders with one exception: of a run of <0xXX> tokens that is not valid UTF-8 as a whole,
//! the valid characters are kept (there, every byte of the run becomes U+FFFD, which no stream could know in time).

use crate::tokenizer::Tokenizer;
use crate::{Failure, Result};
use serde_json::Value;
use tokenizers::DecoderWrapper;

const REPLACEMENT: &str = "\u{FFFD}";

/// What one token does to the text.
pub enum Piece {
    /// Bytes of a stream in which characters may be split.
    Bytes(Vec<u8>),
    /// <0xXX>: the same, but each byte that is not UTF-8 becomes one U+FFFD.
    Byte(u8),
    Text(String),
}

impl Piece {
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Byte(byte) => vec![byte],
            Piece::Text(text) => text.into_bytes(),
        }
    }
}

enum Rewrite {
    Replace {
        from: String,
        to: String,
    },
    /// Replacement character to space; dropped in the first token unless the scheme is "never".
    Metaspace {
        symbol: char,
        drops_first: bool,
    },
}

/// The decoder of a tokenizer.json, flattened.
#[derive(Default)]
pub struct Plan {
    byte_level: bool,
    byte_fallback: bool,
    rewrites: Vec<Rewrite>,
    /// This many of this character are dropped from the very start of the text.
    strip: Option<(char, usize)>,
    /// No decoder at all: Hugging Face joins tokens with spaces.
    spaced: bool,
}

impl Plan {
    pub fn of(decoder: Option<&DecoderWrapper>) -> Result<Self> {
        let mut plan = Plan::default();
        let Some(decoder) = decoder else {
            plan.spaced = true;
            return Ok(plan);
        };
        let value = serde_json::to_value(decoder).map_err(|error| Failure::Invalid(error.to_string()))?;
        plan.add(&value, &mut false)?;
        Ok(plan)
    }

    fn add(&mut self, step: &Value, fused: &mut bool) -> Result<()> {
        let name = step["type"].as_str().unwrap_or("");
        match name {
            "Sequence" => {
                for inner in step["decoders"].as_array().into_iter().flatten() {
                    self.add(inner, fused)?;
                }
            }
            "ByteLevel" => self.byte_level = true,
            "ByteFallback" => self.byte_fallback = true,
            "Fuse" => *fused = true,
            "Replace" => match (step["pattern"]["String"].as_str(), step["content"].as_str()) {
                (Some(from), Some(to)) if !from.is_empty() && !*fused => {
                    self.rewrites.push(Rewrite::Replace { from: from.into(), to: to.into() });
                }
                _ => return unsupported("Replace by pattern or after Fuse"),
            },
            "Metaspace" => self.rewrites.push(Rewrite::Metaspace {
                symbol: first_char(&step["replacement"]).unwrap_or('▁'),
                drops_first: step["prepend_scheme"] != "never",
            }),
            "Strip" => match (first_char(&step["content"]), step["start"].as_u64(), step["stop"].as_u64()) {
                (Some(symbol), Some(start), Some(0)) if *fused && self.strip.is_none() => {
                    self.strip = Some((symbol, start as usize));
                }
                _ => return unsupported("Strip at the end or before Fuse"),
            },
            _ => return unsupported(name),
        }
        if self.byte_level && (self.byte_fallback || self.strip.is_some() || !self.rewrites.is_empty()) {
            return unsupported("ByteLevel mixed with others");
        }
        Ok(())
    }

    /// What stands for `length` bytes that are not UTF-8, as Hugging Face's decoder writes it.
    fn replacement(&self, length: usize) -> String {
        REPLACEMENT.repeat(if self.byte_fallback { length } else { length.min(1) })
    }

    /// `added`: an added token stands for its own text, it is not written in the byte alphabet.
    pub fn piece(&self, token: &str, added: bool, first: bool) -> Piece {
        if self.byte_level {
            let bytes = if added { None } else { token.chars().map(alphabet_byte).collect() };
            return Piece::Bytes(bytes.unwrap_or_else(|| token.as_bytes().to_vec()));
        }
        if self.byte_fallback {
            if let Some(byte) = fallback_byte(token) {
                return Piece::Byte(byte);
            }
        }
        let mut text = token.to_owned();
        for rewrite in &self.rewrites {
            text = match rewrite {
                Rewrite::Replace { from, to } => text.replace(from.as_str(), to),
                Rewrite::Metaspace { symbol, drops_first } => {
                    text.replace(*symbol, if first && *drops_first { "" } else { " " })
                }
            };
        }
        if self.spaced && !first {
            text.insert(0, ' ');
        }
        Piece::Text(text)
    }
}

fn unsupported<T>(what: &str) -> Result<T> {
    Err(Failure::Unsupported(format!(
        "tokenizer.json: decoder '{what}' is not supported; ByteLevel, Metaspace, or a Sequence of Replace, \
         ByteFallback, Fuse and Strip is"
    )))
}

fn first_char(value: &Value) -> Option<char> {
    value.as_str()?.chars().next()
}

/// GPT-2's printable alphabet of bytes, backwards.
fn alphabet_byte(symbol: char) -> Option<u8> {
    match u32::from(symbol) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code as u8),
        // The 68 bytes that are not printable, in order, sit from U+0100 on: 0x00-0x20, 0x7F-0xA0, 0xAD.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// "<0xE4>" -> 0xE4.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// The state of one text being written. Constant size: at most three bytes wait.
pub struct Stream {
    skip_special: bool,
    first: bool,
    strip_left: usize,
    waiting: Vec<u8>,
}

impl Stream {
    /// `continues`: the text goes on after other text, so a leading space is kept.
    pub fn new(tokenizer: &Tokenizer, skip_special: bool, continues: bool) -> Self {
        let strip = tokenizer.plan().strip.filter(|_| !continues);
        let strip_left = strip.map_or(0, |(_, count)| count);
        Self { skip_special, first: !continues, strip_left, waiting: Vec::new() }
    }

    /// The text that became certain with this token. An id outside the vocabulary adds nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        if self.skip_special && tokenizer.is_special(id) {
            return String::new();
        }
        let Some(token) = tokenizer.id_to_token(id) else {
            return String::new();
        };
        let plan = tokenizer.plan();
        let piece = plan.piece(&token, tokenizer.added_token(id).is_some(), self.first);
        self.first = false;
        let text = match piece {
            Piece::Bytes(bytes) => self.take(&bytes, plan),
            Piece::Byte(byte) => self.take(&[byte], plan),
            Piece::Text(text) => self.drain(plan) + &text,
        };
        self.stripped(plan, text)
    }

    /// What is left at the end: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> String {
        self.drain(tokenizer.plan())
    }

    /// Gives up on the unfinished character.
    fn drain(&mut self, plan: &Plan) -> String {
        plan.replacement(std::mem::take(&mut self.waiting).len())
    }

    /// Appends bytes and takes out what is complete.
    fn take(&mut self, bytes: &[u8], plan: &Plan) -> String {
        self.waiting.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.waiting.as_slice();
        while let Err(error) = std::str::from_utf8(rest) {
            let (valid, bad) = rest.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            rest = bad;
            let Some(length) = error.error_len() else {
                self.waiting = rest.to_vec();
                return text;
            };
            text.push_str(&plan.replacement(length));
            rest = &rest[length..];
        }
        text.push_str(&String::from_utf8_lossy(rest));
        self.waiting.clear();
        text
    }

    fn stripped(&mut self, plan: &Plan, text: String) -> String {
        let Some((symbol, _)) = plan.strip.filter(|_| self.strip_left > 0) else {
            return text;
        };
        let mut rest = text.as_str();
        while self.strip_left > 0 && !rest.is_empty() {
            match rest.strip_prefix(symbol) {
                Some(shorter) => {
                    rest = shorter;
                    self.strip_left -= 1;
                }
                None => self.strip_left = 0,
            }
        }
        rest.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodeOptions;

    fn load(name: &str) -> Tokenizer {
        let path = format!("{}/../../tests/data/tokenizers/{name}", env!("CARGO_MANIFEST_DIR"));
        Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn equals_hugging_face_for_valid_text() {
        for name in ["llama2_style.json", "metaspace_style.json"] {
            let tokenizer = load(name);
            for text in
                ["", " ", "  two", "Hello <s> world</s>", "日本語 🙂 e\u{301}", "tab\tline\n", "▁under"]
            {
                let ids = tokenizer.encode(text, EncodeOptions::default()).unwrap();
                for skip in [false, true] {
                    assert_eq!(
                        tokenizer.decode(&ids, skip),
                        tokenizer.reference().decode(&ids, skip).unwrap()
                    );
                }
            }
        }
    }

    #[test]
    fn byte_alphabet_covers_every_byte_once() {
        let mut bytes: Vec<u8> = ('\0'..='\u{200}').filter_map(alphabet_byte).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(
            ['Ġ', 'Ċ', 'a', 'Ń'].map(alphabet_byte),
            [Some(b' '), Some(b'\n'), Some(b'a'), Some(0xAD)]
        );
    }

    #[test]
    fn fallback_bytes() {
        let tokens = ["<0x0A>", "<0xff>", "<0x+1>", "<0x1>", "<s>"].map(fallback_byte);
        assert_eq!(tokens, [Some(10), Some(255), None, None, None]);
    }
}
