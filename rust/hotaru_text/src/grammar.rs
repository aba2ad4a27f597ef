//! What a reply must look like, token by token, by llguidance. It is asked for masks only: which spelling of a text the
//! model takes is left to the model, no token is forced upon it.

use crate::{Failure, Result, Tokenizer, invalid};
use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::fmt::Display;
use std::sync::{Arc, Mutex};

/// Of the trie, which counts its nodes in 22 bits.
const VOCABULARY_LIMIT: u32 = 1 << 21;

/// Hostile schemas: what one may cost to compile and one mask to compute. A schema of the real world stays far below.
const LIMITS: ParserLimits = ParserLimits {
    max_items_in_row: 2_000,
    initial_lexer_fuel: 1_000_000,
    step_lexer_fuel: 200_000,
    step_max_items: 50_000,
    max_lexer_states: 50_000, // of 1 to 2 kB
    max_grammar_size: 200_000,
    precompute_large_lexemes: true,
    verbose_errors: false,
};
const TEXT_LIMIT: usize = 1 << 20;
/// llguidance writes an array of at most n items out n times, before it counts.
const ITEM_LIMIT: u64 = 10_000; // of all arrays of a schema

/// JSON allows any amount of white space, and a model that has nothing to say may fill a reply with it.
const WHITE_SPACE_LIMIT: usize = 40; // bytes in a row

pub enum Spec<'a> {
    JsonSchema(&'a str),
    JsonObject,
    Regex(&'a str),
    Lark(&'a str),
}

/// The vocabulary as llguidance wants it; made once per tokenizer, for it takes tenths of a second.
#[derive(Default)]
pub(crate) struct VocabularyCache(Mutex<Option<Arc<Vocabulary>>>);

struct Vocabulary {
    end_ids: Vec<u32>,
    size: u32,
    white_space: Vec<u64>, // bit i % 64 of [i / 64]: token i is nothing else
    factory: ParserFactory,
}

impl Vocabulary {
    /// The token behind the last one stands for all ends of a text.
    fn new(tokenizer: &Tokenizer, end_ids: &[u32], size: u32) -> Result<Self> {
        let word = |id: u32| {
            if end_ids.contains(&id) {
                return Vec::new(); // never a part of the text
            }
            let mut bytes = tokenizer.token_bytes(id).unwrap_or_default();
            if tokenizer.is_special(id) {
                bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER); // no text: only a grammar that names it allows it
            }
            bytes
        };
        let mut words: Vec<Vec<u8>> = (0..size).map(word).collect();
        let mut white_space = vec![0; (size as usize).div_ceil(64)];
        for (id, word) in words.iter().enumerate() {
            if !word.is_empty() && word.iter().all(is_white_space) {
                white_space[id / 64] |= 1 << (id % 64);
            }
        }
        words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], b"<end of text>".as_slice()].concat());
        // toktrie cuts its sets at whole words of 32 bits and is surprised by a vocabulary that ends within one.
        words.resize(words.len().next_multiple_of(32), Vec::new());
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, size), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| Failure::Invalid(error.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = LIMITS;
        Ok(Self { end_ids: end_ids.to_vec(), size, white_space, factory })
    }
}

impl VocabularyCache {
    fn get(&self, tokenizer: &Tokenizer, end_ids: &[u32], size: u32) -> Result<Arc<Vocabulary>> {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match kept.as_ref().filter(|kept| kept.end_ids == end_ids && kept.size == size) {
            Some(same) => Ok(Arc::clone(same)),
            None => Ok(Arc::clone(kept.insert(Arc::new(Vocabulary::new(tokenizer, end_ids, size)?)))),
        }
    }
}

pub struct Grammar {
    vocabulary: Arc<Vocabulary>,
    start: Matcher,
    bounds_white_space: bool,
}

impl Grammar {
    /// `size`: rows of the model's logits; ids without a token are never allowed.
    pub fn compile(tokenizer: &Tokenizer, end_ids: &[u32], size: u32, spec: &Spec) -> Result<Self> {
        if size == 0 || size > VOCABULARY_LIMIT {
            return invalid(format!("grammar: a vocabulary of {size}, want 1 to {VOCABULARY_LIMIT}"));
        }
        let definition = definition_of(spec)?;
        let vocabulary = tokenizer.vocabulary_cache().get(tokenizer, end_ids, size)?;
        let parser = vocabulary.factory.create_parser(TopLevelGrammar::from_grammar(definition));
        let mut start = Matcher::new(Ok(parser.map_err(|error| refused(spec, &error))?));
        // An impossible text ("minLength" above "maxLength") is found with the first mask at the latest.
        let mask = start.compute_mask_or_eos().map_err(|error| refused(spec, &error))?;
        if mask.num_set() == 0 {
            return Err(refused(spec, &"no text satisfies it"));
        }
        let bounds_white_space = !matches!(spec, Spec::Regex(_));
        Ok(Self { vocabulary, start, bounds_white_space })
    }

    pub fn begin(&self) -> GrammarState {
        // Deep: states share no lexer, so none waits for another and limits count for each alone.
        GrammarState {
            vocabulary: Arc::clone(&self.vocabulary),
            matcher: self.start.deep_clone(),
            white_space: self.bounds_white_space.then_some(0),
        }
    }
}

pub struct GrammarState {
    vocabulary: Arc<Vocabulary>,
    matcher: Matcher,
    white_space: Option<usize>, // bytes in a row up to here; None: it is not bounded
}

