// Steps and jumps on the page itself: node benchmarks/view_in_browser.mjs URL; milliseconds until both maps are drawn.
import { createRequire } from "node:module";
const { chromium } = createRequire(process.env.PLAYWRIGHT_AT + "/")("playwright-core");
const [address, rounds] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
setTimeout(() => { console.error("the page took too long"); process.exit(3); }, 170000);
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
await page.goto(address);
await page.waitForSelector("body[data-ready=yes]");

const measure = (hours) => page.evaluate(async (hours) => {
  const found = [], goTo = document.getElementById("goto"), { fields } = await (await fetch("api/about")).json();
  const first = fields.ours.minutes[0] * 60e3;
  const text = (hour) => new Date(first + hour * 3600e3).toISOString().slice(0, 16).replace("T", " ");
  const stamps = () => [...document.querySelectorAll(".stamp")].map((one) => one.textContent);
  for (const hour of hours) {
    const wanted = [text(Math.floor(hour / 3) * 3), text(hour)].map((one) => `${one} UTC`);
    const began = performance.now();
    goTo.value = text(hour);
    goTo.dispatchEvent(new Event("change"));
    while (!stamps().every((one, k) => one.endsWith(wanted[k]))) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (performance.now() - began > 30000) throw new Error(`${wanted}: never shown`);
    }
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
    found.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return found;
}, hours);

const last = await page.evaluate(() => Number(document.getElementById("slider").max));
let seed = 7;
const draw = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const jumps = Array.from({ length: Number(rounds) }, () => Math.floor(draw() * last));
const start = Math.floor(last / 2);
const found = { "on the page: jump": await measure(jumps), "on the page: step": await measure(jumps.map((_, k) => start + k)) };
console.log(JSON.stringify(found));
await browser.close();
process.exit(0);
