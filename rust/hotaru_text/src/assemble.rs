//! The tokenizer of a checkpoint directory, whichever way it is written, as one canonical tokenizer.json: what the
//! compiler stores and the only thing the runtime reads.

use crate::tokenizer::Tokenizer;
use crate::{Failure, Result, invalid};
use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

/// The bytes of the files that are there. Either tokenizer_json, or vocab_json and merges_txt.
#[derive(Default)]
pub struct TokenizerFiles<'a> {
    pub tokenizer_json: Option<&'a [u8]>,
    pub vocab_json: Option<&'a [u8]>,
    pub merges_txt: Option<&'a [u8]>,
    pub tokenizer_config: Option<&'a [u8]>,
    pub added_tokens: Option<&'a [u8]>,
    pub special_tokens_map: Option<&'a [u8]>,
    /// config.json's model_type: tells the tokenizer's kind when tokenizer_config.json does not.
    pub model_type: Option<&'a str>,
}

const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const LISTED_TOKENS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

const QWEN2_WORDS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}\
                           | ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

pub fn canonical_tokenizer(files: &TokenizerFiles) -> Result<String> {
    let config = parse_object(files.tokenizer_config, "tokenizer_config.json")?;
    let special_map = parse_object(files.special_tokens_map, "special_tokens_map.json")?;
    let mut tokens = declared_tokens(files, &config)?;
    let mut tokenizer = if let Some(json) = files.tokenizer_json {
        let rebuilt = as_llama_tokenizer(json, &config)?;
        let tokenizer = Tokenizer::from_json(rebuilt.as_deref().unwrap_or(json))?;
        check_ids(&tokenizer, &tokenizer_json_tokens(json)?, "tokenizer.json 'added_tokens'")?;
        tokenizer
    } else {
        Tokenizer::from_json(&serialised(&model_from_vocab_and_merges(files, &config)?)?)?
    };
    let special = special_contents(&[&config, &special_map]);
    for (_, token) in &mut tokens {
        token.special |= special.iter().any(|other| other.content == token.content);
    }
    let missing = |token: &AddedToken| !tokenizer.is_added(&token.content);
    let added: Vec<AddedToken> = tokens.iter().map(|(_, token)| token.clone()).filter(missing).collect();
    tokenizer.add_tokens(added)?;
    // A special token that the vocabulary lacks has no row in the model either: it stays out.
    let known = |token: &AddedToken| {
        !tokenizer.is_added(&token.content) && tokenizer.token_to_id(&token.content).is_some()
    };
    let named: Vec<AddedToken> = special.into_iter().filter(known).collect();
    tokenizer.add_tokens(named)?;
    check_ids(&tokenizer, &tokens, "the declared added tokens")?;
    if let Some(post_processor) = post_processor_of(&config, &tokenizer, files.tokenizer_json.is_some())? {
        tokenizer.set_post_processor(post_processor)?;
    }
    tokenizer.to_json()
}

fn parse(bytes: &[u8], name: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Invalid(format!("{name}: {error}")))
}

fn serialised(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Failure::Invalid(error.to_string()))
}

fn parse_object(bytes: Option<&[u8]>, name: &str) -> Result<Map<String, Value>> {
    match bytes.map(|bytes| parse(bytes, name)).transpose()? {
        None => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => invalid(format!("{name}: want a JSON object")),
    }
}

/// "text" or {"content": "text", "lstrip": ...}.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let flag = |name: &str| value[name].as_bool();
    let content = value.as_str().or_else(|| value["content"].as_str())?;
    let special = flag("special").unwrap_or(special);
    Some(
        AddedToken::from(content, special)
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(false)),
    )
}

type IdAndToken = (u32, AddedToken);

