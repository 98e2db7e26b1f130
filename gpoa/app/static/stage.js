// The canvas: image, mask and points, zoom and pan, clicks and strokes. Points are in the preview's pixels, whole numbers
// at pixel centres.

import { picture } from "/static/api.js";

const MOVED = 4; // a pointer that moved less than this many screen pixels has clicked, not dragged
const KEY_STEP = 12;

export class Stage {
  constructor(canvas, on) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.on = on; // { click(x, y, label), stroke(points, radius, add) }
    this.tool = "add";
    this.brush = 24; // diameter in screen pixels
    this.maskShown = true;
    this.pointers = new Map();
    this.clear();
    new ResizeObserver(() => this.resize()).observe(canvas);
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave", "wheel", "keydown"])
      canvas.addEventListener(name, (event) => this[name](event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("blur", () => { this.cross = null; this.draw(); });
  }

  clear() {
    this.image = this.mask = this.close = this.cross = this.hover = this.stroke = null;
    this.points = [];
    this.index = -1;
    this.draw();
  }

  show(index, image, preview, full) {
    this.clear();
    [this.index, this.image, this.height, this.width] = [index, image, preview[0], preview[1]];
    this.detail = full[1] / preview[1];
    this.fullSize = full;
    this.fit();
  }

  setMask(mask, points) {
    this.mask?.close();
    [this.mask, this.points] = [mask, points];
    this.draw();
  }

  // -- view

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (!w || !h) return;
    const was = [this.canvas.width, this.canvas.height];
    [this.canvas.width, this.canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    if (this.image && (this.isFitted || was[0] < 2)) this.fit();
    this.draw();
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (!this.image || !w) return;
    const margin = 16;
    this.scale = Math.min((w - 2 * margin) / this.width, (h - 2 * margin) / this.height);
    this.left = (w - this.width * this.scale) / 2;
    this.top = (h - this.height * this.scale) / 2;
    this.isFitted = true;
    this.changed();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.image) return;
    const least = Math.min(0.9, this.fitScale()) * 0.5;
    const scale = Math.min(Math.max(this.scale * factor, least), 24 * Math.max(1, this.detail));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.isFitted = false;
    this.changed();
  }

  fitScale() {
    return Math.min(this.canvas.clientWidth / this.width, this.canvas.clientHeight / this.height);
  }

  pan(dx, dy) {
    const keep = 60; // so much of the image stays in sight
    this.left = Math.min(Math.max(this.left + dx, keep - this.width * this.scale), this.canvas.clientWidth - keep);
    this.top = Math.min(Math.max(this.top + dy, keep - this.height * this.scale), this.canvas.clientHeight - keep);
    this.isFitted = false;
    this.changed();
  }

  changed() {
    this.draw();
    clearTimeout(this.closeTimer);
    if (this.image && this.detail > 1.01 && this.scale * (window.devicePixelRatio || 1) > 1.05)
      this.closeTimer = setTimeout(() => this.fetchClose(), 140);
    else this.close = null;
  }

