import { Chart } from "./chart.js";
import { Colours, FieldMap, View } from "./map.js";

const $ = (id) => document.getElementById(id);
const UNITS = "µg m⁻³";
const stamp = (minute) => new Date(minute * 60000).toISOString().slice(0, 16).replace("T", " ");
const query = (values) => new URLSearchParams(values).toString();

let about, view, colours, chart, minutes;
let index = 0, playing = false, place = null, drawn = false;
const maps = {};
const stations = [];

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

async function ask(path, values, signal) {
  const answer = await fetch(`api/${path}?${query(values)}`, { signal });
  if (!answer.ok) {
    let text = `the server answered ${answer.status}`;
    try { text = (await answer.json()).error; } catch { /* it was no JSON */ }
    throw new Error(text);
  }
  return answer;
}

/** Every map shows the same place; only those that are seen are asked for. */
const seen = () => Object.values(maps).filter((map) => !map.canvas.parentElement.hidden);

function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    for (const map of seen()) {
      map.marks = stations.concat(place ? [{ ...place, kind: "place" }] : []);
      map.draw();
    }
  });
}

/** Whether a frame of the original stands for a minute: as the server has it. */
function hasOriginal(minute) {
  const those = about.fields.original.minutes;
  const at = latest(those, minute);
  return at >= 0 && minute - those[at] < 180;
}

/** The place of the last time at or before a minute; -1 before the first. */
function latest(those, minute) {
  let low = -1, high = those.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (those[middle] <= minute) low = middle; else high = middle;
  }
  return low;
}

/** Ask for what a map shows now, half as much again on each side unless that is all; the newest wish counts. */
async function load(map) {
  map.asked?.abort();
  const asked = new AbortController();
  map.asked = asked;
  const box = map.box();
  const wide = Math.min((box.east - box.west) / 4, (360 - (box.east - box.west)) / 2), tall = (box.north - box.south) / 4;
  const wanted = { west: box.west - wide, east: box.east + wide, south: Math.max(box.south - tall, -90), north: Math.min(box.north + tall, 90) };
  const figure = map.canvas.parentElement;
  if (map.name === "original" && !hasOriginal(minutes[index])) {
    map.take(null);
    figure.querySelector(".stamp").textContent = "";
    figure.querySelector(".message").textContent = "the original has no frame of this hour, or of the 3 h before it";
    draw();
    return;
  }
  try {
    const answer = await ask("frame", { field: map.name, minute: minutes[index], ...wanted }, asked.signal);
    const frame = JSON.parse(answer.headers.get("X-Frame"));
    frame.codes = new Uint16Array(await answer.arrayBuffer());
    map.take(frame);
    figure.querySelector(".stamp").textContent = `${about.fields[map.name].step}°, ${stamp(frame.minute)} UTC`;
    figure.querySelector(".message").textContent = map.empty ? "all that is shown is missing at this hour" : "";
  } catch (error) {
    if (error.name === "AbortError") return;
    map.take(null);
    figure.querySelector(".message").textContent = error.message;
  }
  draw();
}

async function loadCoast() {
  const box = seen()[0].box();
  const wide = Math.min((box.east - box.west) / 2, (360 - (box.east - box.west)) / 2);
  const wanted = { west: box.west - wide, east: box.east + wide, south: Math.max(box.south - 10, -90), north: Math.min(box.north + 10, 90) };
  try {
    const lines = await (await ask("coast", wanted)).json();
    for (const map of Object.values(maps)) Object.assign(map, { coast: lines, coastWest: wanted.west, coastEast: wanted.east });
  } catch (error) { complain(error.message); }
  draw();
}

const loadAll = () => Promise.all(seen().map(load));

let moving;
function moved() {
  view.clamp();
  draw();
  clearTimeout(moving);
  moving = setTimeout(() => { loadAll(); loadCoast(); }, 120);
}

async function go(to) {
  index = Math.min(Math.max(to, 0), minutes.length - 1);
  $("slider").value = index;
  $("slider").setAttribute("aria-valuetext", `${stamp(minutes[index])} UTC`);
  $("when").textContent = `${stamp(minutes[index])} UTC`;
  $("goto").value = stamp(minutes[index]).replace(" ", "T");
  await loadAll();
  if (chart.found) chart.draw(minutes[index]);
}

