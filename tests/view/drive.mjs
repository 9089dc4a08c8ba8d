// Drives a headless Chromium: `report FILE OUT`, `paper FILE OUT`, or `view`, `seam` or `place` and URL OUT. Prints JSON. Every wait is bounded.
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

async function open(width, height, colorScheme, { hash = "", ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, acceptDownloads: true, ...more });
  context.setDefaultTimeout(WAIT);
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") told.errors.push(message.text()); });
  page.on("pageerror", (error) => told.errors.push(String(error)));
  page.on("request", (request) => { if (!/^(data|blob):/.test(request.url())) told.requests.push(request.url()); });
  stage = `opening at ${width}, ${colorScheme}`;
  await page.goto(address + hash);
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
  await page.press("#goto", "Enter");
  await page.waitForFunction((wanted) => document.getElementById("when").textContent.startsWith(wanted), hour);
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
  await goTo(page, "2019-03-08 10:00");
  told.missing = await page.locator("figure.map:visible .message").allTextContents();
  await goTo(page, "2019-03-08 17:00");
  told.stamps = await page.locator("figure.map:visible .stamp").allTextContents();
  stage = "writing times";
  told.words = [];
  for (const words of ["8.3.2019", "2019-02-30", "2019-03-08 25:00", "2019-03-08", "2019-03-08T16:20Z", "2031-01-01"]) {
    await page.fill("#goto", words);
    await page.press("#goto", "Enter");
    await page.waitForTimeout(100);
    told.words.push([await text(page, "#goto-note"), await page.getAttribute("#goto", "aria-invalid"), await text(page, "#when")]);
  }
  await goTo(page, "2019-03-08 17:00");
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
  stage = "opening the address again";
  const hash = await page.evaluate(() => location.hash);
  const same = await open(1280, 900, "light", { hash });
  await ready(same);
  await same.waitForFunction(() => / at .* at /.test(document.getElementById("series-note").textContent));
  const shown = async (one) => {
    const { x, y, width, height } = await one.locator("#ours").boundingBox();
    await settled(one);
    await one.mouse.move(x + width / 4, y + height / 4);
    return [await text(one, "#when"), await one.inputValue("#scale"), await text(one, "#series-note"), await text(one, "#readout")];
  };
  told.linked = [hash, await shown(page), await shown(same)];
  await same.context().close();
  const wrong = await open(1280, 900, "light", { hash: "#time=soon&at=north&span=-1&colours=5,1&place=1,2,3" });
  await ready(wrong);
  told.misled = [await text(wrong, "#when"), await text(wrong, "#goto-note")];
  await wrong.context().close();
  told.files = [];
  for (const id of ["netcdf", "png"]) {
    stage = `saving ${id}`;
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#${id}`)]);
    await download.saveAs(`${out}/saved_${id}`);
    told.files.push(download.suggestedFilename());
  }
  stage = "saving the original";
  await page.selectOption("#whose", "original");
  const [original] = await Promise.all([page.waitForEvent("download"), page.click("#netcdf")]);
  await original.saveAs(`${out}/saved_original`);
  told.files.push(original.suggestedFilename());
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

/**
 * Pans a globe of a smooth field by odd parts of pixels, so wide that it is drawn more than once: the largest step of any
 * colour from a pixel to the next, from west to east and from north to south.
 */
async function seam() {
  const page = await open(1003, 700, "light", { deviceScaleFactor: 1.5 });
  await page.route("**/api/lines?*", (route) => route.fulfill({ json: { coast: [], borders: [] } }));
  // Chromium gives a pixel that two pictures share to one of them; other browsers mix in what lies behind. So where the
  // pictures of the turns are put is looked at as well: edges in pixels of the screen.
  await page.addInitScript(() => {
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    window.edges = [];
    CanvasRenderingContext2D.prototype.drawImage = function (image, left, top, width, ...rest) {
      const { a, e } = this.getTransform();
      if (this.canvas.id === "ours" && image.width === 1440) window.edges.push([e + a * left, e + a * (left + width)]);
      return draw.call(this, image, left, top, width, ...rest);
    };
  });
  await page.reload();
  await ready(page);
  told.steps = [];
  const box = await page.locator("#ours").boundingBox();
  for (let k = 0; k < 4; k++) {
    stage = "panning";
    await page.mouse.move(box.x + box.width * 0.8, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6 - k / 3, box.y + 50, { steps: 4 });
    await page.mouse.up();
    await settled(page);
    (told.edges ??= []).push(await within("reading edges", page.evaluate(() => window.edges.slice(-2))));
    told.steps.push(await within("reading pixels", page.evaluate(() => {
      const canvas = document.getElementById("ours"), { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const found = { east: 0, south: 0 }, rim = 4; // beside the poles the map ends
      for (let y = rim; y < height - rim - 1; y++)
        for (let x = 0; x < width - 1; x++)
          for (let band = 0; band < 3; band++) {
            const at = 4 * (y * width + x) + band;
            found.east = Math.max(found.east, Math.abs(data[at] - data[at + 4]));
            found.south = Math.max(found.south, Math.abs(data[at] - data[at + 4 * width]));
          }
      return [found.east, found.south];
    })));
  }
  await page.screenshot({ path: `${out}/seam.png` });
}

/** What a report's folded parts measure on paper; none of them is unfolded. */
async function paper() {
  const page = await open(794, 1123, "light");
  await page.emulateMedia({ media: "print" });
  told.folded = await within("measuring", page.evaluate(() => [...document.querySelectorAll("details:not(.screen)")].map((one) => {
    const content = [...one.children].filter((child) => child.tagName !== "SUMMARY");
    return [one.open, Math.min(...content.map((child) => child.getBoundingClientRect().height)), content.every((child) => child.checkVisibility())];
  })));
  await page.pdf({ path: `${out}/report.pdf`, format: "A4" });
}

/** A place's hours over a year: what is asked for, and what is said at the end. */
async function place() {
  const page = await open(1000, 800, "dark");
  await ready(page);
  await page.evaluate(() => { document.getElementById("days").value = "366"; });
  const map = await page.locator("#ours").boundingBox();
  await page.mouse.click(map.x + map.width / 2, map.y + map.height / 2);
  told.during = await text(page, "#series-note");
  await page.waitForFunction(() => / at /.test(document.getElementById("series-note").textContent));
  told.note = await text(page, "#series-note");
  await page.screenshot({ path: `${out}/place.png`, fullPage: true });
}

try {
  await { report, view, seam, paper, place }[what]();
  console.log(JSON.stringify(told));
  await within("closing the browser", browser.close());
} catch (error) {
  give_up(String(error).split("\n")[0]);
}
process.exit(0);
