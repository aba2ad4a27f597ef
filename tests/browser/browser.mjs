// Chromium, and what the cases of the chat page share: a page per case, the server's own answer to compare with, waiting.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {join} from 'node:path';

const require = createRequire(join(process.env.HOTARU_PACKAGES, 'here.js'));
const {chromium} = require('playwright-core');
export const axe_path = require.resolve('axe-core/axe.min.js');
export const url = process.env.HOTARU_URL;

// Without these, Debian's Chromium looks for its maker's hosts at every start.
const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];

export function launch() {
  return chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: quiet});
}

// A reader of its own, with empty storage. Requests that leave the server and scripts that throw end up in `faults`.
export async function reader(browser, faults, options = {}) {
  const context = await browser.newContext({viewport: {width: 1100, height: 750}, ...options});
  context.setDefaultTimeout(15000);
  context.on('request', request => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).hostname !== '127.0.0.1') faults.push('asked for ' + request.url());
  });
  const page_file = process.env.HOTARU_PAGE;
  if (page_file) await context.route(/^http:..127.0.0.1:\d+.$/, route => route.fulfill({contentType: 'text/html; charset=utf-8', path: page_file}));
  context.on('weberror', error => faults.push('script: ' + error.error()));
  return context;
}
export async function open_page(context, address = url) {
  const page = await context.newPage();
  await page.goto(address + '/');
  await page.waitForFunction(() => document.querySelector('#model').options.length > 0);
  return page;
}

export async function set(page, values) {
  if (!await page.locator('details.settings').getAttribute('open').then(value => value !== null)) await page.click('details.settings summary');
  for (const [name, value] of Object.entries(values)) {
    await page.fill('#' + name, String(value));
    await page.locator('#' + name).dispatchEvent('change');
  }
}
export async function type(page, text) {
  await page.fill('#prompt', text);
  await page.press('#prompt', 'Enter');
}
export const idle = page => page.locator('#stop').waitFor({state: 'hidden'});
export async function chat(page, text) {
  await type(page, text);
  await idle(page);
}
// [{role, text}], as they stand on the page.
export function messages(page) {
  return page.locator('#log article').evaluateAll(articles => articles.map(article =>
    ({role: article.classList[0], text: article.querySelector(':scope > .text').textContent})));
}
export const texts = async page => (await messages(page)).map(message => message.text);
export const last_text = async page => (await texts(page)).at(-1);
export const press_button = (page, label) => page.getByRole('button', {name: label, exact: true}).click();

// What the server says to the same request without a browser.
export async function answer_of(model, options, ...contents) {
  const turns = contents.map((content, i) => ({role: i % 2 ? 'assistant' : 'user', content}));
  const response = await fetch(url + '/api/chat', {method: 'POST', body: JSON.stringify({model, options, messages: turns, stream: false})});
  return (await response.json()).message.content;
}
export async function running_requests() {
  const metrics = await (await fetch(url + '/metrics')).text();
  return [...metrics.matchAll(/^hotaru_running_requests\{.*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}
export async function soon(what, condition, timeout_ms = 10000) {
  for (const end = Date.now() + timeout_ms; Date.now() < end; await new Promise(resolve => setTimeout(resolve, 20))) if (await condition()) return;
  assert.fail('not within ' + timeout_ms + ' ms: ' + what);
}
