// A map of one field: frames arrive as 16-bit codes, and are coloured and drawn here.

const MISSING = [184, 184, 184];

/** Concentrations to colours: either scale makes one table of all 65536 codes. */
export class Colours {
  constructor(about) {
    this.about = about;
    this.kind = "log";
    this.low = 1;
    this.high = 200;
    this.steps = about.steps; // null where there are no guidelines
    this.update();
  }

  value(code) {
    if (!code) return NaN;
    const { unit, top } = this.about.code;
    return unit * Math.expm1(((code - 1) / 65534) * Math.log1p(top / unit));
  }

  colour(value) {
    const n = this.about.colours.length - 1;
    let part;
    if (this.kind === "log") part = Math.log(Math.max(value, 1e-9) / this.low) / Math.log(this.high / this.low);
    else part = this.steps.filter((step) => value > step).length / this.steps.length;
    return this.about.colours[Math.round(Math.min(Math.max(part, 0), 1) * n)];
  }

  update() {
    this.table = new Uint32Array(65536);
    for (let code = 0; code < 65536; code++) {
      const [r, g, b] = code ? this.colour(this.value(code)) : MISSING;
      this.table[code] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
  }

  /** The scale with what it shows above it and its ticks below, for the page and for the picture; 54 pixels high. */
  draw(context, left, top, width, ink, title) {
    const high = 14, bar = top + 17;
    const ticks = [];
    if (this.kind === "log") {
      for (let x = 0; x < width; x++) {
        const [r, g, b] = this.colour(this.low * (this.high / this.low) ** (x / width));
        context.fillStyle = `rgb(${r},${g},${b})`;
        context.fillRect(left + x, bar, 1.5, high);
      }
      for (let decade = -3; decade < 6; decade++)
        for (const step of [1, 2, 5]) {
          const value = Number(`${step}e${decade}`);
          const part = Math.log(value / this.low) / Math.log(this.high / this.low);
          if (part >= -1e-9 && part <= 1 + 1e-9) ticks.push([part, value]);
        }
    } else {
      const n = this.steps.length + 1;
      for (let k = 0; k < n; k++) {
        const [r, g, b] = this.about.colours[Math.round((k / (n - 1)) * (this.about.colours.length - 1))];
        context.fillStyle = `rgb(${r},${g},${b})`;
        context.fillRect(left + (k * width) / n, bar, width / n + 0.5, high);
        if (k) ticks.push([k / n, this.steps[k - 1]]);
      }
    }
    context.strokeStyle = ink;
    context.lineWidth = 0.7;
    context.strokeRect(left, bar, width, high);
    context.fillStyle = ink;
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "left";
    context.fillText(title, left, top + 11, width);
    context.textAlign = "center";
    // Decades first, so that where room is short 1, 10 and 100 are what stays.
    const taken = [];
    const decades = ticks.filter(([, value]) => this.kind !== "log" || /^(1|10+|0\.0*1)$/.test(String(value)));
    for (const [part, value] of [...decades, ...ticks.filter((tick) => !decades.includes(tick))]) {
      const half = context.measureText(String(value)).width / 2;
      const x = Math.min(Math.max(part * width, half), width - half);
      if (taken.some(([from, to]) => x - half < to + 6 && x + half > from - 6)) continue;
      taken.push([x - half, x + half]);
      context.fillText(String(value), left + x, bar + high + 14);
      context.fillRect(left + part * width - 0.4, bar + high, 0.8, 3);
    }
    const grey = `rgb(${MISSING.join()})`, words = "missing";
    const room = context.measureText(words).width;
    if (context.measureText(title).width + room + 40 < width) {
      context.textAlign = "right";
      context.fillText(words, left + width, top + 11);
      context.fillStyle = grey;
      context.fillRect(left + width - room - 17, top + 1, 12, 11);
      context.strokeRect(left + width - room - 17, top + 1, 12, 11);
      context.fillStyle = ink;
    }
  }
}

/** What all maps show: the middle in degrees, and pixels a degree. */
export class View {
  constructor(box) { this.box = box; this.longitude = 0; this.latitude = 0; this.scale = 1; }
  fit(width, height) {
    const { west, south, east, north } = this.box;
    this.longitude = (west + east) / 2;
    this.latitude = (south + north) / 2;
    this.scale = Math.min(width / (east - west), height / (north - south));
  }
  clamp() {
    this.scale = Math.min(Math.max(this.scale, 0.5), 400);
    this.latitude = Math.min(Math.max(this.latitude, -90), 90);
    this.longitude = ((this.longitude + 540) % 360) - 180;
  }
}

export class FieldMap {
  constructor(canvas, name, view, colours) {
    Object.assign(this, { canvas, name, view, colours, frame: null, image: null, lines: { coast: [], borders: [] }, marks: [] });
    this.context = canvas.getContext("2d");
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.ratio = ratio;
  }

  x(longitude) { return this.width / 2 + (longitude - this.view.longitude) * this.view.scale; }
  y(latitude) { return this.height / 2 - (latitude - this.view.latitude) * this.view.scale; }
  longitude(x) { return this.view.longitude + (x - this.width / 2) / this.view.scale; }
  latitude(y) { return this.view.latitude - (y - this.height / 2) / this.view.scale; }