/// Added tokens with the ids their file gives them, in the order of the ids.
fn declared_tokens(files: &TokenizerFiles, config: &Map<String, Value>) -> Result<Vec<IdAndToken>> {
    let mut tokens = Vec::new();
    if let Some(Value::Object(decoder)) = config.get("added_tokens_decoder") {
        for (id, value) in decoder {
            match (id.parse(), added_token(value, false)) {
                (Ok(id), Some(token)) => tokens.push((id, token)),
                _ => {
                    return invalid(format!(
                        "tokenizer_config.json 'added_tokens_decoder': bad entry \"{id}\""
                    ));
                }
            }
        }
    } else if files.tokenizer_json.is_none() {
        for (content, id) in parse_object(files.added_tokens, "added_tokens.json")? {
            match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => tokens.push((id, AddedToken::from(content, false).normalized(false))),
                None => return invalid(format!("added_tokens.json '{content}': got {id}, want an id")),
            }
        }
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens)
}

fn tokenizer_json_tokens(json: &[u8]) -> Result<Vec<IdAndToken>> {
    let value = parse(json, "tokenizer.json")?;
    let listed = value["added_tokens"].as_array().into_iter().flatten();
    let pair = |entry: &Value| Some((u32::try_from(entry["id"].as_u64()?).ok()?, added_token(entry, false)?));
    Ok(listed.filter_map(pair).collect())
}

/// A token library gives an added token the next free id, whatever its file says; a difference would be silent.
fn check_ids(tokenizer: &Tokenizer, tokens: &[IdAndToken], place: &str) -> Result<()> {
    for (id, token) in tokens {
        match tokenizer.token_to_id(&token.content) {
            Some(found) if found == *id => {}
            Some(found) => {
                let content = &token.content;
                return invalid(format!(
                    "{place}: '{content}' is declared as id {id}, the vocabulary makes it {found}"
                ));
            }
            None => return invalid(format!("{place}: '{}' has no id", token.content)),
        }
    }
    Ok(())
}

/// bos_token, eos_token, additional_special_tokens, ... of tokenizer_config.json and special_tokens_map.json.
fn special_contents(maps: &[&Map<String, Value>]) -> Vec<AddedToken> {
    let mut tokens: Vec<AddedToken> = Vec::new();
    for map in maps {
        let named = NAMED_TOKENS.iter().filter_map(|name| map.get(*name));
        let listed = LISTED_TOKENS.iter().filter_map(|name| map.get(*name)?.as_array()).flatten();
        for token in named.chain(listed).filter_map(|value| added_token(value, true)) {
            if !tokens.iter().any(|other| other.content == token.content) {
                tokens.push(AddedToken { special: true, ..token });
            }
        }
    }
    tokens
}

fn model_from_vocab_and_merges(files: &TokenizerFiles, config: &Map<String, Value>) -> Result<Value> {
    let (Some(vocab), Some(merges)) = (files.vocab_json, files.merges_txt) else {
        return invalid("no tokenizer: want tokenizer.json, or vocab.json and merges.txt");
    };
    let class = config.get("tokenizer_class").and_then(Value::as_str).or(files.model_type).unwrap_or("");
    let prefix_space = config.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(false);
    let byte_level = |add_prefix_space: bool, use_regex: bool| {
        json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true,
               "use_regex": use_regex})
    };
    let (normalizer, pre_tokenizer) = if class.to_lowercase().starts_with("qwen") {
        let split = json!({"type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated",
                           "invert": false});
        let words = json!({"type": "Sequence", "pretokenizers": [split, byte_level(prefix_space, false)]});
        (json!({"type": "NFC"}), words)
    } else if class.to_lowercase().starts_with("gpt2") {
        (Value::Null, byte_level(prefix_space, true))
    } else {
        return Err(Failure::Unsupported(format!(
            "vocab.json and merges.txt with tokenizer_class '{class}': supported are Qwen2Tokenizer and \
             GPT2Tokenizer; others need a tokenizer.json"
        )));
    };
    let unknown = config.get("unk_token").and_then(|token| added_token(token, true));
    let vocabulary = parse(vocab, "vocab.json")?;
    let unknown = unknown.map(|token| token.content).filter(|content| vocabulary.get(content).is_some());
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": byte_level(true, true),
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocabulary, "merges": parse_merges(merges)?},
    }))
}

