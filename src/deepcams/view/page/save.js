// What can be kept: a region as netCDF, the maps as a picture.

import { ask } from "./ask.js";
import { NAMES, stamp, UNITS } from "./words.js";

function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const named = (minute, field, kind) =>
  `deepcams_${field === "original" ? "original_" : ""}${stamp(minute).replaceAll(/[- :]/g, "").slice(0, 10)}.${kind}`;

/** A field's values in a box from the first minute to the last; named after the minute that is shown. */
export async function saveRegion(field, box, [first, last], minute) {
  const answer = await ask("region.nc", { field, ...box, first, last });
  keep(await answer.blob(), named(minute, field, "nc"));
}

/** The maps as they are seen, with title, scale and source. */
export async function savePicture(about, shown, colours, minute) {
  const gap = 12, head = 50, foot = 88, ratio = 2;
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
    const name = map.name === "ours" ? NAMES.ours : "Original";
    context.fillText(`${name}, ${map.canvas.parentElement.querySelector(".stamp").textContent}`, left, head - 8);
    left += map.width + gap;
  }
  context.font = "600 16px system-ui, sans-serif";
  context.fillText(`${about.species}  ${about.title}`, gap, 20, width - 2 * gap);
  colours.draw(context, gap, height - foot + 10, Math.min(width - 2 * gap, 640), "#1b1d22", `${about.species}, ${UNITS}`);
  context.textAlign = "left";
  context.font = "11px system-ui, sans-serif";
  context.fillText(`Source: ${about.fields.ours.source || "not given"}; deepcams ${about.version}`, gap, height - 8, width - 2 * gap);
  keep(await canvas.convertToBlob({ type: "image/png" }), named(minute, "ours", "png"));
}