impl GrammarState {
    pub fn advance(&mut self, ids: &[u32]) -> Result<()> {
        for &id in ids {
            let is_end = self.vocabulary.end_ids.contains(&id);
            let token = if is_end { self.vocabulary.size } else { id };
            if self.matcher.is_stopped() && is_end {
                continue;
            }
            self.matcher.consume_token(token).map_err(|error| {
                Failure::Invalid(format!("grammar: token {id} may not follow: {}", first_line(&error)))
            })?;
            self.count_white_space(token);
        }
        Ok(())
    }

    fn count_white_space(&mut self, token: u32) {
        let Some(count) = &mut self.white_space else { return };
        let word = self.vocabulary.factory.tok_env().tok_trie().token(token);
        let at_end = word.iter().rev().take_while(|byte| is_white_space(byte)).count();
        *count = if at_end == word.len() { *count + at_end } else { at_end };
    }

    /// After too much white space there is no more, unless nothing else may follow.
    fn bound_white_space(&self, words: &mut [u64]) {
        let white = &self.vocabulary.white_space;
        let is_too_much = self.white_space.is_some_and(|count| count >= WHITE_SPACE_LIMIT);
        if is_too_much && words.iter().zip(white).any(|(word, white)| word & !white != 0) {
            words.iter_mut().zip(white).for_each(|(word, white)| *word &= !white);
        }
    }

    /// Bit i % 64 of words[i / 64]: id i may follow.
    pub fn allowed(&mut self, words: &mut [u64]) -> Result<()> {
        let size = self.vocabulary.size as usize;
        if words.len() != size.div_ceil(64) {
            return invalid(format!("grammar: a mask of {} words, want {}", words.len(), size.div_ceil(64)));
        }
        let mask = self
            .matcher
            .compute_mask_or_eos()
            .map_err(|error| Failure::Invalid(format!("grammar: {}", first_line(&error))))?;
        let halves = mask.as_slice();
        let half = |index: usize| u64::from(halves.get(index).copied().unwrap_or(0));
        for (index, word) in words.iter_mut().enumerate() {
            *word = half(2 * index) | half(2 * index + 1) << 32;
        }
        if size % 64 != 0 {
            words[size / 64] &= (1 << (size % 64)) - 1; // the token that stands for the ends is not the model's
        }
        if mask.is_allowed(self.vocabulary.size) {
            for &id in self.vocabulary.end_ids.iter().filter(|id| (**id as usize) < size) {
                words[id as usize / 64] |= 1 << (id % 64);
            }
        }
        self.bound_white_space(words);
        Ok(())
    }
}

fn is_white_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn definition_of(spec: &Spec) -> Result<GrammarWithLexer> {
    let (Spec::JsonSchema(text) | Spec::Regex(text) | Spec::Lark(text)) = spec else {
        return Ok(GrammarWithLexer::from_json_schema(json!({"type": "object"})));
    };
    if text.len() > TEXT_LIMIT {
        return Err(refused(spec, &format!("got {} bytes, want at most {TEXT_LIMIT}", text.len())));
    }
    Ok(match spec {
        Spec::Regex(_) => GrammarWithLexer::from_regex(text),
        Spec::Lark(_) => GrammarWithLexer::from_lark((*text).to_owned()),
        _ => {
            let schema: Value = serde_json::from_str(text).map_err(|error| refused(spec, &error))?;
            let items = counted_items(&schema);
            if items > ITEM_LIMIT {
                let limit =
                    format!("'minItems' and 'maxItems': got {items} in sum, want at most {ITEM_LIMIT}");
                return Err(refused(spec, &limit));
            }
            match schema {
                Value::Object(_) => GrammarWithLexer::from_json_schema(schema),
                Value::Bool(true) => GrammarWithLexer::from_json_schema(json!({})),
                Value::Bool(false) => return Err(refused(spec, &"false: no text satisfies it")),
                _ => return Err(refused(spec, &"want an object")),
            }
        }
    })
}

/// Of all arrays the most items that are counted.
fn counted_items(schema: &Value) -> u64 {
    match schema {
        Value::Array(list) => list.iter().map(counted_items).fold(0, u64::saturating_add),
        Value::Object(fields) => {
            let count = |name: &str| fields.get(name).and_then(Value::as_f64).unwrap_or(0.0) as u64;
            let own = count("minItems").max(count("maxItems"));
            let inner = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "enum" | "const"));
            inner.map(|(_, value)| counted_items(value)).fold(own, u64::saturating_add)
        }
        _ => 0,
    }
}

fn refused(spec: &Spec, error: &dyn Display) -> Failure {
    let what = match spec {
        Spec::JsonSchema(_) | Spec::JsonObject => "JSON schema",
        Spec::Regex(_) => "regular expression",
        Spec::Lark(_) => "grammar",
    };
    let text = first_line(error).replace("Unimplemented keys:", "not supported:");
    Failure::Invalid(format!("{what}: {text}"))
}

/// llguidance puts states and backtraces behind its messages; regex draws the place over several lines and then says what is wrong.
fn first_line(error: &dyn Display) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_end();
    match text.lines().find_map(|line| line.trim().strip_prefix("error: ")) {
        Some(said) if first.ends_with(':') => format!("{first} {said}"),
        _ => first.to_owned(),
    }
}
