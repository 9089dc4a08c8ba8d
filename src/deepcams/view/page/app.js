// The page: what is shown, and the controls.

import { ask } from "./ask.js";
import { listen } from "./gestures.js";
import * as link from "./link.js";
import { Colours, FieldMap, View } from "./map.js";
import { savePicture, saveRegion } from "./save.js";
import { Series } from "./series.js";
import { find, latest, NAMES, nearest, placeText, eastOf, stamp, UNITS } from "./words.js";

const $ = (id) => document.getElementById(id);

let about, view, colours, series, minutes;
let index = 0, playing = false, drawn = false;
const maps = {};
const stations = [];

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

/** Every map shows the same place; only those that are seen are asked for. */
const seen = () => Object.values(maps).filter((map) => !map.canvas.parentElement.hidden);

function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    for (const map of seen()) {
      map.marks = stations.concat(series.place ? [{ ...series.place, kind: "place" }] : []);
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
    figure.querySelector(".stamp").textContent = `${about.fields[map.name].step}°, ${stamp(frame.minute)} ${about.clock}`;
    figure.querySelector(".message").textContent = map.empty ? "all that is shown is missing at this hour" : "";
  } catch (error) {
    if (error.name === "AbortError") return;
    map.take(null);
    figure.querySelector(".message").textContent = error.message;
  }
  draw();
}

async function loadLines() {
  const box = seen()[0].box();
  const wide = Math.min((box.east - box.west) / 2, (360 - (box.east - box.west)) / 2);
  const wanted = { west: box.west - wide, east: box.east + wide, south: Math.max(box.south - 10, -90), north: Math.min(box.north + 10, 90) };
  try {
    const lines = { ...(await (await ask("lines", wanted)).json()), west: wanted.west, east: wanted.east };
    for (const map of Object.values(maps)) map.lines = lines;
  } catch (error) { complain(error.message); }
  draw();
}

const loadAll = () => Promise.all(seen().map(load));

/** Have the address tell what is shown. */
function remember() {
  const { longitude, latitude, scale } = view;
  link.write({ minute: minutes[index], longitude, latitude, span: maps.ours.width / scale, place: series.place, colours });
}

let moving;
function moved() {
  view.clamp();
  draw();
  clearTimeout(moving);
  moving = setTimeout(() => { loadAll(); loadLines(); remember(); }, 120);
}

async function go(to, word = "") {
  index = Math.min(Math.max(to, 0), minutes.length - 1);
  $("slider").value = index;
  $("slider").setAttribute("aria-valuetext", `${stamp(minutes[index])} ${about.clock}`);
  $("when").textContent = `${stamp(minutes[index])} ${about.clock}`;
  say(word);
  if (word || document.activeElement !== $("goto")) $("goto").value = stamp(minutes[index]); // else it is being written
  await loadAll();
  series.draw();
  if (document.body.dataset.ready) remember();
}

/** A word about the time that was asked for; `wrong` where it is none. */
function say(word, wrong = false) {
  $("goto-note").textContent = word;
  $("goto-note").classList.toggle("wrong", wrong);
  $("goto").setAttribute("aria-invalid", wrong);
}

function goTo() {
  try {
    const { at, word } = find(minutes, $("goto").value);
    $("goto").value = stamp(minutes[at]);
    return go(at, word);
  } catch (error) { return say(error.message, true); }
}