  /** The box that is seen, in degrees; at most once round the globe. */
  box() {
    const half = Math.min(this.width / 2 / this.view.scale, 180);
    const tall = this.height / 2 / this.view.scale;
    const { longitude, latitude } = this.view;
    const south = Math.max(latitude - tall, -90), north = Math.min(latitude + tall, 90);
    return { west: longitude - half, south, east: longitude + half, north };
  }

  take(frame) {
    this.frame = frame;
    this.empty = frame !== null && !frame.codes.some((code) => code);
    this.paint();
  }

  /** Colour the frame: once for each frame and each scale. */
  paint() {
    if (!this.frame) { this.image = null; return; }
    const { rows, columns, codes } = this.frame;
    const image = new OffscreenCanvas(columns, rows);
    const context = image.getContext("2d");
    const data = context.createImageData(columns, rows);
    const pixels = new Uint32Array(data.data.buffer);
    for (let i = 0; i < codes.length; i++) pixels[i] = this.colours.table[codes[i]];
    context.putImageData(data, 0, 0);
    this.image = image;
  }

  draw() {
    this.drawTo(this.context, this.ratio);
  }

  drawTo(context, ratio) {
    const style = getComputedStyle(document.body);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = style.getPropertyValue("--sea");
    context.fillRect(0, 0, this.width, this.height);
    context.imageSmoothingEnabled = this.frame ? this.view.scale * this.frame.step < 1 : false;
    const turns = [-720, -360, 0, 360, 720];
    if (this.image) {
      const { west, north, step, row_step, rows, columns } = this.frame;
      for (const turn of turns) {
        // On whole pixels of the screen, so that no line shows where one turn of the globe ends and the next begins.
        const whole = (length) => Math.round(length * ratio) / ratio;
        const left = whole(this.x(west + turn)), right = whole(this.x(west + turn + columns * step));
        if (right < 0 || left > this.width) continue;
        const top = whole(this.y(north));
        context.drawImage(this.image, left, top, right - left, whole(this.y(north - rows * row_step)) - top);
      }
    }
    context.drawImage(this.linesAt(turns, ratio), 0, 0, this.width, this.height);
    // Thousands of stations on a globe would hide it.
    const small = Math.min(Math.max(0.7 + this.view.scale / 8, 1), 3.2);
    for (const { longitude, latitude, kind } of this.marks) {
      for (const turn of turns) {
        const x = this.x(longitude + turn), y = this.y(latitude);
        if (x < -9 || x > this.width + 9) continue;
        context.beginPath();
        context.arc(x, y, kind === "place" ? 6 : small, 0, 7);
        context.lineWidth = kind === "place" ? 2.5 : small / 3;
        if (kind === "station") { context.fillStyle = "#4fb3ff"; context.fill(); }
        context.strokeStyle = kind === "place" ? "#fff" : "#123";
        context.stroke();
        if (kind === "place") { context.lineWidth = 1; context.strokeStyle = "#000"; context.stroke(); }
      }
    }
  }

  /** Coasts and borders as a picture of its own: drawn anew where the view or they have changed, not for every hour. */
  linesAt(turns, ratio) {
    const { longitude, latitude, scale } = this.view;
    const key = [longitude, latitude, scale, this.width, this.height, ratio].join();
    if (this.linesKey === key && this.linesOf === this.lines) return this.linesImage;
    Object.assign(this, { linesKey: key, linesOf: this.lines });
    this.linesImage = new OffscreenCanvas(Math.max(Math.round(this.width * ratio), 1), Math.max(Math.round(this.height * ratio), 1));
    const context = this.linesImage.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineJoin = "round";
    // Borders first and thinner, more so where many countries are seen: coasts are what one finds one's way by.
    const thin = Math.min(Math.max(scale / 8, 0.5), 1);
    for (const [lines, halo, ink] of [[this.lines.borders, 1.3 * thin, 0.6 * thin], [this.lines.coast, 2, 0.8]]) {
      this.trace(context, lines, turns);
      for (const [colour, width] of [["rgba(255,255,255,.75)", halo], ["#333", ink]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.stroke();
      }
    }
    return this.linesImage;
  }

  trace(context, lines, turns) {
    context.beginPath();
    for (const turn of turns) {
      if (this.x(this.lines.west + turn) > this.width || this.x(this.lines.east + turn) < 0) continue;
      for (const line of lines) {
        let before = null;
        for (let i = 0; i < line.length; i += 2) {
          const x = this.x(line[i] + turn), y = this.y(line[i + 1]);
          // What lies within half a pixel of the point before it cannot be seen.
          if (before && i < line.length - 2 && Math.abs(x - before[0]) + Math.abs(y - before[1]) < 0.5) continue;
          if (before) context.lineTo(x, y); else context.moveTo(x, y);
          before = [x, y];
        }
      }
    }
  }

  /** The value under a place, ug m-3; NaN where nothing is known. */
  valueAt(longitude, latitude) {
    if (!this.frame) return NaN;
    const { west, north, step, row_step, rows, columns, codes } = this.frame;
    const column = Math.floor(((((longitude - west) % 360) + 360) % 360) / step);
    const row = Math.floor((north - latitude) / row_step);
    if (row < 0 || row >= rows || column >= columns) return NaN;
    return this.colours.value(codes[row * columns + column]);
  }
}
