// Times, places and units in words, and times from words. Times are whole minutes since 1970, UTC.

export const UNITS = "µg m⁻³";
export const NAMES = { ours: "deepcams", original: "original" };
export const stamp = (minute) => new Date(minute * 60000).toISOString().slice(0, 16).replace("T", " ");

const degrees = (value, ends) => `${Math.abs(value).toFixed(2)}° ${value < 0 ? ends[1] : ends[0]}`;
export const eastOf = (longitude) => ((((longitude + 180) % 360) + 360) % 360) - 180;
export const placeText = (longitude, latitude) => `${degrees(latitude, "NS")}, ${degrees(eastOf(longitude), "EW")}`;

/** The place of the last time at or before a minute; -1 before the first. */
export function latest(those, minute) {
  let low = -1, high = those.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (those[middle] <= minute) low = middle; else high = middle;
  }
  return low;
}

/** The place of the time nearest to a minute. */
export function nearest(those, minute) {
  const low = Math.max(latest(those, minute), 0), high = Math.min(low + 1, those.length - 1);
  return Math.abs(those[low] - minute) <= Math.abs(those[high] - minute) ? low : high;
}

/** Where a written time leads: the place of the nearest time, and a word about it where it is another one. */
export function find(those, text) {
  const form = /^\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:\s+|T)(\d{1,2})(?::(\d{2}))?(?::\d{2}(?:\.\d+)?)?)?\s*(?:Z|UTC)?\s*$/i.exec(text);
  if (!form) throw new Error(`“${text.trim()}” is no time: write YYYY-MM-DD HH:MM (UTC), or the date alone`);
  const [year, month, day, hour, minutes] = form.slice(1).map((part) => Number(part || 0));
  const moment = new Date(Date.UTC(year, month - 1, day, hour, minutes));
  moment.setUTCFullYear(year, month - 1, day); // Date.UTC takes the years 0 to 99 as 1900 to 1999
  if (moment.getUTCMonth() !== month - 1 || moment.getUTCDate() !== day || hour > 23 || minutes > 59)
    throw new Error(`there is no time ${text.trim()}`);
  const minute = moment.getTime() / 60000, alone = form[4] === undefined;
  let at = nearest(those, minute);
  // A date alone is its first hour that there is.
  if (alone && those[at] < minute && at + 1 < those.length && those[at + 1] < minute + 1440) at += 1;
  if (those[at] === minute || (alone && those[at] > minute && those[at] < minute + 1440)) return { at, word: "" };
  const reach = `${stamp(those[0])} to ${stamp(those[those.length - 1])}`;
  const outside = minute < those[0] || minute > those[those.length - 1];
  const wanted = alone ? stamp(minute).slice(0, 10) : stamp(minute);
  return { at, word: `there is no ${wanted}${outside ? ` (the data go from ${reach})` : ""}; the nearest is shown` };
}
