// Chats: the model answers, is stopped, asked again, asked something else; conversations stay.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {answer_of, chat, idle, last_text, messages, open_page, press_button, running_requests, set, soon, texts, type, url} from './browser.mjs';

const short = {seed: 7, num_predict: 24};
const long = {seed: 1, temperature: 5};  // the words come at random, their end comes late: seconds of work
const story = 'Tell me a story.';

async function begin_long(page) {
  await set(page, long);
  await type(page, story);
  await soon('the first words', async () => (await last_text(page)).length > 20);
}
const cut_requests = () => (readFileSync(process.env.HOTARU_LOG, 'utf8').match(/ POST \/api\/chat .* cut$/gm) ?? []).length;

export const cases = {
  'the models, and their adapters': {async play(context) {
    const page = await open_page(context);
    const options = id => page.locator(id + ' option').allTextContents();
    assert.deepEqual((await options('#model')).sort(), ['demo', 'tales']);
    await page.selectOption('#model', 'demo');
    assert.ok(await page.locator('#adapter').isDisabled());
    await page.selectOption('#model', 'tales');
    assert.deepEqual((await options('#adapter')).sort(), ['fairytale', 'holmes', 'no adapter']);
    await page.selectOption('#adapter', 'holmes');
    await set(page, short);
    await chat(page, story);
    const with_adapter = await last_text(page);
    assert.equal(with_adapter, await answer_of('tales:holmes', short, story));
    await page.selectOption('#adapter', '');
    await press_button(page, 'Retry answer 2');
    await idle(page);
    assert.equal(await last_text(page), await answer_of('tales', short, story));
    assert.notEqual(await last_text(page), with_adapter);
  }},

  'a model that comes later is found': {async play(context) {
    const page = await open_page(context);
    const copy = {source: 'demo', destination: 'second'};
    await fetch(url + '/api/copy', {method: 'POST', body: JSON.stringify(copy)});
    try {
      await soon('the copy is listed', async () => (await page.locator('#model option').allTextContents()).includes('second'));
    } finally {
      await fetch(url + '/api/delete', {method: 'DELETE', body: JSON.stringify({model: 'second'})});
    }
    await soon('it is gone again', async () => !(await page.locator('#model option').allTextContents()).includes('second'));
  }},

  'an answer streams': {async play(context) {
    const page = await open_page(context);
    await page.evaluate(() => {
      window.lengths = new Set();
      new MutationObserver(() => window.lengths.add(document.querySelector('#log').textContent.length))
        .observe(document.querySelector('#log'), {subtree: true, childList: true, characterData: true});
    });
    await set(page, {seed: 7, num_predict: 60});
    await page.selectOption('#model', 'demo');
    await chat(page, story);
    assert.equal(await last_text(page), await answer_of('demo', {seed: 7, num_predict: 60}, story));
    assert.ok(await page.evaluate(() => window.lengths.size) > 10);
    assert.match(await page.locator('article.assistant .tools').textContent(), /60 tokens, [\d.]+ tokens\/s, cut by the limit/);
  }},

  'stop': {async play(context) {
    const page = await open_page(context), cut = cut_requests();
    await begin_long(page);
    await page.click('#stop');
    await idle(page);
    const text = await last_text(page);
    assert.match(await page.locator('article.assistant .tools').textContent(), /stopped/);
    await soon('the server has noticed', () => cut_requests() === cut + 1);
    await soon('nothing runs', async () => await running_requests() === 0);
    assert.equal(await last_text(page), text);
    await set(page, {...short, temperature: ''});
    await chat(page, 'Go on.');
    assert.equal((await messages(page)).length, 4);
  }},

  'edit': {async play(context) {
    const page = await open_page(context);
    await set(page, short);
    await chat(page, story);
    await chat(page, 'Go on.');
    const before = await texts(page);
    await page.fill('#prompt', 'A draft');
    await press_button(page, 'Edit message 1');
    assert.equal(await page.inputValue('#prompt'), story);
    assert.deepEqual(await texts(page), before);
    await page.press('#prompt', 'Escape');
    assert.deepEqual(await texts(page), before);
    assert.equal(await page.inputValue('#prompt'), 'A draft');
    await press_button(page, 'Edit message 1');
    await chat(page, 'Who are you?');
    const model = await page.inputValue('#model');
    assert.deepEqual(await texts(page), ['Who are you?', await answer_of(model, short, 'Who are you?')]);
    assert.equal(await page.inputValue('#prompt'), 'A draft');
  }},

  'what an edit would replace stays until there is an answer': {async play(context) {
    const page = await open_page(context);
    await set(page, short);
    await chat(page, story);
    await chat(page, 'Go on.');
    const before = await texts(page);
    const kept = async () => {
      assert.deepEqual(await texts(page), before);
      assert.equal(await page.inputValue('#prompt'), 'Who are you?');
      assert.ok(await page.locator('#editing').isVisible());
    };
    await press_button(page, 'Edit message 1');
    await set(page, {temperature: -5});
    await chat(page, 'Who are you?');
    await kept();
    assert.match(await page.locator('#problem').textContent(), /temperature.*-5/);
    await set(page, {temperature: ''});
    await page.route('**/api/chat', () => {});  // never answered
    await type(page, 'Who are you?');
    await page.locator('#stop').waitFor();
    await page.keyboard.press('Escape');
    await idle(page);
    await kept();
    await type(page, 'Who are you?');
    await page.locator('#stop').waitFor();
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll('#log article').length === 4);
    assert.deepEqual(await texts(page), before);
    await page.unroute('**/api/chat');
    await set(page, {num_predict: 0.5});
    await press_button(page, 'Retry answer 2');
    await idle(page);
    assert.deepEqual(await texts(page), before);
    assert.match(await page.locator('#problem').textContent(), /num_predict/);
  }},

  'an answer again': {async play(context) {
    const page = await open_page(context);
    await set(page, short);
    await chat(page, story);
    const first = await last_text(page), model = await page.inputValue('#model');
    await set(page, {seed: 8});
    await press_button(page, 'Retry answer 2');
    await idle(page);
    assert.notEqual(await last_text(page), first);
    assert.deepEqual(await texts(page), [story, await answer_of(model, {...short, seed: 8}, story)]);
  }},

  'two pages at the same time': {async play(context) {
    const pages = [await open_page(context), await open_page(context)];
    const both = soon('both run', async () => await running_requests() === 2);
    await Promise.all([both, ...pages.map(begin_long)]);
    await Promise.all(pages.map(page => page.keyboard.press('Escape')));
    await Promise.all(pages.map(idle));
    for (const page of pages) {
      await set(page, {...short, temperature: ''});
      await press_button(page, 'New chat');
    }
    await Promise.all(pages.map((page, i) => chat(page, 'Page ' + i)));
    for (const [i, page] of pages.entries()) {
      assert.equal(await last_text(page), await answer_of(await page.inputValue('#model'), short, 'Page ' + i));
      const names = page.locator('#chats li button:first-child');
      await soon('each lists the other\'s conversations', async () => await names.count() === 4);
      await page.reload();
      await soon('also after a reload', async () => await names.count() === 4);
    }
  }},

  'two chats of one page at the same time': {async play(context) {
    const page = await open_page(context);
    await begin_long(page);
    const both = soon('both run', async () => await running_requests() === 2);
    await press_button(page, 'New chat');
    await Promise.all([both, begin_long(page)]);
    await page.keyboard.press('Escape');
    await idle(page);
    await page.locator('#chats li:nth-child(2) button').first().click();
    await page.keyboard.press('Escape');
    await idle(page);
    await soon('nothing runs', async () => await running_requests() === 0);
    assert.equal(await page.locator('#log article').count(), 2);
  }},

  'parameters are sent and stay': {async play(context) {
    const page = await open_page(context);
    const options = {temperature: 0.3, top_p: 0.9, top_k: 20, repeat_penalty: 1.1, num_predict: 8, seed: 5};
    await set(page, {...options, system: 'You are a pirate.'});
    const asked = page.waitForRequest('**/api/chat');
    await chat(page, story);
    const body = (await asked).postDataJSON();
    assert.deepEqual(body.options, options);
    assert.deepEqual(body.messages, [{role: 'system', content: 'You are a pirate.'}, {role: 'user', content: story}]);
    await page.reload();
    for (const [name, value] of Object.entries(options)) assert.equal(await page.inputValue('#' + name), String(value));
    assert.equal(await page.inputValue('#system'), 'You are a pirate.');
  }},

  'conversations stay': {async play(context) {
    const page = await open_page(context);
    await page.selectOption('#model', 'tales');
    await page.selectOption('#adapter', 'fairytale');
    await set(page, short);
    await chat(page, story);
    await press_button(page, 'New chat');
    await page.selectOption('#adapter', '');
    await chat(page, 'Another one.');
    const second = await texts(page);
    await page.fill('#prompt', 'A draft');
    await page.reload();
    await soon('the last one is open', async () => JSON.stringify(await texts(page)) === JSON.stringify(second));
    assert.equal(await page.inputValue('#prompt'), 'A draft');
    await press_button(page, 'Open conversation: ' + story);
    assert.equal((await texts(page))[0], story);
    assert.equal(await page.inputValue('#adapter'), 'fairytale');
    await press_button(page, 'Delete conversation: ' + story);
    await page.reload();
    await soon('the other is left', async () => JSON.stringify(await texts(page)) === JSON.stringify(second));
    assert.equal(await page.locator('#chats li').count(), 1);
  }},

  'speed and memory': {async play(context) {
    const page = await open_page(context);
    await set(page, short);
    await chat(page, story);
    await soon('both stand there', async () => {
      const device = await (await fetch(url + '/hotaru/v1/device')).json();
      const wanted = `${(device.used_bytes / 2 ** 20).toFixed(1)} MiB in use, ${device.models.length} loaded`;
      const text = await page.locator('#figures').textContent();
      return /^[\d.]+ tokens\/s · /.test(text) && text.endsWith(wanted);
    });
  }},
};
