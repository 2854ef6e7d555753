"use strict";
(() => {
  const VEIL = [10, 12, 18, 168], FILL = 128, FILL_LIT = 150, EDGE = 215;
  const cards = [];

  // One card: two stages (photo, segments) over one map of segment numbers, and the list of labels.
  class Card {
    constructor(element) {
      this.element = element;
      this.buttons = [...element.querySelectorAll(".labels button")];
      this.texts = this.buttons.map(b => b.querySelector(".label").textContent);
      this.colours = this.buttons.map(b => parseInt(b.dataset.colour.slice(1), 16));
      this.list = element.querySelector(".labels");
      this.photo = element.querySelector(".photo img");
      this.map = element.querySelector(".map");
      this.hovered = this.pinned = -1;
      this.matches = null;
      this.index = null;
      this.visible = false;
      this.stages = [...element.querySelectorAll(".stage")].map(stage => this.stage(stage));
      this.buttons.forEach((button, i) => this.listen(button, i));
    }

    stage(element) {
      const coloured = element.classList.contains("segments");
      if (coloured) {
        const copy = document.createElement("img");
        copy.alt = this.map.alt;
        copy.draggable = false;
        copy.width = this.photo.getAttribute("width");
        copy.height = this.photo.getAttribute("height");
        copy.src = this.photo.src;
        this.map.replaceWith(copy);
      }
      // A tall photo is kept on one screen.
      element.style.maxWidth = `calc(min(600px, 84vh) * ${this.photo.getAttribute("width") / this.photo.getAttribute("height")})`;
      const canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      const tip = document.createElement("div");
      tip.className = "tip";
      tip.hidden = true;
      element.append(canvas, tip);
      const stage = { element, coloured, canvas, tip, cells: null, tags: [] };
      canvas.addEventListener("pointermove", event => {
        if (event.pointerType !== "touch") this.point(stage, event);
      });
      canvas.addEventListener("pointerleave", () => { tip.hidden = true; this.hover(-1); });
      canvas.addEventListener("click", event => {
        const at = this.pick(stage, event);
        this.pin(at);
        if (event.pointerType === "touch") this.point(stage, event);
      });
      return stage;
    }

    listen(button, i) {
      button.addEventListener("pointerenter", event => { if (event.pointerType !== "touch") this.hover(i); });
      button.addEventListener("pointerleave", () => this.hover(-1));
      button.addEventListener("focus", () => this.hover(i));
      button.addEventListener("blur", () => this.hover(-1));
      button.addEventListener("click", () => this.pin(i));
      button.addEventListener("keydown", event => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const next = step && this.buttons[i + step];
        if (next) { event.preventDefault(); next.focus(); }
      });
    }

    // The map's PNG -> one segment number a pixel. A colour that some browsers' privacy noise moved is matched to the nearest.
    async decode() {
      await Promise.all([this.map.decode(), this.photo.decode()]);
      const width = this.width = this.map.naturalWidth, height = this.height = this.map.naturalHeight;
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(this.map, 0, 0);
      const pixels = context.getImageData(0, 0, width, height).data;
      const known = new Map(this.colours.map((colour, i) => [colour, i]));
      const index = new Uint16Array(width * height);
      for (let i = 0, p = 0; i < index.length; i++, p += 4) {
        const colour = pixels[p] << 16 | pixels[p + 1] << 8 | pixels[p + 2];
        let found = known.get(colour);
        if (found === undefined) known.set(colour, found = this.nearest(colour));
        index[i] = found;
      }
      this.index = index;
    }

    nearest(colour) {
      let best = 0, least = Infinity;
      this.colours.forEach((other, i) => {
        const r = (colour >> 16) - (other >> 16), g = (colour >> 8 & 255) - (other >> 8 & 255), b = (colour & 255) - (other & 255);
        const distance = r * r + g * g + b * b;
        if (distance < least) { least = distance; best = i; }
      });
      return best;
    }

    async show() {
      if (this.visible) return;
      this.visible = true;
      if (!this.index) await this.decode();
      if (!this.visible) return;
      this.layout();
      this.element.dataset.ready = "";
    }

    hide() {
      this.visible = false;
      delete this.element.dataset.ready;
      this.index = null;
      for (const stage of this.stages) { stage.cells = null; stage.canvas.width = stage.canvas.height = 0; }
    }

    // Canvases at the screen's resolution, so that outlines stay thin whatever the photo's size.
    layout() {
      if (!this.index) return;
      for (const stage of this.stages) {
        const scale = Math.min(window.devicePixelRatio || 1, 2);
        const w = Math.max(1, Math.round(stage.canvas.clientWidth * scale)), h = Math.max(1, Math.round(stage.canvas.clientHeight * scale));
        stage.canvas.width = w;
        stage.canvas.height = h;
        const cells = new Uint16Array(w * h);
        for (let y = 0; y < h; y++) {
          const row = Math.floor((y + .5) * this.height / h) * this.width;
          for (let x = 0; x < w; x++) cells[y * w + x] = this.index[row + Math.floor((x + .5) * this.width / w)];
        }
        stage.cells = cells;
        if (stage.coloured) this.tag(stage);
      }
      this.draw();
    }

    at(x, y) {
      const column = Math.floor(x * this.width), row = Math.floor(y * this.height);
      return column < 0 || row < 0 || column >= this.width || row >= this.height ? -1 : this.index[row * this.width + column];
    }

    // A label, or else its number, where it stands inside its segment and free of the others; largest segments first.
    tag(stage) {
      stage.tags.forEach(tag => tag && tag.remove());
      const w = stage.canvas.clientWidth, h = stage.canvas.clientHeight, placed = [];
      stage.tags = this.buttons.map((button, i) => {
        const tag = document.createElement("span");
        const cx = +button.dataset.x, cy = +button.dataset.y;
        tag.className = "tag";
        tag.style.left = cx * 100 + "%";
        tag.style.top = cy * 100 + "%";
        stage.element.append(tag);
        for (const text of [this.texts[i], String(i + 1)]) {
          tag.textContent = text;
          const bw = tag.offsetWidth, bh = tag.offsetHeight;
          const box = { l: cx * w - bw / 2, t: cy * h - bh / 2, r: cx * w + bw / 2, b: cy * h + bh / 2 };
          if (box.l < 0 || box.t < 0 || box.r > w || box.b > h) continue;
          if (placed.some(o => box.l < o.r + 2 && box.r > o.l - 2 && box.t < o.b + 2 && box.b > o.t - 2)) continue;
          let inside = 0;
          for (let k = 0; k < 28; k++) {
            const x = box.l + (k % 7 + .5) / 7 * bw, y = box.t + (Math.floor(k / 7) + .5) / 4 * bh;
            if (this.at(x / w, y / h) === i) inside++;
          }
          if (inside < 26) continue;
          placed.push(box);
          return tag;
        }
        tag.remove();
        return null;
      });
    }

    lit() {
      if (this.hovered >= 0) return new Set([this.hovered]);
      if (this.pinned >= 0) return new Set([this.pinned]);
      return this.matches;
    }

    draw() {
      const lit = this.lit();
      const on = this.buttons.map((_, i) => Boolean(lit && lit.has(i)));
      this.buttons.forEach((button, i) => {
        button.classList.toggle("on", on[i]);
        button.setAttribute("aria-pressed", String(this.pinned === i));
      });
      this.element.classList.toggle("lit", Boolean(lit));
      for (const stage of this.stages) {
        stage.tags.forEach((tag, i) => tag && tag.classList.toggle("on", on[i]));
        if (stage.cells) this.paint(stage, lit ? on : null);
      }
    }

    paint({ canvas, cells, coloured }, on) {
      const w = canvas.width, h = canvas.height, context = canvas.getContext("2d");
      const picture = context.createImageData(w, h), data = picture.data;
      for (let y = 0, i = 0; y < h; y++) {
        for (let x = 0; x < w; x++, i++) {
          const p = i * 4, cell = cells[i], right = x + 1 < w ? cells[i + 1] : cell, below = y + 1 < h ? cells[i + w] : cell;
          if (on ? on[cell] !== on[right] || on[cell] !== on[below] : coloured && (cell !== right || cell !== below)) {
            data[p] = data[p + 1] = data[p + 2] = 255;
            data[p + 3] = EDGE;
          } else if (on && !on[cell]) {
            data[p] = VEIL[0]; data[p + 1] = VEIL[1]; data[p + 2] = VEIL[2]; data[p + 3] = VEIL[3];
          } else if (coloured) {
            const colour = this.colours[cell];
            data[p] = colour >> 16; data[p + 1] = colour >> 8 & 255; data[p + 2] = colour & 255;
            data[p + 3] = on ? FILL_LIT : FILL;
          }
        }
      }
      context.putImageData(picture, 0, 0);
    }

    pick(stage, event) {
      if (!this.index) return -1;
      const box = stage.canvas.getBoundingClientRect();
      return this.at((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }

    point(stage, event) {
      const i = this.pick(stage, event), tip = stage.tip, box = stage.canvas.getBoundingClientRect();
      this.hover(i);
      tip.hidden = i < 0;
      if (i < 0) return;
      tip.textContent = this.texts[i];
      const small = document.createElement("small");
      const get = name => this.buttons[i].querySelector(name).textContent;
      small.textContent = get(".area") + " of the image · score " + get(".score");
      tip.append(small);
      const x = event.clientX - box.left, y = event.clientY - box.top, w = tip.offsetWidth, h = tip.offsetHeight;
      tip.style.left = Math.max(4, Math.min(x + 16, box.width - w - 4)) + "px";
      tip.style.top = (y + 18 + h < box.height ? y + 18 : Math.max(4, y - h - 12)) + "px";
    }

    hover(i) {
      if (i === this.hovered) return;
      this.hovered = i;
      this.draw();
      if (i < 0) return;
      const entry = this.buttons[i].parentElement, list = this.list;
      if (list.scrollHeight > list.clientHeight) {
        const top = entry.offsetTop - list.offsetTop, bottom = top + entry.offsetHeight;
        if (top < list.scrollTop) list.scrollTop = top;
        else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
      }
    }

    pin(i) {
      this.pinned = i === this.pinned ? -1 : i;
      this.draw();
    }

    search(words) {
      const found = this.texts.map(text => words !== "" && text.toLowerCase().includes(words));
      this.buttons.forEach((button, i) => button.classList.toggle("match", found[i]));
      this.matches = words === "" ? null : new Set(found.flatMap((yes, i) => yes ? [i] : []));
      this.element.hidden = words !== "" && this.matches.size === 0;
      if (!this.element.hidden) this.draw();
      return !this.element.hidden;
    }
  }

  document.querySelectorAll(".card").forEach(element => { element.card = cards.push(new Card(element)) - 1; });

  const near = new IntersectionObserver(entries => entries.forEach(entry => {
    const card = cards[entry.target.card];
    if (entry.isIntersecting) card.show().catch(error => console.error(error));
    else card.hide();
  }), { rootMargin: "900px" });
  const sizes = new ResizeObserver(entries => entries.forEach(entry => cards[entry.target.card].layout()));
  cards.forEach(card => { near.observe(card.element); sizes.observe(card.element); });

  const box = document.querySelector(".search"), found = document.querySelector(".found");
  const common = [...document.querySelectorAll(".common button")];
  const search = () => {
    const words = box.value.trim().toLowerCase();
    const shown = cards.filter(card => card.search(words)).length;
    common.forEach(button => button.setAttribute("aria-pressed", String(button.textContent.toLowerCase() === words)));
    found.textContent = words === "" ? "" : shown + " of " + cards.length + found.dataset.where;
  };
  if (box) {
    box.addEventListener("input", search);
    common.forEach(button => button.addEventListener("click", () => {
      box.value = button.getAttribute("aria-pressed") === "true" ? "" : button.textContent;
      search();
    }));
    document.addEventListener("keydown", event => {
      if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
      if (event.key === "Escape") {
        cards.forEach(card => { if (card.pinned >= 0) card.pin(card.pinned); });
        if (box.value) { box.value = ""; search(); }
      }
    });
    if (box.value) search();
  }
})();