/// One merge a line, two tokens with a space between; the first line may be "#version: ...".
fn parse_merges(bytes: &[u8]) -> Result<Value> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| Failure::Invalid(format!("merges.txt: {error}")))?;
    let mut merges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [left, right] if !left.is_empty() && !right.is_empty() => merges.push(json!([left, right])),
            _ => return invalid(format!("merges.txt line {}: want two tokens", index + 1)),
        }
    }
    Ok(Value::Array(merges))
}

/// tokenizer_class without the "Fast" that transformers 4 put behind some.
fn class_of(config: &Map<String, Value>) -> &str {
    config.get("tokenizer_class").and_then(Value::as_str).unwrap_or("").trim_end_matches("Fast")
}

/// transformers 5 reads only vocabulary and merges of a LlamaTokenizer derived from sentencepiece (its normalizer begins
/// with "prepend a low line"), and makes the rest by the class: spaces by Metaspace, no unknown token. Other files that
/// name the class (byte-level ones do) stay as they are: None.
fn as_llama_tokenizer(json: &[u8], config: &Map<String, Value>) -> Result<Option<Vec<u8>>> {
    if class_of(config) != "LlamaTokenizer" {
        return Ok(None);
    }
    let mut value = parse(json, "tokenizer.json")?;
    let normalizer = &value["normalizer"];
    let first = if normalizer["type"] == "Sequence" { &normalizer["normalizers"][0] } else { normalizer };
    if first["type"] != "Prepend" || first["prepend"] != "\u{2581}" || value["model"]["type"] != "BPE" {
        return Ok(None);
    }
    let says = |name: &str| config.get(name).and_then(Value::as_bool);
    let scheme = match (says("add_prefix_space"), says("legacy")) {
        (Some(false), _) => "never",
        (_, Some(true)) => "always",
        _ => "first",
    };
    value["normalizer"] = Value::Null;
    value["pre_tokenizer"] =
        json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": false});
    value["model"]["unk_token"] = Value::Null;
    value["model"]["fuse_unk"] = Value::Bool(true);
    value["model"]["byte_fallback"] = Value::Bool(true);
    serialised(&value).map(Some)
}

/// Which tokens go around a text: LlamaTokenizer and GPT2Tokenizer follow add_bos_token and add_eos_token, every other
/// class what its tokenizer.json says.
fn post_processor_of(
    config: &Map<String, Value>,
    tokenizer: &Tokenizer,
    from_json: bool,
) -> Result<Option<Value>> {
    let is_llama = matches!(class_of(config), "LlamaTokenizer" | "CodeLlamaTokenizer");
    let says = |name: &str| config.get(name).and_then(Value::as_bool);
    let (add_bos, add_eos) = (says("add_bos_token"), says("add_eos_token"));
    if (from_json && !is_llama) || (add_bos.is_none() && add_eos.is_none()) {
        return Ok(None);
    }
    if !is_llama && ![add_bos, add_eos].contains(&Some(true)) {
        return Ok(None);
    }
    let mut around = [Vec::new(), Vec::new()];
    let mut special = Map::new();
    let wanted = [("bos_token", add_bos.unwrap_or(is_llama)), ("eos_token", add_eos.unwrap_or(false))];
    for (side, (name, _)) in wanted.iter().enumerate().filter(|(_, (_, wanted))| *wanted) {
        let Some(content) =
            config.get(*name).and_then(|token| added_token(token, true)).map(|token| token.content)
        else {
            return invalid(format!("tokenizer_config.json: 'add_{name}' is set, '{name}' is not"));
        };
        let Some(id) = tokenizer.token_to_id(&content) else {
            return invalid(format!("tokenizer_config.json '{name}': '{content}' is not in the vocabulary"));
        };
        around[side].push(json!({"SpecialToken": {"id": content, "type_id": 0}}));
        special.insert(content.clone(), json!({"id": content, "ids": [id], "tokens": [content]}));
    }
    let text = |name: &str| vec![json!({"Sequence": {"id": name, "type_id": 0}})];
    let [bos, eos] = around;
    let single = [bos, text("A"), eos].concat();
    let pair = [single.clone(), text("B")].concat();
    Ok(Some(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})))
}