/** The time nearest to a moment. */
function nearest(minute) {
  const low = Math.max(latest(minutes, minute), 0), high = Math.min(low + 1, minutes.length - 1);
  return Math.abs(minutes[low] - minute) <= Math.abs(minutes[high] - minute) ? low : high;
}

function stepped(by) {
  const hours = Number($("step").value) * by;
  const to = nearest(minutes[index] + 60 * hours);
  return go(to === index ? index + Math.sign(by) : to);
}

async function play() {
  playing = !playing;
  $("play").textContent = playing ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", playing);
  while (playing) {
    const began = performance.now();
    if (index >= minutes.length - 1) await go(0); else await stepped(1);
    const rest = 1000 / Number($("speed").value) - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(rest, 0)));
  }
}

function zoom(map, factor, x = map.width / 2, y = map.height / 2) {
  const longitude = map.longitude(x), latitude = map.latitude(y);
  view.scale *= factor;
  view.clamp();
  view.longitude += longitude - map.longitude(x);
  view.latitude += latitude - map.latitude(y);
  moved();
}

/** Dragging, pinching, scrolling, clicking. */
function listen(map) {
  const { canvas } = map;
  const down = new Map();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    if (down.size === 1) dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) { readout(map, event.offsetX, event.offsetY); return; }
    const dx = event.offsetX - before.offsetX, dy = event.offsetY - before.offsetY;
    dragged += Math.abs(dx) + Math.abs(dy);
    if (down.size === 2) {
      const other = [...down.entries()].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY) || 1;
      zoom(map, apart(event) / apart(before), (event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2);
    } else if (dragged > 4) {
      view.longitude -= dx / view.scale;
      view.latitude += dy / view.scale;
      moved();
    }
    down.set(event.pointerId, event);
  });
  const up = (event) => {
    const alone = down.size === 1 && down.has(event.pointerId);
    down.delete(event.pointerId);
    if (alone && dragged <= 4 && event.type === "pointerup")
      pick(map.longitude(event.offsetX), map.latitude(event.offsetY));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(map, Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(view.longitude, view.latitude); });
}

const degrees = (value, ends) => `${Math.abs(value).toFixed(2)}° ${value < 0 ? ends[1] : ends[0]}`;
const placeText = (longitude, latitude) =>
  `${degrees(latitude, "NS")}, ${degrees(((((longitude + 180) % 360) + 360) % 360) - 180, "EW")}`;

function readout(map, x, y) {
  const longitude = map.longitude(x), latitude = map.latitude(y);
  if (Math.abs(latitude) > 90) { $("readout").textContent = "\u00a0"; return; }
  const texts = seen().map((each) => {
    const value = each.valueAt(longitude, latitude);
    const name = each.name === "ours" ? "deepcams" : "original";
    return `${name} ${Number.isNaN(value) ? "missing" : Number(value.toPrecision(3))}`;
  });
  $("readout").textContent = `${placeText(longitude, latitude)}: ${texts.join(", ")} ${UNITS}`;
}

let asked = 0;
async function pick(longitude, latitude) {
  if (Math.abs(latitude) > 90) return;
  place = { longitude: ((((longitude + 180) % 360) + 360) % 360) - 180, latitude };
  draw();
  await showSeries();
}

function chartSpan() {
  const half = Number($("days").value) * 720;
  const last = minutes[minutes.length - 1];
  const first = Math.min(Math.max(minutes[index] - half, minutes[0]), Math.max(last - 2 * half, minutes[0]));
  return [first, Math.max(Math.min(first + 2 * half, last), first + 60)];
}

