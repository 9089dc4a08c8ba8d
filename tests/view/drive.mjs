// Drives a headless Chromium: `report FILE OUT`, `view URL OUT` or `seam URL OUT`. Prints JSON. Every wait is bounded.
import { createRequire } from "node:module";
const { chromium } = createRequire(process.env.PLAYWRIGHT_AT + "/")("playwright-core");
const [what, address, out] = process.argv.slice(2);

let stage = "starting the browser";
const WAIT = 60000;
const give_up = (why) => { console.error(`while ${stage}: ${why}`); process.exit(3); };
setTimeout(() => give_up("took too long"), 200000);
/** Playwright bounds its own waits, but not what a page is asked to evaluate. */
const within = (doing, promise) => {
  stage = doing;
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${doing}: no answer`)), WAIT); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// A page that counts as hidden draws nothing: then pictures are never decoded and animation frames never come.
const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
  "--disable-component-update", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
  "--disable-background-timer-throttling", "--disable-dev-shm-usage"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args, timeout: WAIT });
const told = { errors: [], requests: [] };

async function open(width, height, colorScheme, more = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, acceptDownloads: true, ...more });
  context.setDefaultTimeout(WAIT);
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") told.errors.push(message.text()); });
  page.on("pageerror", (error) => told.errors.push(String(error)));
  page.on("request", (request) => { if (!/^(data|blob):/.test(request.url())) told.requests.push(request.url()); });
  stage = `opening at ${width}, ${colorScheme}`;
  await page.goto(address);
  return page;
}
const overflow = (page) => within("measuring", page.evaluate(() => document.documentElement.scrollWidth - innerWidth));

async function report() {
  told.widths = [];
  for (const [width, scheme] of [[390, "dark"], [320, "light"], [1280, "light"]]) {
    const page = await open(width, 900, scheme);
    await within("unfolding", page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; })));
    told.widths.push(await overflow(page));
    told.images = await within("decoding pictures", page.evaluate(async () => {
      await Promise.all([...document.images].map((one) => one.decode()));
      return [...document.images].map((one) => [one.naturalWidth, one.alt.length]);
    }));
    stage = "taking a picture";
    await page.screenshot({ path: `${out}/report_${width}.png`, fullPage: true });
    await page.context().close();
  }
}

const pixels = (page) => within("reading pixels", page.evaluate(() => {
  const canvas = document.getElementById("ours");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + 7 * data[i + 1]) % 1000000007;
  return sum;
}));
const ready = (page) => { stage = "waiting for the map"; return page.waitForSelector("body[data-ready=yes]"); };
/** Two looks that are the same: what was asked for has come and is drawn. */
async function settled(page) {
  let before = -1;
  for (let k = 0; k < 100; k++) {
    const now = await pixels(page);
    if (now === before) return now;
    before = now;
    await page.waitForTimeout(400);
  }
  throw new Error("the map never comes to rest");
}
const text = (page, where) => page.textContent(where);
async function goTo(page, hour) {
  stage = `going to ${hour}`;
  await page.fill("#goto", hour);
  await page.waitForFunction((wanted) => document.getElementById("when").textContent.startsWith(wanted), hour.replace("T", " "));
  await settled(page);
}

async function view() {
  const page = await open(1280, 900, "light");
  await ready(page);
  told.maps = await page.locator("figure.map:visible").count();
  told.start = await settled(page);
  told.before = await text(page, "#when");
  stage = "playing";
  await page.click("#play");
  await page.waitForFunction((before) => document.getElementById("when").textContent !== before, told.before);
  await page.click("#play");
  told.after = await text(page, "#when");
  told.played = await settled(page);
  await goTo(page, "2019-03-08T10:00");
  told.missing = await page.locator("figure.map:visible .message").allTextContents();
  await goTo(page, "2019-03-08T17:00");
  told.stamps = await page.locator("figure.map:visible .stamp").allTextContents();
  stage = "choosing a scale";
  const before = await settled(page);
  await page.selectOption("#scale", "guideline");
  told.rescaled = (await settled(page)) !== before;
  stage = "zooming";
  const box = await page.locator("#ours").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  for (let i = 0; i < 3; i++) await page.mouse.wheel(0, -300);
  told.zoomed = await settled(page);
  told.readout = await text(page, "#readout");
  stage = "clicking";
  await page.mouse.click(x, y);
  await page.waitForFunction(() => / at .* at /.test(document.getElementById("series-note").textContent));
  told.note = await text(page, "#series-note");
  told.files = [];
  for (const id of ["netcdf", "png"]) {
    stage = `saving ${id}`;
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#${id}`)]);
    await download.saveAs(`${out}/saved_${id}`);
    told.files.push(download.suggestedFilename());
  }
  stage = "taking a picture";
  await page.screenshot({ path: `${out}/view.png`, fullPage: true });
  await page.uncheck("#compare");
  told.alone = await page.locator("figure.map:visible").count();
  await page.context().close();
  told.overflow = [];
  for (const width of [320, 390]) {
    const phone = await open(width, 844, "dark", { hasTouch: true });
    await ready(phone);
    await settled(phone);
    const map = await phone.locator("#ours").boundingBox();
    stage = "tapping";
    await phone.touchscreen.tap(map.x + map.width / 2, map.y + map.height / 2);
    await phone.waitForFunction(() => / at .* at /.test(document.getElementById("series-note").textContent));
    told.overflow.push(await overflow(phone));
    await phone.screenshot({ path: `${out}/view_${width}.png`, fullPage: true });
    await phone.context().close();
  }
}

/** Pans a globe of one value by odd parts of pixels: the colours in a row of pixels without coast. */
async function seam() {
  const page = await open(1003, 700, "light", { deviceScaleFactor: 1.5 });
  await ready(page);
  told.colours = [];
  const box = await page.locator("#ours").boundingBox();
  for (let k = 0; k < 3; k++) {
    stage = "panning";
    await page.mouse.move(box.x + box.width * 0.8, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5 - k / 3, box.y + 50, { steps: 4 });
    await page.mouse.up();
    await settled(page);
    told.colours.push(await within("reading pixels", page.evaluate(() => {
      const canvas = document.getElementById("ours");
      const row = Math.round((canvas.height * (90 + 61)) / 180);
      const { data } = canvas.getContext("2d").getImageData(0, row, canvas.width, 1);
      const found = new Set();
      for (let i = 0; i < data.length; i += 4) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
      return [...found];
    })));
  }
  await page.screenshot({ path: `${out}/seam.png` });
}

try {
  await { report, view, seam }[what]();
  console.log(JSON.stringify(told));
  await within("closing the browser", browser.close());
} catch (error) {
  give_up(String(error).split("\n")[0]);
}
process.exit(0);
