// Open WebUI at OPEN_WEBUI_URL with a Hotaru server behind it: what its users do. Run by tests/clients/open_webui.sh.
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {answer_of, launch, reader, running_requests, soon, url} from './browser.mjs';

const home = process.env.OPEN_WEBUI_URL;
const patience_ms = 120000;
const faults = [];
const browser = await launch();
const context = await reader(browser, faults, {viewport: {width: 1200, height: 800}});
context.setDefaultTimeout(patience_ms);

async function open_page(model) {
  const page = await context.newPage();
  await page.goto(home + (model ? '/?model=' + encodeURIComponent(model) : '/'));
  await page.locator('#chat-input').waitFor();
  const news = page.getByRole('button', {name: /let's go/i});
  if (await news.waitFor({timeout: 4000}).then(() => true, () => false)) await news.click();
  if (model) await page.getByRole('button', {name: 'Selected model: ' + model}).waitFor();
  return page;
}
// A model of Open WebUI's that is ours with parameters of its own.
async function add_model(page, name, params) {
  const body = JSON.stringify({id: name, name, base_model_id: 'demo:latest', meta: {capabilities: {builtin_tools: false}}, params, is_active: true});
  const status = await page.evaluate(async text => (await fetch('/api/v1/models/create', {method: 'POST', body: text,
    headers: {'Content-Type': 'application/json', Authorization: 'Bearer ' + localStorage.token}})).status, body);
  assert.equal(status, 200);
}
async function send(page, text) {
  await page.locator('#chat-input').click();
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}
const answer = page => page.locator('#response-content-container').last();
const words = text => text.replace(/\s+/g, ' ').trim();
const press = (page, name, timeout = patience_ms) => page.getByRole('button', {name, exact: true}).last().click({timeout});
const is_complete = page => page.getByRole('button', {name: 'Regenerate', exact: true}).last().waitFor();
async function chat(page, text) {
  await send(page, text);
  await is_complete(page);
  return words(await answer(page).innerText());
}
async function begin_long(page) {
  await send(page, 'Count the stars.');
  await soon('the first words', async () => await answer(page).count() > 0 && (await answer(page).innerText()).length > 20, patience_ms);
}
async function chat_requests() {
  const metrics = await (await fetch(url + '/metrics')).text();
  return Number(/^hotaru_http_requests_total\{.*route="\/api\/chat",status="200"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}
async function generated_tokens() {
  const metrics = await (await fetch(url + '/metrics')).text();
  return Number(/^hotaru_generated_tokens_total\{model="demo:latest"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

let failed = 0;
async function check(name, play) {
  faults.length = 0;
  try { await play(); } catch (error) { faults.push(error.stack); }
  const strays = faults.filter(fault => !fault.startsWith('script: '));  // its scripts are its own matter
  if (strays.length) failed++;
  console.log(strays.length ? `not ok open webui: ${name}\n  ${strays.join('\n  ')}` : `ok open webui: ${name}`);
}

let page;
await check('its list has the models', async () => {
  page = await open_page();
  await page.locator('#model-selector-model-button').click();
  await page.getByLabel('Select demo:latest model', {exact: true}).click();
  await page.getByRole('button', {name: 'Selected model: demo:latest'}).waitFor();
});
await check('a chat', async () => {
  assert.ok((await chat(page, 'Tell me a story.')).length > 20);
});
await check('another answer', async () => {
  const before = await chat_requests(), text = words(await answer(page).innerText());
  await press(page, 'Regenerate');
  const again = page.getByText('Try Again', {exact: true});
  if (await again.waitFor({timeout: 3000}).then(() => true, () => false)) await again.click();
  await soon('the server was asked', async () => await chat_requests() > before, patience_ms);
  await is_complete(page);
  assert.notEqual(words(await answer(page).innerText()), text);
});
await page.screenshot({path: join(process.env.HOTARU_SCREENSHOTS, 'open_webui.png')});
await check('parameters: the same seed gives the same text', async () => {
  await add_model(page, 'seventh', {seed: 7, max_tokens: 40});
  const other = await open_page('seventh');
  const text = await chat(other, 'Tell me a story.');
  assert.ok(text.includes(words(await answer_of('demo', {seed: 7, num_predict: 40}, 'Tell me a story.'))), text);
  await other.close();
});
await check('stop', async () => {
  await add_model(page, 'stars', {seed: 1, temperature: 5});  // 2,000 tokens that come at random
  const before = await generated_tokens(), other = await open_page('stars');
  await begin_long(other);
  await press(other, 'Stop');
  await is_complete(other);
  await soon('nothing runs', async () => await running_requests() === 0);
  assert.ok(await generated_tokens() - before < 2000);
  await other.close();
});
await check('two chats at the same time', async () => {
  const pages = [await open_page('stars'), await open_page('stars')];
  const both = soon('both run', async () => await running_requests() === 2, patience_ms);
  await Promise.all([both, ...pages.map(begin_long)]);
  for (const other of pages) await press(other, 'Stop', 5000).catch(() => {});  // unless it has come to its end meanwhile
  await Promise.all(pages.map(is_complete));
  await soon('nothing runs', async () => await running_requests() === 0);
  for (const other of pages) await other.close();
});
await browser.close();
process.exitCode = failed ? 1 : 0;
