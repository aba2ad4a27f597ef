// Ollama's own JavaScript client against a running server with one model: ollama_js.mjs BASE_URL. Every method that both sides have.
import assert from 'node:assert/strict'
import { Ollama } from 'ollama'

const client = new Ollama({ host: process.argv[2] })
const model = 'demo'
const options = { temperature: 0, num_predict: 12 }
const messages = [{ role: 'user', content: 'Once upon a time' }]
let failures = 0

async function test(name, run) {
  try {
    await run()
    console.log(`ok ${name}`)
  } catch (error) {
    failures++
    console.log(`not ok ${name}`)
    console.error(error)
  }
}

const collect = async (stream) => {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

await test('generate', async () => {
  const whole = await client.generate({ model, prompt: 'Once upon a time', options })
  assert.ok(whole.done && whole.response && whole.eval_count > 0 && whole.context.length > 0)
  const parts = await collect(await client.generate({ model, prompt: 'Once upon a time', options, stream: true }))
  assert.equal(parts.map((part) => part.response).join(''), whole.response)
  assert.ok(parts.at(-1).done)
  assert.equal((await client.generate({ model, prompt: '' })).done_reason, 'load')
})

await test('chat', async () => {
  const whole = await client.chat({ model, messages, options })
  assert.equal(whole.message.role, 'assistant')
  const parts = await collect(await client.chat({ model, messages, options, stream: true }))
  assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content)
  const scored = await client.chat({ model, messages, options, logprobs: true, top_logprobs: 2 })
  assert.equal(scored.logprobs[0].top_logprobs.length, 2)
})

await test('chat: a JSON schema is kept', async () => {
  const format = { type: 'object', properties: { age: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['age'], additionalProperties: false }
  const reply = await client.chat({ model, messages, format, options: { num_predict: 200, seed: 7 } })
  assert.ok(Number.isInteger(JSON.parse(reply.message.content).age))
})

await test('embed and embeddings', async () => {
  const { embeddings } = await client.embed({ model, input: ['The cat sat.', 'Rain fell.'] })
  assert.equal(embeddings.length, 2)
  assert.deepEqual((await client.embeddings({ model, prompt: 'The cat sat.' })).embedding, embeddings[0])
})

await test('models', async () => {
  const names = async () => (await client.list()).models.map((each) => each.name).sort()
  const before = await names()
  assert.ok(before.includes('demo:latest'))
  assert.ok((await client.show({ model })).details)
  await client.copy({ source: model, destination: 'twin' })
  await client.create({ model: 'brief', from: model, system: 'Be brief.' })
  assert.equal((await names()).length, before.length + 2)
  for (const name of ['twin', 'brief']) await client.delete({ model: name })
  assert.deepEqual(await names(), before)
  assert.ok((await client.ps()).models.some((each) => each.name === 'demo:latest'))
  assert.match((await client.version()).version, /^\d+\.\d+/)
})

await test('errors', async () => {
  await assert.rejects(client.chat({ model: 'nobody', messages }), { name: 'ResponseError', status_code: 404, message: /not found/ })
  await assert.rejects(client.generate({ model, prompt: 'a', options: { top_k: 'many' } }), { status_code: 400, message: /options\.top_k/ })
  await assert.rejects(client.chat({ model, messages, tools: [{ type: 'function', function: { name: 'f', description: '', parameters: {} } }] }), { status_code: 400, message: /does not support tools/ })
})

await test('abort', async () => {
  const long = { num_predict: -1, seed: 9 } // 181 tokens, which a fast machine or a late client may have whole before it aborts: then again
  const aborted = async () => {
    const stream = await client.generate({ model, prompt: 'Tell me a very long story.', options: long, stream: true })
    try {
      for await (const part of stream) if (part.response !== undefined) client.abort()
    } catch (error) {
      assert.equal(error.name, 'AbortError')
      return true
    }
    return false
  }
  let tries = 0
  while (!await aborted()) assert.ok(++tries < 20, 'no reply was aborted')
  assert.ok((await client.generate({ model, prompt: 'Hi', options })).done)
})

process.exit(failures > 0 ? 1 : 0)
