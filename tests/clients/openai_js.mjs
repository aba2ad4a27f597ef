// OpenAI's own JavaScript client against a running server: openai_js.mjs BASE_URL [MODEL].
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const base = process.argv[2].replace(/\/$/, '');
const model = process.argv[3] ?? 'demo';
const client = new OpenAI({baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0});
const messages = [{role: 'user', content: 'Tell me a story.'}];
let failures = 0;

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failures++;
    console.log(`not ok ${name}`);
    console.log(String(error.stack).replace(/^/gm, '# '));
  }
}

await check('models', async () => {
  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert(ids.includes(`${model}:latest`));  // as Ollama lists them
});

await check('chat, streamed and not', async () => {
  const options = {model, messages, temperature: 0, max_tokens: 12};
  const whole = await client.chat.completions.create(options);
  assert.equal(whole.choices[0].finish_reason, 'length');
  assert.equal(whole.usage.completion_tokens, 12);
  let text = '';
  let usage = null;
  const stream =
      await client.chat.completions.create({...options, stream: true, stream_options: {include_usage: true}});
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, 12);
  const runner = client.chat.completions.stream(options);
  assert.equal(await runner.finalContent(), text);
});

await check('a stream that is left', async () => {
  const stream = await client.chat.completions.create({model, messages, stream: true});
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) break;
  }
  const after = await client.chat.completions.create({model, messages, max_tokens: 2});
  assert.equal(after.usage.completion_tokens, 2);
});

await check('JSON schema', async () => {
  const schema = {
    type: 'object',
    properties: {good: {type: 'boolean'}},
    required: ['good'],
    additionalProperties: false,
  };
  const reply = await client.chat.completions.create({
    model,
    messages,
    max_tokens: 1200,
    response_format: {type: 'json_schema', json_schema: {name: 'verdict', schema, strict: true}},
  });
  assert.equal(typeof JSON.parse(reply.choices[0].message.content).good, 'boolean');
});

await check('completions', async () => {
  const reply = await client.completions.create(
      {model, prompt: 'Once upon a time', echo: true, logprobs: 1, max_tokens: 1, temperature: 0});
  assert(reply.choices[0].text.startsWith('Once upon a time'));
  assert.equal(reply.choices[0].logprobs.token_logprobs[0], null);
});

await check('embeddings', async () => {
  const reply = await client.embeddings.create({model, input: ['a dog', 'rain']});
  assert.equal(reply.data.length, 2);
  assert(reply.data[0].embedding.length > 8);
});

await check('responses', async () => {
  const whole = await client.responses.create({model, input: 'A dog.', temperature: 0, max_output_tokens: 16});
  let text = '';
  const stream =
      await client.responses.create({model, input: 'A dog.', temperature: 0, max_output_tokens: 16, stream: true});
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(text, whole.output_text);
});

await check('errors', async () => {
  await assert.rejects(client.chat.completions.create({model: 'no-such-model', messages}), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({model, messages, temperature: 9}), (error) => {
    return error instanceof OpenAI.BadRequestError && error.param === 'temperature';
  });
});

process.exit(failures > 0 ? 1 : 0);