  // The part in sight at the image's own resolution.
  async fetchClose() {
    this.closeAbort?.abort();
    this.closeAbort = new AbortController();
    const [index, d] = [this.index, this.detail];
    const corner = this.toImage(0, 0), end = this.toImage(this.canvas.clientWidth, this.canvas.clientHeight);
    const box = [
      Math.max(0, Math.floor(corner[0] * d)), Math.max(0, Math.floor(corner[1] * d)),
      Math.min(this.fullSize[1], Math.ceil(end[0] * d)), Math.min(this.fullSize[0], Math.ceil(end[1] * d)),
    ];
    if (box[0] >= box[2] || box[1] >= box[3]) return;
    const query = `x0=${box[0]}&y0=${box[1]}&x1=${box[2]}&y1=${box[3]}`;
    try {
      const bitmap = await picture(`/api/images/${index}/region?${query}`, this.closeAbort.signal);
      if (index !== this.index) return;
      this.close = { bitmap, box: box.map((value) => value / d) };
      this.draw();
    } catch { /* the preview is shown instead */ }
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const c = this.context, ratio = window.devicePixelRatio || 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.image) return;
    c.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.left, ratio * this.top);
    c.imageSmoothingEnabled = this.scale * ratio < 3;
    c.imageSmoothingQuality = "medium";
    c.drawImage(this.image, 0, 0, this.width, this.height);
    if (this.close) {
      const [x0, y0, x1, y1] = this.close.box;
      c.drawImage(this.close.bitmap, x0, y0, x1 - x0, y1 - y0);
    }
    if (this.mask && this.maskShown) c.drawImage(this.mask, 0, 0, this.width, this.height);
    if (this.stroke) this.paintStroke(c);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.maskShown) for (const point of this.points) this.paintPoint(c, point);
    if (this.hover && ["brush", "eraser"].includes(this.tool)) {
      ring(c, this.hover[0], this.hover[1], this.brush / 2);
    }
    if (this.cross) this.paintCross(c);
  }

  paintStroke(c) {
    c.lineCap = c.lineJoin = "round";
    c.lineWidth = 2 * this.stroke.radius;
    c.strokeStyle = this.stroke.add ? "rgb(86 180 233 / .55)" : "rgb(34 38 43 / .6)";
    c.beginPath();
    const [first, ...rest] = this.stroke.points;
    c.moveTo(first[0] + 0.5, first[1] + 0.5);
    for (const [x, y] of rest.length ? rest : [first]) c.lineTo(x + 0.5, y + 0.5);
    c.stroke();
  }

  paintPoint(c, [px, py, label]) {
    const [x, y] = this.toScreen(px, py), r = 7;
    if (label === 1) {
      c.beginPath();
      c.arc(x, y, r, 0, 7);
      c.fillStyle = "#009e73";
      c.fill();
      c.lineWidth = 2.5;
      c.strokeStyle = "#fff";
      c.stroke();
      return;
    }
    for (const [color, width] of [["#fff", 7], ["#d55e00", 3.5]]) {
      c.strokeStyle = color;
      c.lineWidth = width;
      c.lineCap = "round";
      c.beginPath();
      c.moveTo(x - r + 1, y - r + 1); c.lineTo(x + r - 1, y + r - 1);
      c.moveTo(x - r + 1, y + r - 1); c.lineTo(x + r - 1, y - r + 1);
      c.stroke();
    }
  }

  paintCross(c) {
    const [x, y] = this.cross;
    for (const [color, width] of [["#000", 4], ["#fff", 1.5]]) {
      c.strokeStyle = color;
      c.lineWidth = width;
      c.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.moveTo(x + 4 * dx, y + 4 * dy);
        c.lineTo(x + 20 * dx, y + 20 * dy);
      }
      c.stroke();
    }
  }

  toImage(x, y) {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toScreen(px, py) {
    return [(px + 0.5) * this.scale + this.left, (py + 0.5) * this.scale + this.top];
  }

  // The pixel under a place on the screen; null outside the image.
  pixel(x, y) {
    const [ix, iy] = this.toImage(x, y);
    if (ix < 0 || iy < 0 || ix >= this.width || iy >= this.height) return null;
    return [ix - 0.5, iy - 0.5];
  }

  // -- pointers

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  pointerdown(event) {
    if (!this.image) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, { at, start: at, button: event.button, moved: false });
    const paints = ["brush", "eraser"].includes(this.tool) && event.button === 0;
    if (paints && this.pointers.size === 1) {
      const radius = this.brush / 2 / this.scale;
      this.stroke = { points: [this.rounded(at)], radius, add: this.tool === "brush" };
    } else this.stroke = null; // a second finger: zoom instead
    this.draw();
  }

  rounded(at) {
    return this.toImage(...at).map((value) => Math.round((value - 0.5) * 10) / 10);
  }

  pointermove(event) {
    if (!this.image) return;
    const at = this.place(event), held = this.pointers.get(event.pointerId);
    this.hover = at;
    if (!held) { this.draw(); return; }
    const before = held.at;
    held.moved ||= Math.hypot(at[0] - held.start[0], at[1] - held.start[1]) > MOVED;
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
    else if (this.stroke) {
      const point = this.rounded(at), end = this.stroke.points[this.stroke.points.length - 1];
      const far = Math.hypot(point[0] - end[0], point[1] - end[1]) > Math.max(0.7, this.stroke.radius / 5);
      if (far && this.stroke.points.length < 5000) this.stroke.points.push(point);
    } else if (held.moved) this.pan(at[0] - before[0], at[1] - before[1]);
    held.at = at;
    this.draw();
  }

  pinch(id, before, at) {
    const other = [...this.pointers].find(([name]) => name !== id)[1].at;
    const factor = Math.hypot(at[0] - other[0], at[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
    this.zoom(factor, (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
    this.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    for (const held of this.pointers.values()) held.moved = true;
  }

  pointerup(event) {
    const held = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!held || !this.image) return;
    if (this.stroke) {
      const stroke = this.stroke;
      this.on.stroke(stroke.points, stroke.radius, stroke.add).finally(() => {
        if (this.stroke === stroke) this.stroke = null;
        this.draw();
      });
      return;
    }
    if (held.moved || held.button === 1) return;
    const turned = held.button === 2 || event.shiftKey || event.altKey;
    if (["add", "remove"].includes(this.tool) || turned) {
      this.clickAt(held.at, (this.tool === "remove") !== turned ? 0 : 1);
    }
  }

  clickAt(at, label) {
    const pixel = this.pixel(...at);
    if (pixel) this.on.click(pixel[0], pixel[1], label);
  }

  pointercancel(event) {
    this.pointers.delete(event.pointerId);
    this.stroke = null;
    this.draw();
  }

  pointerleave() {
    this.hover = null;
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const step = event.deltaMode === 1 ? 24 * event.deltaY : event.deltaY;
    this.zoom(Math.exp(-Math.max(-300, Math.min(300, step)) / 400), ...this.place(event));
  }

  // -- keys: a cross that the arrows move

  keydown(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.image || event.ctrlKey || event.metaKey || event.altKey) return;
    if (ways[event.key]) {
      event.preventDefault();
      const size = event.shiftKey ? 1 : KEY_STEP, [dx, dy] = ways[event.key];
      this.cross ||= [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
      this.cross = [
        Math.min(Math.max(this.cross[0] + dx * size, 0), this.canvas.clientWidth - 1),
        Math.min(Math.max(this.cross[1] + dy * size, 0), this.canvas.clientHeight - 1),
      ];
      this.draw();
    } else if (event.key === "Enter" && this.cross) {
      event.preventDefault();
      if (["add", "remove"].includes(this.tool)) this.clickAt(this.cross, this.tool === "add" ? 1 : 0);
      else this.on.stroke([this.rounded(this.cross)], this.brush / 2 / this.scale, this.tool === "brush");
    }
  }
}

function ring(c, x, y, r) {
  for (const [color, width] of [["#000", 3], ["#fff", 1.5]]) {
    c.strokeStyle = color;
    c.lineWidth = width;
    c.beginPath();
    c.arc(x, y, Math.max(1, r), 0, 7);
    c.stroke();
  }
}
