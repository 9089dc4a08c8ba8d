// The hours of one place: both fields as lines, the station as points.

export class Chart {
  constructor(canvas) { this.canvas = canvas; this.found = null; }

  take(found, first, last) { Object.assign(this, { found, first, last }); }

  minuteAt(x) {
    const part = (x - this.left) / (this.right - this.left);
    return this.first + Math.min(Math.max(part, 0), 1) * (this.last - this.first);
  }

  draw(now) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    if (!this.found) return;
    const style = getComputedStyle(document.body);
    const ink = style.getPropertyValue("--ink"), faint = style.getPropertyValue("--line");
    const sets = [];
    const { fields, station } = this.found;
    if (fields.original) sets.push(["original", fields.original, style.getPropertyValue("--original"), true]);
    if (fields.ours) sets.push(["deepcams", fields.ours, style.getPropertyValue("--ours"), false]);
    if (station?.values.length) sets.push([`station ${station.name}`, station, style.getPropertyValue("--station"), "only"]);
    let top = 0;
    for (const [, set] of sets) for (const value of set.values) if (value !== null && value > top) top = value;
    top = top || 1;
    const decade = 10 ** Math.floor(Math.log10(top));
    const step = [0.2, 0.5, 1, 2].map((k) => k * decade).find((k) => top / k <= 5) || 5 * decade;
    top = Math.ceil(top / step + 1e-9) * step;
    this.left = 52;
    this.right = width - 12;
    const x = (minute) => this.left + ((minute - this.first) / (this.last - this.first)) * (this.right - this.left);
    const y = (value) => height - 24 - (value / top) * (height - 54);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = ink;
    context.strokeStyle = faint;
    context.lineWidth = 1;
    context.textAlign = "right";
    for (let value = 0; value <= top * 1.001; value += step) {
      context.beginPath();
      context.moveTo(this.left, y(value));
      context.lineTo(this.right, y(value));
      context.stroke();
      context.fillText(Number(value.toPrecision(3)), this.left - 5, y(value) + 4);
    }
    context.textAlign = "center";
    const day = 1440, span = this.last - this.first;
    const every = [1 / 24, 0.125, 0.25, 0.5, 1, 2, 5, 10, 30, 61].map((k) => k * day).find((k) => span / k <= Math.max(width / 95, 2)) || 61 * day;
    for (let minute = Math.ceil(this.first / every) * every; minute <= this.last; minute += every) {
      const text = new Date(minute * 60000).toISOString();
      if (x(minute) < this.left + 20 || x(minute) > this.right - 30) continue;
      context.fillText(every < day ? text.slice(5, 16).replace("T", " ") : text.slice(0, 10), x(minute), height - 7);
    }
    for (const [, set, colour, points] of sets) {
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = 1.6;
      if (points !== "only") {
        const usual = set.minutes.length > 1 ? Math.max(set.minutes[1] - set.minutes[0], 60) : 60;
        context.beginPath();
        let before = null;
        set.minutes.forEach((minute, i) => {
          const value = set.values[i];
          if (value === null) { before = null; return; }
          if (before === null || minute - before > 1.5 * usual) context.moveTo(x(minute), y(value));
          else context.lineTo(x(minute), y(value));
          before = minute;
        });
        context.stroke();
      }
      if (points && set.minutes.length < 700)
        set.minutes.forEach((minute, i) => {
          if (set.values[i] === null) return;
          context.beginPath();
          context.arc(x(minute), y(set.values[i]), 2.4, 0, 7);
          if (points === "only") { context.lineWidth = 1; context.stroke(); } else context.fill();
        });
    }
    context.strokeStyle = ink;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x(now), 26);
    context.lineTo(x(now), height - 24);
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    let left = this.left;
    for (const [name, , colour, points] of sets) {
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = 2;
      context.beginPath();
      if (points === "only") context.arc(left + 9, 12, 3, 0, 7);
      else { context.moveTo(left, 12); context.lineTo(left + 18, 12); }
      context.stroke();
      context.fillStyle = ink;
      const short = name.length > 40 ? `${name.slice(0, 39)}…` : name;
      context.fillText(short, left + 23, 16);
      left += 40 + context.measureText(short).width;
    }
  }
}
