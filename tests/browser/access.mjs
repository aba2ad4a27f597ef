// For everyone: without a mouse, with a screen reader (axe-core), in both colour schemes, on a phone.
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {axe_path, chat, idle, last_text, open_page, press_button, set, soon, texts, type} from './browser.mjs';

const story = 'Tell me a story.';
const standards = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

async function no_violations(page, where) {
  await page.addScriptTag({path: axe_path});
  const {violations, passes} = await page.evaluate(tags => window.axe.run(document, {runOnly: {type: 'tag', values: tags}}), standards);
  assert.ok(passes.length > 10);
  assert.deepEqual(violations.map(v => `${where}: ${v.id}: ${v.nodes.map(node => node.html + ' ' + node.failureSummary).join('; ')}`), []);
}
const screenshot = (page, name) => page.screenshot({path: join(process.env.HOTARU_SCREENSHOTS, name + '.png')});

// A conversation with all that the page can show.
async function fill(page) {
  await set(page, {seed: 7, num_predict: 40});
  await page.selectOption('#model', 'tales');
  await page.selectOption('#adapter', 'holmes');
  await chat(page, 'Who stole the jewels?');
  await press_button(page, 'New chat');
  const code = 'A fence:\n```python\nprint("a line that is much longer than the page is wide, so that it has to be scrolled to be read to its end, at any width")\n```';
  await page.route('**/api/chat', route => route.fulfill({body: JSON.stringify({message: {content: code, thinking: 'Let me see.'}, done: true}) + '\n'}));
  await chat(page, 'Show me code.');
  await page.unroute('**/api/chat');
  await chat(page, story);
}
async function look(context, name) {
  const page = await open_page(context);
  await no_violations(page, 'empty');
  await fill(page);
  await page.click('details.settings summary');
  await screenshot(page, name);
  await no_violations(page, 'filled');
  await page.click('details.settings summary');
  await press_button(page, 'Edit message 3');
  await set(page, {temperature: -5});
  await chat(page, 'Tell me another.');
  await no_violations(page, 'refused edit');
  await screenshot(page, name + '-edit');
}
const background = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((a, b) => a + b));

// The names of what Tab reaches, once around.
async function tab_stops(page) {
  const stops = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate(() => {
      const e = document.activeElement;
      return e === document.body ? '' : e.id || e.ariaLabel || e.textContent;
    });
    if (stops.includes(name)) break;
    if (name) stops.push(name);  // between the last and the first there is the window
  }
  return stops;
}
async function tab_to(page, name) {
  for (let i = 0; i < 60; i++) {
    if (await page.evaluate(wanted => [document.activeElement.id, document.activeElement.ariaLabel].includes(wanted), name)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail('Tab does not reach ' + name);
}

async function fits(page) {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll('header *, form *, summary, #fresh, article, .tools button')]
      .filter(e => e.checkVisibility() && !e.closest('.hidden') && e.tagName !== 'OPTION').filter(e => e.getBoundingClientRect().right > width + 0.5);
    return [document.scrollingElement.scrollWidth, ...out.map(e => e.outerHTML.slice(0, 80))].join(' ').replace(String(width), '');
  });
  assert.equal(wide, '');
  const log = page.locator('#log');
  assert.ok(await log.evaluate(e => e.scrollWidth <= e.clientWidth));
  assert.ok(await log.evaluate(e => e.clientHeight) > 150, 'room for messages');
}

export const cases = {
  'axe-core, light': {colorScheme: 'light', play: context => look(context, 'light')},
  'axe-core, dark': {colorScheme: 'dark', play: context => look(context, 'dark')},

  'light, dark, and a choice that stays': {colorScheme: 'dark', async play(context) {
    const page = await open_page(context);
    assert.ok(await background(page) < 150);
    await page.emulateMedia({colorScheme: 'light'});
    assert.ok(await background(page) > 600);
    await press_button(page, 'Dark colours');
    assert.ok(await background(page) < 150);
    await page.reload();
    assert.ok(await background(page) < 150);
    await press_button(page, 'Light colours');
    assert.ok(await background(page) > 600);
  }},

  'the keyboard is enough': {async play(context) {
    const page = await open_page(context);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'prompt');
    await tab_to(page, 'model');
    await page.keyboard.type('tales');
    assert.equal(await page.inputValue('#model'), 'tales');
    await tab_to(page, 'adapter');
    await page.keyboard.type('holmes');
    assert.equal(await page.inputValue('#adapter'), 'holmes');
    await page.keyboard.press('Tab');
    await page.focus('summary');
    await page.keyboard.press('Enter');
    await tab_to(page, 'temperature');
    await page.keyboard.type('5');
    await tab_to(page, 'seed');
    await page.keyboard.type('1');
    await tab_to(page, 'prompt');
    await page.keyboard.type('One line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('and another');
    await page.keyboard.press('Enter');
    await soon('the first words', async () => (await last_text(page)).length > 20);
    await page.keyboard.press('Escape');
    await idle(page);
    assert.equal((await texts(page))[0], 'One line\nand another');
    await tab_to(page, 'num_predict');
    await page.keyboard.type('8');
    const stops = await tab_stops(page);
    const all = await page.locator('button, select, input, textarea, summary').evaluateAll(list => list
      .filter(e => e.checkVisibility() && !e.disabled).map(e => e.id || e.ariaLabel || e.textContent));
    assert.deepEqual(all.filter(name => !stops.includes(name)), []);
    await tab_to(page, 'Retry answer 2');
    await page.keyboard.press('Space');
    await idle(page);
    await tab_to(page, 'Edit message 1');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'prompt');
    await page.keyboard.press('Escape');
    assert.ok(await page.locator('#editing').isHidden());
    await tab_to(page, 'fresh');
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('#log article').count(), 0);
    await page.keyboard.type(story);
    await page.keyboard.press('Enter');
    await idle(page);
    await tab_to(page, 'Delete conversation: ' + story);
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('#chats li').count(), 1);
    assert.ok(await page.evaluate(() => document.activeElement !== document.body));
  }},

  'a phone': {viewport: {width: 320, height: 640}, hasTouch: true, async play(context) {
    const page = await open_page(context);
    await fits(page);
    await fill(page);
    await page.click('details.settings summary');
    await type(page, 'W'.repeat(200));
    await idle(page);
    await fits(page);
    await no_violations(page, 'phone');
    await screenshot(page, 'phone');
    await press_button(page, 'Edit message 1');
    await fits(page);
  }},
};
