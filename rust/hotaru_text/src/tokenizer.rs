//! One loaded tokenizer: text to ids, ids to tokens. Immutable after load, so any number of threads may use it.

use crate::decoder::{Plan, Stream};
use crate::grammar::VocabularyCache;
use crate::{Failure, Result, invalid};
use tokenizers::models::ModelWrapper;
use tokenizers::tokenizer::OffsetType;
use tokenizers::{AddedToken, Model, Normalizer, PostProcessorWrapper, PreTokenizedString, PreTokenizer};

/// Ids above this are a mistake in the file; serialising a vocabulary walks every id up to the largest.
const ID_LIMIT: u32 = 1 << 24;

#[derive(Debug, Clone, Copy, Default)]
pub struct EncodeOptions {
    /// Add what the post-processor adds (BOS of Llama).
    pub add_special_tokens: bool,
    /// Text that looks like an added token stays text. For what a user typed.
    pub plain: bool,
}

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    plan: Plan,
    special_ids: Vec<u32>,
    vocabulary_size: u32,
    vocabulary_cache: VocabularyCache,
}

impl Tokenizer {
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(json).map_err(|error| bad_json(&error))?;
        // parse() is compiled in the library already; from_slice would compile it all once more.
        let mut inner: tokenizers::Tokenizer = text.parse().map_err(|error| bad_json(&error))?;
        // Truncation, padding and dropout are training settings: a prompt is never cut, filled or randomised.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Failure::Invalid(error.to_string()))?;
        if let ModelWrapper::BPE(bpe) = inner.get_model() {
            if bpe.dropout.is_some() {
                return Self::from_json(&without_dropout(json)?);
            }
        }
        let plan = Plan::of(inner.get_decoder())?;
        let largest = inner.get_vocab(true).into_values().max();
        let Some(largest) = largest else {
            return invalid("tokenizer.json: the vocabulary is empty");
        };
        if largest >= ID_LIMIT {
            return invalid(format!("tokenizer.json: token id {largest}, want ids below {ID_LIMIT}"));
        }
        let mut special_ids: Vec<u32> = inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| *id)
            .collect();
        special_ids.sort_unstable();
        let vocabulary_cache = VocabularyCache::default();
        Ok(Self { inner, plan, special_ids, vocabulary_size: largest + 1, vocabulary_cache })
    }

    /// The same tokenizer as compact JSON: equal bytes for equal content.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(|error| Failure::Invalid(error.to_string()))
    }

    pub fn add_tokens(&mut self, tokens: Vec<AddedToken>) -> Result<()> {
        self.inner.add_tokens(tokens).map(|_| ()).map_err(|error| Failure::Invalid(error.to_string()))
    }

    pub fn set_post_processor(&mut self, value: serde_json::Value) -> Result<()> {
        let post_processor: PostProcessorWrapper =
            serde_json::from_value(value).map_err(|error| Failure::Invalid(error.to_string()))?;
        self.inner.with_post_processor(Some(post_processor));
        Ok(())
    }

    pub fn is_added(&self, content: &str) -> bool {
        self.inner.get_added_vocabulary().get_vocab().contains_key(content)
    }

    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let encoded = if options.plain {
            self.encode_plain(text)
                .and_then(|encoding| self.inner.post_process(encoding, None, options.add_special_tokens))
        } else {
            self.inner.encode_fast(text, options.add_special_tokens)
        };
        let encoding = encoded.map_err(|error| Failure::Invalid(format!("cannot tokenise: {error}")))?;
        // A post-processor names its ids itself; a caller indexes tables with them.
        match encoding.get_ids().iter().find(|id| **id >= self.vocabulary_size) {
            None => Ok(encoding.get_ids().to_vec()),
            Some(id) => {
                invalid(format!("tokenizer.json: the post-processor adds id {id}, which has no token"))
            }
        }
    }

    fn encode_plain(&self, text: &str) -> tokenizers::Result<tokenizers::Encoding> {
        let mut pieces = PreTokenizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            pieces.normalize(|piece| normalizer.normalize(piece))?;
        }
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        pieces.tokenize(|piece| self.inner.get_model().tokenize(piece.get()))?;
        pieces.into_encoding(None, 0, OffsetType::None)
    }

    /// decode(ids) is by definition what a Stream gives for them; the two cannot differ.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut stream = Stream::new(self, skip_special, false);
        let mut text = String::new();
        for &id in ids {
            text.push_str(&stream.push(self, id));
        }
        text.push_str(&stream.finish(self));
        text
    }

    /// One more than the largest id, added tokens included.
    pub fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    pub fn special_ids(&self) -> &[u32] {
        &self.special_ids
    }

    /// By id: the library itself looks for the normalised text ("▁<s>"), and then does not find it.
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.binary_search(&id).is_ok()
    }

    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token as the vocabulary writes it ("Ġthe", "▁the", "<0x0A>").
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        match self.added_token(id) {
            Some(content) => Some(content.to_owned()),
            None => self.inner.get_model().id_to_token(id),
        }
    }

    /// The bytes the token adds to a text; a part of a character for some.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.id_to_token(id)?;
        Some(self.plan.piece(&token, self.added_token(id).is_some(), false).into_bytes())
    }

    pub(crate) fn vocabulary_cache(&self) -> &VocabularyCache {
        &self.vocabulary_cache
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn added_token(&self, id: u32) -> Option<&str> {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        added.get(&id).map(|token| token.content.as_str())
    }

    #[cfg(test)]
    pub(crate) fn reference(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }
}

fn bad_json(error: &dyn std::fmt::Display) -> Failure {
    Failure::Invalid(format!("tokenizer.json: {error}"))
}

fn without_dropout(json: &[u8]) -> Result<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(json).map_err(|error| bad_json(&error))?;
    value["model"]["dropout"] = serde_json::Value::Null;
    serde_json::to_vec(&value).map_err(|error| bad_json(&error))
}
