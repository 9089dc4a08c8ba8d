// What is shown, as the end of the page's address, so that it can be sent, kept as a bookmark, and opened again.

import { stamp } from "./words.js";

/** Write it: `span` is how many degrees of longitude the map is wide. */
export function write({ minute, longitude, latitude, span, place, colours }) {
  const point = (...numbers) => numbers.map((each) => Number(each.toFixed(3))).join(",");
  const parts = {
    time: stamp(minute).replace(" ", "T"),
    at: point(latitude, longitude),
    span: Number(span.toPrecision(4)),
    colours: colours.kind === "log" ? `${colours.low},${colours.high}` : colours.kind,
    ...(place ? { place: point(place.latitude, place.longitude) } : {}),
  };
  const text = Object.entries(parts).map(([name, value]) => `${name}=${value}`).join("&");
  history.replaceState(null, "", `#${text}`);
}

/** Read it: what is missing, or is nothing of the kind, is left out. */
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const numbers = (name, count) => {
    const found = (given.get(name) || "").split(",").map(Number);
    return found.length === count && found.every((each) => Number.isFinite(each)) ? found : null;
  };
  const point = (name) => {
    const found = numbers(name, 2);
    return found && Math.abs(found[0]) <= 90 && Math.abs(found[1]) <= 360 ? { latitude: found[0], longitude: found[1] } : null;
  };
  const span = numbers("span", 1)?.[0], limits = numbers("colours", 2);
  return {
    time: given.get("time"),
    at: point("at"),
    span: span > 0 ? span : null,
    limits: limits && limits[0] > 0 && limits[1] > 1.01 * limits[0] ? limits : null,
    kind: given.get("colours"),
    place: point("place"),
  };
}
