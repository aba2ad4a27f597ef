// Runs the cases of this folder, each with a fresh reader; prints "ok NAME" or "not ok NAME" with the reason. Arguments: parts of names.
import {launch, reader} from './browser.mjs';
import {cases as chats} from './chats.mjs';
import {cases as failures} from './failures.mjs';
import {cases as access} from './access.mjs';

const wanted = process.argv.slice(2);
const browser = await launch();
let failed = 0;
for (const [name, {play, ...options}] of Object.entries({...chats, ...failures, ...access})) {
  if (wanted.length && !wanted.some(part => name.includes(part))) continue;
  const start = performance.now(), faults = [], context = await reader(browser, faults, options);
  try {
    await play(context);
  } catch (error) {
    faults.push(error.stack);
  }
  await context.close();
  if (faults.length) failed++;
  console.log(faults.length ? `not ok ${name}\n  ${faults.join('\n  ')}` : `ok ${name}, ${((performance.now() - start) / 1e3).toFixed(1)} s`);
}
await browser.close();
process.exitCode = failed ? 1 : 0;
