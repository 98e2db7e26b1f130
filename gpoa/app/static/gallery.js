// The grid of thumbnails. Only the rows in sight exist, so that a folder of 20,000 images costs what one of 20 does.

const GAP = 12, LEAST = 190, ROWS_BEYOND = 2;

export class Gallery {
  constructor(scroll, grid, onOpen) {
    [this.scroll, this.grid, this.onOpen] = [scroll, grid, onOpen];
    this.order = [];
    this.images = [];
    this.tiles = new Map();
    this.current = 0; // place in the order that the tab key reaches
    scroll.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(scroll);
    grid.addEventListener("keydown", (event) => this.keydown(event));
    grid.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.onOpen(Number(tile.dataset.index));
    });
  }

  set(order, images) {
    [this.order, this.images] = [order, images];
    this.current = Math.min(this.current, Math.max(0, order.length - 1));
    this.render();
  }

  measure() {
    const width = this.grid.clientWidth;
    const columns = Math.max(1, Math.floor((width + GAP) / (LEAST + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    return { columns, side, height: Math.round(side * 0.78) + 32 };
  }

  render() {
    if (!this.grid.clientWidth) return;
    const { columns, side, height } = this.measure();
    const rows = Math.ceil(this.order.length / columns), pitch = height + GAP;
    this.grid.style.height = `${Math.max(0, rows * pitch - GAP)}px`;
    const top = this.scroll.scrollTop, first = Math.max(0, Math.floor(top / pitch) - ROWS_BEYOND);
    const last = Math.min(rows, Math.ceil((top + this.scroll.clientHeight) / pitch) + ROWS_BEYOND);
    const wanted = new Set();
    for (let place = first * columns; place < Math.min(last * columns, this.order.length); place++) {
      const index = this.order[place], tile = this.tile(index);
      wanted.add(index);
      const [column, row] = [place % columns, Math.floor(place / columns)];
      tile.style.transform = `translate(${column * (side + GAP)}px, ${row * pitch}px)`;
      tile.style.width = `${side}px`;
      tile.style.height = `${height}px`;
      tile.tabIndex = place === this.current ? 0 : -1;
      tile.setAttribute("aria-posinset", place + 1);
      tile.setAttribute("aria-setsize", this.order.length);
      if (tile.parentNode !== this.grid) this.grid.append(tile);
    }
    for (const [index, tile] of this.tiles) {
      if (!wanted.has(index)) {
        tile.remove();
        this.tiles.delete(index);
      }
    }
  }

  tile(index) {
    let tile = this.tiles.get(index);
    if (!tile) {
      tile = document.createElement("button");
      tile.type = "button";
      tile.className = "tile";
      tile.setAttribute("role", "listitem");
      tile.dataset.index = index;
      tile.innerHTML = '<span class="picture"></span><span class="caption"><span class="file"></span><span class="chip"></span></span>';
      this.tiles.set(index, tile);
    }
    const image = this.images[index];
    const version = `${image.v}/${image.status}`;
    if (tile.dataset.version !== version) {
      tile.dataset.version = version;
      fill(tile, image);
    }
    return tile;
  }

  focus(place) {
    if (!this.order.length) return;
    this.current = Math.min(Math.max(place, 0), this.order.length - 1);
    const { columns, height } = this.measure(), row = Math.floor(this.current / columns), pitch = height + GAP;
    if (row * pitch < this.scroll.scrollTop) this.scroll.scrollTop = row * pitch;
    else if ((row + 1) * pitch > this.scroll.scrollTop + this.scroll.clientHeight - 30)
      this.scroll.scrollTop = (row + 1) * pitch - this.scroll.clientHeight + 30;
    this.render();
    this.tiles.get(this.order[this.current])?.focus();
  }

  keydown(event) {
    const { columns } = this.measure();
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -4 * columns, PageDown: 4 * columns };
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const here = this.order.indexOf(Number(tile.dataset.index));
    if (event.key in steps) this.focus(here + steps[event.key]);
    else if (event.key === "Home") this.focus(0);
    else if (event.key === "End") this.focus(this.order.length - 1);
    else return;
    event.preventDefault();
  }
}

export function chipOf(image) {
  if (image.accepted === "absent") return ["not in image", "good"];
  if (image.accepted) return ["accepted", "good"];
  if (image.edited) return ["edited", "edited"];
  if (image.status === "failed") return ["cannot be read", "low"];
  if (image.status === "absent") return ["not found", "low"];
  if (image.status === "ok" && image.confidence !== undefined) return [image.confidence.toFixed(2), image.confidence < 0.6 ? "low" : ""];
  return ["", ""];
}

function fill(tile, image) {
  const holder = tile.querySelector(".picture"), [text, kind] = chipOf(image), chip = tile.querySelector(".chip");
  if (image.status === "failed") holder.textContent = "cannot be read";
  else {
    const picture = new Image();
    picture.decoding = "async";
    picture.alt = "";
    picture.onload = () => holder.replaceChildren(picture);
    picture.onerror = () => { holder.textContent = "cannot be shown"; };
    picture.src = `/api/images/${image.i}/thumb?v=${encodeURIComponent(image.project)}-${image.v}`;
  }
  tile.querySelector(".file").textContent = image.name;
  chip.textContent = text;
  chip.className = `chip ${kind}`;
  chip.hidden = !text;
  const sure = /^\d/.test(text) ? `confidence ${text}` : text;
  tile.setAttribute("aria-label", [image.name, sure].filter(Boolean).join(", "));
  tile.title = image.error ? `${image.name}: ${image.error}` : image.name;
}