async function showSeries() {
  const mine = ++asked;
  const [first, last] = chartSpan();
  $("series").hidden = false;
  $("place").textContent = `${placeText(place.longitude, place.latitude)}: ${about.species} in ${UNITS}, times in UTC`;
  $("series-note").textContent = "reading …";
  try {
    const found = await (await ask("series", { ...place, first, last })).json();
    if (mine !== asked) return;
    chart.take(found, first, last);
    const nodes = Object.entries(found.fields).map(([name, one]) =>
      `${name === "ours" ? "deepcams" : "original"} at ${placeText(one.longitude, one.latitude)}`);
    const { station } = found, hours = station?.values.length;
    if (hours) nodes.push(`station ${station.name}, ${station.kilometres} km away, ${hours} hour${hours > 1 ? "s" : ""} after quality control`);
    else if (station) nodes.push(`station ${station.name}, ${station.kilometres} km away, and those next to it report nothing in these days`);
    else if (about.stations) nodes.push("no station within 200 km");
    $("series-note").textContent = nodes.join("; ");
  } catch (error) {
    if (mine !== asked) return;
    chart.take(null, first, last);
    $("series-note").textContent = error.message;
  }
  chart.draw(minutes[index]);
}

function drawBar() {
  const canvas = $("bar"), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(54 * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  colours.draw(context, 1, 3, canvas.clientWidth - 2, getComputedStyle(document.body).color, `${about.species}, ${UNITS}`);
}

function rescale() {
  const low = Number($("low").value), high = Number($("high").value);
  const log = $("scale").value === "log";
  for (const id of ["low", "high"]) $(id).disabled = !log;
  if (log && !(low > 0 && high > 1.01 * low)) { complain("the scale needs 0 < from < to"); return; }
  complain("");
  Object.assign(colours, { kind: $("scale").value, low, high });
  colours.update();
  for (const map of seen()) map.paint();
  drawBar();
  draw();
}

function resize() {
  for (const map of seen()) map.resize();
  drawBar();
  if (chart.found) chart.draw(minutes[index]);
  draw();
}

function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const fileStamp = () => stamp(minutes[index]).replaceAll(/[- :]/g, "").slice(0, 10);

async function saveRegion() {
  const now = minutes[index];
  const spans = { hour: [now, now], day: [now - (now % 1440), now - (now % 1440) + 1439], chart: chartSpan() };
  const [first, last] = spans[$("span").value];
  complain("");
  try {
    const answer = await ask("region.nc", { field: "ours", ...seen()[0].box(), first, last });
    keep(await answer.blob(), `deepcams_${fileStamp()}.nc`);
  } catch (error) { complain(error.message); }
}

/** The maps as they are seen, with title, scale and source. */
async function savePicture() {
  const shown = seen(), gap = 12, head = 50, foot = 88, ratio = 2;
  const width = shown.reduce((sum, map) => sum + map.width + gap, gap), height = shown[0].height + head + foot;
  const canvas = new OffscreenCanvas(width * ratio, height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  let left = gap;
  for (const map of shown) {
    const part = new OffscreenCanvas(map.width * ratio, map.height * ratio);
    map.drawTo(part.getContext("2d"), ratio);
    context.drawImage(part, left, head, map.width, map.height);
    context.fillStyle = "#1b1d22";
    context.font = "600 15px system-ui, sans-serif";
    const name = map.name === "ours" ? "deepcams" : "Original";
    context.fillText(`${name}, ${map.canvas.parentElement.querySelector(".stamp").textContent}`, left, head - 8);
    left += map.width + gap;
  }
  context.font = "600 16px system-ui, sans-serif";
  context.fillText(`${about.species}  ${about.title}`, gap, 20, width - 2 * gap);
  colours.draw(context, gap, height - foot + 10, Math.min(width - 2 * gap, 640), "#1b1d22", `${about.species}, ${UNITS}`);
  context.textAlign = "left";
  context.font = "11px system-ui, sans-serif";
  context.fillText(`Source: ${about.fields.ours.source || "not given"}; deepcams ${about.version}`, gap, height - 8, width - 2 * gap);
  keep(await canvas.convertToBlob({ type: "image/png" }), `deepcams_${fileStamp()}.png`);
}

function connect() {
  $("back").onclick = () => stepped(-1);
  $("forth").onclick = () => stepped(1);
  $("play").onclick = play;
  let sliding;
  $("slider").oninput = () => {
    $("when").textContent = `${stamp(minutes[$("slider").value])} UTC`;
    clearTimeout(sliding);
    sliding = setTimeout(() => go(Number($("slider").value)), 40);
  };
  $("goto").onchange = () => {
    const minute = Date.parse(`${$("goto").value}Z`) / 60000;
    if (Number.isNaN(minute)) return;
    const to = nearest(minute);
    complain(minutes[to] === minute ? "" : `there is no ${stamp(minute)} UTC; the nearest is shown`);
    go(to);
  };
  $("in").onclick = () => zoom(seen()[0], 1.6);
  $("out").onclick = () => zoom(seen()[0], 1 / 1.6);
  $("all").onclick = () => { view.fit(seen()[0].width, seen()[0].height); moved(); };
  $("compare").onchange = () => { $("figure-original").hidden = !$("compare").checked; resize(); moved(); };
  for (const id of ["scale", "low", "high"]) $(id).onchange = rescale;
  $("netcdf").onclick = saveRegion;
  $("png").onclick = savePicture;
  $("days").onchange = showSeries;
  $("close").onclick = () => { $("series").hidden = true; place = null; chart.found = null; draw(); };
  $("chart").onclick = (event) => { if (chart.found) go(nearest(chart.minuteAt(event.offsetX))); };
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.tagName === "BUTTON") return;
    const act = { " ": play, ArrowLeft: () => stepped(-1), ArrowRight: () => stepped(1),
      "+": () => zoom(seen()[0], 1.6), "-": () => zoom(seen()[0], 1 / 1.6) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  window.addEventListener("resize", () => { resize(); moved(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
}

/** A scale that fits the first frame: most of its values. */
function fitScale(frame) {
  const values = Array.from(frame.codes).filter((code) => code).sort((a, b) => a - b);
  if (!values.length) return;
  const nice = (value, up) => {
    const decade = 10 ** Math.floor(Math.log10(value)), steps = [1, 2, 5, 10].map((k) => Number((k * decade).toPrecision(3)));
    return up ? steps.find((k) => k >= value * 0.999) : steps.findLast((k) => k <= value * 1.001);
  };
  const at = (part) => Math.min(Math.max(colours.value(values[Math.floor(part * (values.length - 1))]), 0.1), 5000);
  $("low").value = nice(at(0.01), false);
  $("high").value = Math.max(nice(at(0.999), true), 5 * Number($("low").value));
}

async function start() {
  about = await (await ask("about", {})).json();
  minutes = about.fields.ours.minutes;
  view = new View(about.fields.ours.periodic ? { ...about.fields.ours, west: -180, east: 180 } : about.fields.ours);
  colours = new Colours(about);
  chart = new Chart($("chart"));
  $("title").textContent = `${about.species}: ${about.title}`;
  document.title = `${about.title}: deepcams view`;
  $("source").textContent = `Source: ${about.fields.ours.source || "not given"}; deepcams ${about.version}`;
  document.querySelector(".units").textContent = UNITS;
  $("slider").max = minutes.length - 1;
  for (const [edge, at] of [["min", 0], ["max", minutes.length - 1]]) $("goto")[edge] = stamp(minutes[at]).replace(" ", "T");
  for (const [longitude, latitude] of about.stations || []) stations.push({ longitude, latitude, kind: "station" });
  if (stations.length) {
    $("stations").hidden = false;
    $("stations").append(` ${stations.length.toLocaleString("en")} stations`);
  }
  if (!about.steps) $("scale").options[1].disabled = true;
  if (about.fields.original) {
    $("figure-original").hidden = $("compare-label").hidden = false;
    maps.original = new FieldMap($("original"), "original", view, colours);
  }
  maps.ours = new FieldMap($("ours"), "ours", view, colours);
  Object.values(maps).forEach(listen);
  connect();
  const { west, east, south, north } = view.box;
  $("maps").style.setProperty("--aspect", Math.min(Math.max((east - west) / (north - south), 0.8), 2.2));
  for (const map of seen()) map.resize();
  view.fit(maps.ours.width, maps.ours.height);
  loadCoast();
  await go(0);
  if (maps.ours.frame) { fitScale(maps.ours.frame); rescale(); }
  document.body.dataset.ready = "yes";
}

start().catch((error) => complain(error.message));