function stepped(by) {
  const hours = Number($("step").value) * by;
  const to = nearest(minutes, minutes[index] + 60 * hours);
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

function readout(map, x, y) {
  const longitude = map.longitude(x), latitude = map.latitude(y);
  if (Math.abs(latitude) > 90) { $("readout").textContent = "\u00a0"; return; }
  const texts = seen().map((each) => {
    const value = each.valueAt(longitude, latitude);
    return `${NAMES[each.name]} ${Number.isNaN(value) ? "missing" : Number(value.toPrecision(3))}`;
  });
  $("readout").textContent = `${placeText(longitude, latitude)}: ${texts.join(", ")} ${UNITS}`;
}

function pick(map, x, y) {
  const latitude = map.latitude(y);
  if (Math.abs(latitude) > 90) return;
  series.show({ longitude: eastOf(map.longitude(x)), latitude });
  remember();
  draw();
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
  if (document.body.dataset.ready) remember();
}

function resize() {
  for (const map of seen()) map.resize();
  drawBar();
  series.draw();
  draw();
}

async function saveNetcdf() {
  const now = minutes[index], field = $("whose").value, { minutes: those } = about.fields[field];
  const at = those[Math.max(latest(those, now), 0)]; // an original's frame stands for the hours after it
  const spans = { hour: [at, at], day: [now - (now % 1440), now - (now % 1440) + 1439], chart: series.span() };
  complain("");
  if (field === "original" && $("span").value === "hour" && !hasOriginal(now)) {
    complain("the original has no frame of this hour, or of the 3 h before it");
    return;
  }
  try {
    await saveRegion(field, seen()[0].box(), spans[$("span").value], now);
  } catch (error) { complain(error.message); }
}

function connect() {
  $("back").onclick = () => stepped(-1);
  $("forth").onclick = () => stepped(1);
  $("play").onclick = play;
  let sliding;
  $("slider").oninput = () => {
    $("when").textContent = `${stamp(minutes[$("slider").value])} ${about.clock}`;
    clearTimeout(sliding);
    sliding = setTimeout(() => go(Number($("slider").value)), 40);
  };
  $("goto").onchange = goTo;
  $("goto").onblur = () => { if ($("goto").ariaInvalid !== "true") $("goto").value = stamp(minutes[index]); };
  $("in").onclick = () => zoom(seen()[0], 1.6);
  $("out").onclick = () => zoom(seen()[0], 1 / 1.6);
  $("all").onclick = () => { view.fit(seen()[0].width, seen()[0].height); moved(); };
  $("compare").onchange = () => { $("figure-original").hidden = !$("compare").checked; resize(); moved(); };
  for (const id of ["scale", "low", "high"]) $(id).onchange = rescale;
  $("netcdf").onclick = saveNetcdf;
  $("png").onclick = () => savePicture(about, seen(), colours, minutes[index]);
  $("days").onchange = () => series.show(series.place);
  $("close").onclick = () => { series.close(); remember(); draw(); };
  $("chart").onclick = ({ offsetX }) => { if (series.chart.found) go(nearest(minutes, series.chart.minuteAt(offsetX))); };
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.tagName === "BUTTON") return;
    const act = { " ": play, ArrowLeft: () => stepped(-1), ArrowRight: () => stepped(1),
      "+": () => zoom(seen()[0], 1.6), "-": () => zoom(seen()[0], 1 / 1.6) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  window.addEventListener("hashchange", () => open(link.read()));
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
  series = new Series(about, () => minutes[index]);
  $("title").textContent = `${about.species}: ${about.title}`;
  document.title = `${about.title}: deepcams view`;
  for (const place of document.querySelectorAll(".clock")) place.textContent = about.clock;
  $("source").textContent = `Source: ${about.fields.ours.source || "not given"}; deepcams ${about.version}`;
  document.querySelector(".units").textContent = UNITS;
  $("slider").max = minutes.length - 1;
  $("goto").title = `YYYY-MM-DD HH:MM, ${about.clock}, or a date alone; from ${stamp(minutes[0])} to ${stamp(minutes[minutes.length - 1])}`;
  for (const [longitude, latitude] of about.stations || []) stations.push({ longitude, latitude, kind: "station" });
  if (stations.length) {
    $("stations").hidden = false;
    $("stations").append(` ${stations.length.toLocaleString("en")} station${stations.length > 1 ? "s" : ""}`);
  }
  if (!about.steps) $("scale").options[1].disabled = true;
  if (about.fields.original) {
    $("figure-original").hidden = $("compare-label").hidden = $("whose").hidden = false;
    maps.original = new FieldMap($("original"), "original", view, colours);
  }
  maps.ours = new FieldMap($("ours"), "ours", view, colours);
  for (const map of Object.values(maps))
    listen(map.canvas, {
      zoom: (...how) => zoom(map, ...how),
      pan: (dx, dy) => { view.longitude -= dx / view.scale; view.latitude += dy / view.scale; moved(); },
      point: (x, y) => readout(map, x, y),
      pick: (x, y) => pick(map, x, y),
    });
  connect();
  const { west, east, south, north } = view.box;
  $("maps").style.setProperty("--aspect", Math.min(Math.max((east - west) / (north - south), 0.8), 2.2));
  for (const map of seen()) map.resize();
  view.fit(maps.ours.width, maps.ours.height);
  await open(link.read());
  document.body.dataset.ready = "yes";
}

/** Show what the address tells, the rest as it is at first: all there is, the first hour, colours that fit it. */
async function open({ time, at, span, limits, kind, place }) {
  if (at) Object.assign(view, at);
  if (span) view.scale = maps.ours.width / span;
  view.clamp();
  loadLines();
  let found = { at: 0 };
  try { if (time) found = find(minutes, time); } catch (error) { found.word = error.message; }
  await go(found.at, found.word);
  if (maps.ours.frame) fitScale(maps.ours.frame);
  if (limits) [$("low").value, $("high").value] = limits;
  if (kind === "guideline" && about.steps) $("scale").value = kind;
  if (maps.ours.frame || limits) rescale();
  if (place) series.show(place);
}

start().catch((error) => complain(error.message));
