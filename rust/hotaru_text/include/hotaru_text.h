// The C ABI of rust/hotaru_text. Every fallible call returns a status; kOk has filled `out`, any other has filled
// `message` (UTF-8). What came out is given back by the matching free. Handles of tokenizers, templates and grammars may
// be used from several threads at once; a detokenizer and the state of a grammar by one at a time. No call prints, and no panic leaves the library.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum HotaruTextStatus {
  kHotaruTextOk = 0,
  kHotaruTextInvalid = 1,      // the input is malformed
  kHotaruTextUnsupported = 2,  // well-formed, but not for us
  kHotaruTextPanic = 3,        // a bug in the library or below it; the handle stays usable
};

enum HotaruTextEncodeFlags {
  kHotaruTextAddSpecialTokens = 1,
  kHotaruTextPlain = 2,  // text that looks like an added token stays text
};

enum HotaruTextDecodeFlags {
  kHotaruTextSkipSpecialTokens = 1,
  kHotaruTextContinues = 2,  // the text goes on after other text: keep a leading space
};

// Bytes of the caller, read during the call. A null `data` means "not there".
typedef struct HotaruTextView {
  const uint8_t* data;
  size_t size;
} HotaruTextView;

typedef struct HotaruTextBytes {
  uint8_t* data;
  size_t size;
} HotaruTextBytes;

typedef struct HotaruTextIds {
  uint32_t* data;
  size_t size;
} HotaruTextIds;

typedef struct HotaruTextTokenizer HotaruTextTokenizer;
typedef struct HotaruTextDetokenizer HotaruTextDetokenizer;
typedef struct HotaruTextTemplate HotaruTextTemplate;
typedef struct HotaruTextGrammar HotaruTextGrammar;
typedef struct HotaruTextGrammarState HotaruTextGrammarState;

void hotaru_text_free_bytes(HotaruTextBytes bytes);
void hotaru_text_free_ids(HotaruTextIds ids);

// The files of a checkpoint directory; either tokenizer_json, or vocab_json and merges_txt.
typedef struct HotaruTextFiles {
  HotaruTextView tokenizer_json;
  HotaruTextView vocab_json;
  HotaruTextView merges_txt;
  HotaruTextView tokenizer_config;
  HotaruTextView added_tokens;
  HotaruTextView special_tokens_map;
  HotaruTextView model_type;  // config.json's
} HotaruTextFiles;

// One tokenizer.json that stands for all of them: same content, same bytes.
int hotaru_text_canonical_tokenizer(const HotaruTextFiles* files, HotaruTextBytes* out, HotaruTextBytes* message);

int hotaru_text_tokenizer_create(HotaruTextView json, HotaruTextTokenizer** out, HotaruTextBytes* message);
void hotaru_text_tokenizer_free(HotaruTextTokenizer* tokenizer);
int hotaru_text_encode(const HotaruTextTokenizer* tokenizer, HotaruTextView text, uint32_t flags, HotaruTextIds* out,
                       HotaruTextBytes* message);
int hotaru_text_decode(const HotaruTextTokenizer* tokenizer, const uint32_t* ids, size_t count, uint32_t flags,
                       HotaruTextBytes* out, HotaruTextBytes* message);
// One more than the largest id.
uint32_t hotaru_text_vocabulary_size(const HotaruTextTokenizer* tokenizer);
int hotaru_text_token_to_id(const HotaruTextTokenizer* tokenizer, HotaruTextView token, uint32_t* out,
                            HotaruTextBytes* message);
int hotaru_text_id_to_token(const HotaruTextTokenizer* tokenizer, uint32_t id, HotaruTextBytes* out,
                            HotaruTextBytes* message);
// The bytes a token adds to a text; may be a part of a character.
int hotaru_text_token_bytes(const HotaruTextTokenizer* tokenizer, uint32_t id, HotaruTextBytes* out,
                            HotaruTextBytes* message);
int hotaru_text_special_ids(const HotaruTextTokenizer* tokenizer, HotaruTextIds* out, HotaruTextBytes* message);

// Keeps the tokenizer alive by itself.
int hotaru_text_detokenizer_create(const HotaruTextTokenizer* tokenizer, uint32_t flags, HotaruTextDetokenizer** out,
                                   HotaruTextBytes* message);
void hotaru_text_detokenizer_free(HotaruTextDetokenizer* detokenizer);
int hotaru_text_detokenizer_push(HotaruTextDetokenizer* detokenizer, uint32_t id, HotaruTextBytes* out,
                                 HotaruTextBytes* message);
int hotaru_text_detokenizer_finish(HotaruTextDetokenizer* detokenizer, HotaruTextBytes* out, HotaruTextBytes* message);

typedef struct HotaruTextRenderRequest {
  HotaruTextView messages;  // JSON array
  HotaruTextView extra;     // JSON object of further variables, or empty
  int64_t now_unix_seconds;
  bool add_generation_prompt;
} HotaruTextRenderRequest;

// `tool_use` may be empty; `special_tokens` is a JSON object such as {"bos_token": "<s>"}, or empty.
int hotaru_text_template_create(HotaruTextView text, HotaruTextView tool_use, HotaruTextView special_tokens,
                                HotaruTextTemplate** out, HotaruTextBytes* message);
void hotaru_text_template_free(HotaruTextTemplate* text);
int hotaru_text_template_render(const HotaruTextTemplate* text, const HotaruTextRenderRequest* request,
                                HotaruTextBytes* out, HotaruTextBytes* message);

enum HotaruTextGrammarKind {
  kHotaruTextJsonSchema = 0,
  kHotaruTextJsonObject = 1,
  kHotaruTextRegex = 2,
  kHotaruTextLark = 3,
};

typedef struct HotaruTextGrammarSpec {
  uint32_t kind;
  HotaruTextView text;
  const uint32_t* end_ids;  // [end_count]
  size_t end_count;
  uint32_t vocabulary;  // rows of the model's logits
} HotaruTextGrammarSpec;

// Keeps by itself what it needs of the tokenizer; so does a state of its grammar.
int hotaru_text_grammar_create(const HotaruTextTokenizer* tokenizer, const HotaruTextGrammarSpec* spec,
                               HotaruTextGrammar** out, HotaruTextBytes* message);
void hotaru_text_grammar_free(HotaruTextGrammar* grammar);
int hotaru_text_grammar_begin(const HotaruTextGrammar* grammar, HotaruTextGrammarState** out, HotaruTextBytes* message);
void hotaru_text_grammar_state_free(HotaruTextGrammarState* state);
int hotaru_text_grammar_advance(HotaruTextGrammarState* state, const uint32_t* ids, size_t count,
                                HotaruTextBytes* message);
// Bit i % 64 of words[i / 64]: id i may follow; count = (vocabulary + 63) / 64.
int hotaru_text_grammar_allowed(HotaruTextGrammarState* state, uint64_t* words, size_t count, HotaruTextBytes* message);

#ifdef __cplusplus
}
#endif
