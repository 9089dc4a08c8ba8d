// The hours of a clicked place: asked for in pieces, and drawn as they come.

import { ask } from "./ask.js";
import { Chart } from "./chart.js";
import { NAMES, placeText, UNITS } from "./words.js";

const PIECE = 31 * 1440;
const $ = (id) => document.getElementById(id);

export class Series {
  /** `now`: a function that gives the minute that the maps show. */
  constructor(about, now) {
    Object.assign(this, { about, now, place: null, chart: new Chart($("chart")) });
  }

  /** The days round the hour that is shown. */
  span() {
    const { minutes } = this.about.fields.ours;
    const half = Number($("days").value) * 720, last = minutes[minutes.length - 1];
    const first = Math.min(Math.max(this.now() - half, minutes[0]), Math.max(last - 2 * half, minutes[0]));
    return [first, Math.max(Math.min(first + 2 * half, last), first + 60)];
  }

  draw() { if (this.chart.found) this.chart.draw(this.now()); }

  close() {
    this.asked?.abort();
    this.place = this.chart.found = null;
    $("series").hidden = true;
  }

  async show(place) {
    this.asked?.abort(); // the newest wish counts
    const asked = (this.asked = new AbortController());
    const { chart, about } = this;
    const [first, last] = this.span();
    this.place = place;
    $("series").hidden = false;
    $("place").textContent = `${placeText(place.longitude, place.latitude)}: ${about.species} in ${UNITS}, times: ${about.clock}`;
    $("series-note").textContent = "reading …";
    const found = { fields: {} }, names = Object.keys(about.fields);
    chart.take(found, first, last);
    chart.draw(this.now());
    let done = 0;
    const all = names.length * Math.ceil((last - first + 1) / PIECE);
    const read = async (only, from, to) => await (await ask("series", { ...place, first: from, last: to, only }, asked.signal)).json();
    const field = async (name) => {
      for (let from = first; from <= last; from += PIECE) {
        const piece = (await read(name, from, Math.min(from + PIECE - 1, last))).fields[name];
        done += 1;
        if (!piece) return; // the place lies beyond this field
        const whole = (found.fields[name] ??= { ...piece, minutes: [], values: [] });
        whole.minutes = whole.minutes.concat(piece.minutes);
        whole.values = whole.values.concat(piece.values);
        chart.draw(this.now());
        if (done < all) $("series-note").textContent = `reading … ${Math.round((100 * done) / all)} %`;
      }
    };
    const station = async () => {
      if (!about.stations) return;
      found.station = (await read("station", first, last)).station;
      chart.draw(this.now());
    };
    try {
      await Promise.all([...names.map(field), station()]);
      if (!Object.keys(found.fields).length) throw new Error("there are no data at this place");
      $("series-note").textContent = this.note(found);
    } catch (error) {
      if (asked.signal.aborted) return;
      asked.abort();
      chart.take(null, first, last);
      $("series-note").textContent = error.message;
    }
    chart.draw(this.now());
  }

  /** Where the values are from. */
  note({ fields, station }) {
    const nodes = Object.keys(this.about.fields).filter((name) => fields[name])
      .map((name) => `${NAMES[name]} at ${placeText(fields[name].longitude, fields[name].latitude)}`);
    const hours = station?.values.length;
    if (hours) nodes.push(`station ${station.name}, ${station.kilometres} km away, ${hours} hour${hours > 1 ? "s" : ""} after quality control`);
    else if (station) nodes.push(`station ${station.name}, ${station.kilometres} km away, and those next to it report nothing in these days`);
    else if (this.about.stations) nodes.push("no station within 200 km");
    return nodes.join("; ");
  }
}
