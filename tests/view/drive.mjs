// Drives a headless Chromium: `report FILE OUT` opens a report at two widths; `view URL OUT` uses the map. Prints JSON.
import { createRequire } from "node:module";
const { chromium } = createRequire(process.env.PLAYWRIGHT_AT + "/")("playwright-core");
const [what, address, out] = process.argv.slice(2);
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launchPersistentContext(`${out}/profile`,
  { executablePath: process.env.CHROMIUM, headless: true, args: flags, acceptDownloads: true });
const page = await browser.newPage();
const told = { errors: [], requests: [] };
page.on("console", (message) => { if (message.type() === "error") told.errors.push(message.text()); });
page.on("pageerror", (error) => told.errors.push(String(error)));
page.on("request", (request) => { if (!/^(data|blob):/.test(request.url())) told.requests.push(request.url()); });
if (what === "report") {
  told.widths = [];
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto(address);
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
    told.widths.push(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth));
    told.images = await page.evaluate(async () => {
      await Promise.all([...document.images].map((one) => one.decode()));
      return [...document.images].map((one) => [one.naturalWidth, one.alt.length]);
    });
    await page.screenshot({ path: `${out}/report_${width}.png`, fullPage: true });
  }
} else {
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(address);
  await page.waitForSelector("body[data-ready=yes]", { timeout: 60000 });
  const pixels = () => page.evaluate(() => {
    const canvas = document.getElementById("ours");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + 7 * data[i + 1]) % 1000000007;
    return sum;
  });
  const settled = async () => { await page.waitForLoadState("networkidle"); await page.waitForTimeout(500); return pixels(); };
  told.maps = await page.locator("figure.map:visible").count();
  told.start = await settled();
  told.before = await page.textContent("#when");
  await page.click("#play");
  await page.waitForTimeout(2500);
  await page.click("#play");
  told.after = await page.textContent("#when");
  told.played = await settled();
  const box = await page.locator("#ours").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  for (let i = 0; i < 3; i++) await page.mouse.wheel(0, -300);
  told.zoomed = await settled();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction(() => / at .* at /.test(document.getElementById("series-note").textContent), null, { timeout: 60000 });
  told.note = await page.textContent("#series-note");
  told.files = [];
  for (const id of ["netcdf", "png"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#${id}`)]);
    await download.saveAs(`${out}/saved_${id}`);
    told.files.push(download.suggestedFilename());
  }
  await page.screenshot({ path: `${out}/view.png`, fullPage: true });
  await page.uncheck("#compare");
  told.alone = await page.locator("figure.map:visible").count();
  await page.setViewportSize({ width: 390, height: 844 });
  await settled();
  told.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await page.screenshot({ path: `${out}/view_phone.png`, fullPage: true });
}
console.log(JSON.stringify(told));
await browser.close();
