// What a reader sees when something goes wrong, and that texts are never markup.
import assert from 'node:assert/strict';
import {chat, last_text, open_page, set, soon, texts, type} from './browser.mjs';

const lines = (...parts) => parts.map(part => JSON.stringify(part) + '\n').join('');
// The server's answer, made up.
const answers = (page, body) => page.route('**/api/chat', route => route.fulfill({contentType: 'application/x-ndjson', body}));
const problem = page => page.locator('#problem').textContent();

export const cases = {
  'a refusal is said and the text stays': {async play(context) {
    const page = await open_page(context);
    await set(page, {top_p: 7});
    await chat(page, 'Tell me a story.');
    assert.match(await problem(page), /'options\.top_p': got 7/);
    assert.equal(await page.inputValue('#prompt'), 'Tell me a story.');
    await set(page, {top_p: '', num_predict: 4});
    await page.press('#prompt', 'Enter');
    await soon('it is sent again', async () => (await texts(page)).length === 2);
    assert.equal(await problem(page), '');
  }},

  'no server': {async play(context) {
    const page = await open_page(context);
    await context.setOffline(true);
    await chat(page, 'Is there anybody?');
    assert.match(await problem(page), /does not answer/);
    assert.equal(await page.inputValue('#prompt'), 'Is there anybody?');
    await soon('the figures say it too', async () => /does not answer/.test(await page.locator('#figures').textContent()));
  }},

  'a server that comes later': {async play(context) {
    const page = await context.newPage();
    await page.route('**/hotaru/v1/**', route => route.abort());
    await page.goto(process.env.HOTARU_URL + '/');
    await soon('it is said', async () => /does not answer/.test(await problem(page)));
    assert.ok(await page.locator('#send').isDisabled());
    await page.fill('#prompt', 'A draft');
    await page.unroute('**/hotaru/v1/**');
    await soon('the models are there', async () => await page.locator('#model option').count() > 0);
    assert.ok(await page.locator('#send').isEnabled());
    assert.equal(await page.inputValue('#prompt'), 'A draft');
    assert.equal(await problem(page), '');
  }},

  'an answer that breaks off': {async play(context) {
    const page = await open_page(context);
    await answers(page, lines({message: {content: 'Once upon'}}, {error: 'the device is gone'}));
    await chat(page, 'One');
    assert.equal(await last_text(page), 'Once upon');
    assert.equal(await page.locator('article .error').textContent(), 'the device is gone');
    await page.unroute('**/api/chat');
    await answers(page, lines({message: {content: 'Once upon'}}));
    await chat(page, 'Two');
    assert.match(await page.locator('article .error').last().textContent(), /too early/);
    await page.reload();
    await soon('both are kept', async () => (await texts(page)).length === 4);
    assert.equal(await page.locator('article .error').count(), 2);
  }},

  'a key': {async play(context) {
    const page = await context.newPage(), given = ['wrong', 'secret'];
    page.on('dialog', dialog => dialog.accept(given.shift()));
    await page.goto(process.env.HOTARU_LOCKED_URL + '/');
    await soon('the models are there', async () => await page.locator('#model option').count() > 0);
    assert.equal(given.length, 0);
    await set(page, {num_predict: 4});
    await chat(page, 'Tell me a story.');
    assert.equal((await texts(page)).length, 2);
  }},

  'no key': {async play(context) {
    const page = await context.newPage();
    let asked = 0;
    page.on('dialog', dialog => { asked++; dialog.dismiss(); });
    await page.goto(process.env.HOTARU_LOCKED_URL + '/');
    await soon('it is said', async () => /key/i.test(await problem(page)));
    await page.waitForTimeout(2500);  // the page goes on asking the server, not the reader
    assert.equal(asked, 1);
  }},

  'texts are no markup': {async play(context) {
    const page = await open_page(context);
    const evil = '<img src=x onerror="window.hit = 1"><b>bold</b>';
    await answers(page, lines({message: {content: evil + '\n```js\nlet a = 1;\n```\nEnd', thinking: evil}}, {message: {content: ''}, done: true}));
    await chat(page, evil);
    assert.equal((await texts(page))[0], evil);
    assert.equal(await page.locator('#log img, #log b').count(), 0);
    assert.equal(await page.locator('#log pre').textContent(), 'let a = 1;\n');
    assert.equal(await page.locator('#chats img').count(), 0);
    assert.equal(await page.locator('#log details .text').last().textContent(), evil);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  }},

  'a model that has gone': {async play(context) {
    const page = await open_page(context);
    await set(page, {num_predict: 4});
    await chat(page, 'Tell me a story.');
    await page.evaluate(() => {
      const name = Object.keys(localStorage).find(key => key.startsWith('hotaru.chat.'));
      localStorage.setItem(name, JSON.stringify({...JSON.parse(localStorage.getItem(name)), model: 'gone'}));
      window.addEventListener('pagehide', event => event.stopImmediatePropagation(), true);
    });
    const other = await open_page(context);
    assert.match(await problem(other), /'gone' is not in the store any more/);
    await type(other, 'Go on.');
    await soon('another answers', async () => (await texts(other)).length === 4);
  }},
};
