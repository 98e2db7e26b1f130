// One image: clicks, brush, eraser, undo, accept. The server keeps the steps; this shows what it answers.

import { picture, send, step } from "/static/api.js";
import { chipOf } from "/static/gallery.js";
import { Stage } from "/static/stage.js";

const $ = (id) => document.getElementById(id);

export class Editor {
  constructor(page) {
    this.page = page; // what main.js offers: say, announce, images, order, show, leave, accepted, hasMasks
    this.index = -1;
    this.facts = {};
    this.stage = new Stage($("canvas"), {
      click: (x, y, label) => this.do("click", { x, y, label }),
      stroke: (points, radius, add) => this.do("stroke", { points, radius, add }),
    });
    for (const button of $("tools").children) button.onclick = () => this.choose(button.dataset.tool);
    this.buttons({
      back: () => this.page.leave(this.index), previous: () => this.go(-1), next: () => this.go(1),
      undo: () => this.do("undo"), redo: () => this.do("redo"), clear: () => this.do("clear"),
      suggest: () => this.suggest(), hide: () => this.hide(), accept: () => this.accept(),
      absent: () => this.absent(), reopen: () => this.do("reopen"),
      "zoom-in": () => this.stage.zoom(1.5), "zoom-out": () => this.stage.zoom(1 / 1.5), "zoom-fit": () => this.stage.fit(),
    });
    $("size").oninput = (event) => { this.stage.brush = Number(event.target.value); this.stage.draw(); };
    document.addEventListener("keydown", (event) => this.keydown(event));
    this.choose("add");
  }

  buttons(actions) {
    for (const [name, action] of Object.entries(actions)) {
      $(name).onclick = (event) => {
        action();
        if (event.detail && !$("view-editor").hidden) $("canvas").focus(); // after a mouse click, the keys go to the image
      };
    }
  }

  get isOpen() {
    return !$("view-editor").hidden;
  }

  async open(index, takeOver = false) {
    const image = this.page.images()[index];
    this.index = index;
    this.opened = false;
    this.ready = false;
    this.page.show();
    this.stage.clear();
    this.facts = {};
    this.refreshed();
    this.busy("Opening the image…");
    $("canvas").focus();
    try {
      const [answer, bitmap] = await Promise.all([
        step(index, "open", { take_over: takeOver }), picture(`/api/images/${index}/preview`),
      ]);
      if (index !== this.index) return;
      this.stage.show(index, bitmap, answer.facts.preview, answer.facts.size);
      this.opened = true;
      this.take(answer);
      this.page.announce(`${image.name} is open`);
      await this.getReady(index);
    } catch (error) {
      if (index === this.index) this.trouble(error);
    }
  }

  async getReady(index) {
    this.busy("Getting the image ready for clicks… You can click already.");
    await send(`/api/images/${index}/ready`);
    if (index !== this.index) return;
    this.ready = true;
    if (!this.working) this.busy("");
  }

  trouble(error) {
    this.busy("");
    if (error.status !== 409) {
      this.page.say(error.message);
      return;
    }
    if (confirm(`${error.message[0].toUpperCase()}${error.message.slice(1)}. Correct it here instead?`)) this.open(this.index, true);
    else this.page.leave(this.index);
  }

  closed() {
    this.index = -1;
    this.stage.clear();
  }

  // A run gave the images new masks: one without changes of its own is opened again.
  outdated() {
    if (this.isOpen && this.opened && !this.facts.undo) this.open(this.index);
  }

  do(what, payload = {}) {
    this.latest = this.make(what, payload); // what follows, such as accepting, waits for it
    return this.latest;
  }

  async make(what, payload) {
    if (!this.opened) return;
    const index = this.index;
    this.working = (this.working || 0) + 1;
    const slow = setTimeout(() => this.busy(this.ready ? "Working…" : "Getting the image ready…"), 250);
    try {
      const answer = await step(index, what, payload);
      if (index === this.index) this.take(answer);
    } catch (error) {
      if (index === this.index) this.trouble(error);
    } finally {
      clearTimeout(slow);
      this.working -= 1;
      if (!this.working && this.ready) this.busy("");
    }
  }

  take({ facts, mask }) {
    this.facts = facts;
    this.stage.setMask(mask, facts.points);
    this.refreshed();
  }

  async suggest() {
    if (!this.opened) return;
    const index = this.index;
    this.busy("Looking for the next click…");
    try {
      const { json } = await step(index, "suggest");
      if (index !== this.index) return;
      if (json.click) await this.do("click", json.click);
      else this.page.announce("Nothing is left to suggest");
      $("editor-note").textContent = json.click ? "One click was made for you. Undo takes it back." : "Nothing is left to suggest here.";
    } catch (error) {
      this.trouble(error);
    }
    this.busy("");
  }

  async accept() {
    await this.latest;
    if (!this.opened || this.accepting) return;
    const index = this.index, name = this.page.images()[index].name;
    if (this.facts.empty && this.page.images()[index].status === "new" && !this.facts.undo) {
      this.page.say("There is no mask yet. Click on the object, or press X where it is not in this image.");
      return;
    }
    this.accepting = true;
    this.busy("Keeping the mask…");
    try {
      await step(index, "accept");
      this.busy("");
      this.page.say("");
      this.page.announce(`${name} accepted`);
      await this.page.accepted(index);
    } catch (error) {
      this.trouble(error);
    }
    this.accepting = false;
  }

  async absent() {
    await this.latest;
    if (!this.facts.empty || !this.facts.undo) await this.do("clear");
    await this.accept();
  }

  go(way) {
    const order = this.page.order(), place = order.indexOf(this.index);
    const next = order[place < 0 ? 0 : place + way];
    if (next !== undefined) this.open(next);
  }

  choose(tool) {
    this.stage.tool = tool;
    for (const button of $("tools").children) {
      button.setAttribute("aria-checked", String(button.dataset.tool === tool));
      button.tabIndex = button.dataset.tool === tool ? 0 : -1;
    }
    $("size-row").hidden = !["brush", "eraser"].includes(tool);
    this.stage.draw();
  }

  hide() {
    this.stage.maskShown = !this.stage.maskShown;
    $("hide").setAttribute("aria-pressed", String(!this.stage.maskShown));
    $("hide").firstChild.textContent = this.stage.maskShown ? "Hide mask" : "Show mask";
    this.stage.draw();
  }

  busy(text) {
    $("busy").hidden = !text;
    $("busy").textContent = text;
  }

  // What the panel says of the image; called whenever something of it changed.
  refreshed() {
    if (this.index < 0) return;
    const image = this.page.images()[this.index], order = this.page.order(), place = order.indexOf(this.index);
    if (!image) return;
    $("editor-title").textContent = image.name;
    $("position").textContent = place < 0 ? "" : `${place + 1} of ${order.length}`;
    $("previous").disabled = place <= 0;
    $("next").disabled = place + 1 >= order.length;
    $("undo").disabled = !this.facts.undo;
    $("redo").disabled = !this.facts.redo;
    $("clear").disabled = Boolean(this.facts.empty);
    $("reopen").hidden = !image.accepted;
    $("accept").firstChild.textContent = image.accepted ? "Accept again" : this.page.hasMasks() ? "Accept" : "Accept example";
    $("accept").disabled = !this.opened;
    $("editor-note").textContent = this.note(image);
  }

  note(image) {
    if (image.status === "failed" && image.error) return image.error;
    if (image.accepted && !this.facts.undo) return image.accepted === "absent" ? "Accepted: not in this image." : "This mask is accepted.";
    if (this.facts.undo) return this.facts.empty ? "The mask is empty." : "Right? Accept it. Or go on: a wrong place, one more click.";
    const [text] = chipOf(image);
    if (image.status === "absent") return "The object was not found here. Click on it if it is there.";
    if (image.status === "ok") return `Confidence ${text}. Click where the mask is wrong, or accept it.`;
    return "Click on the object. The mask follows.";
  }

  keydown(event) {
    if (!this.isOpen || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.closest?.("#tools") && ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) {
      const tools = [...$("tools").children], here = tools.indexOf(at);
      const next = tools[(here + (["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : tools.length - 1)) % tools.length];
      next.focus();
      this.choose(next.dataset.tool);
      event.preventDefault();
      return;
    }
    if (event.key === " " && at.closest?.("button, summary, input")) return; // a focused button keeps its own key
    const brush = (change) => { $("size").value = this.stage.brush + change; this.stage.brush = Number($("size").value); this.stage.draw(); };
    const actions = {
      n: () => this.go(1), p: () => this.go(-1), " ": () => this.accept(),
      a: () => this.choose("add"), d: () => this.choose("remove"), b: () => this.choose("brush"), e: () => this.choose("eraser"),
      z: () => this.do(event.shiftKey ? "redo" : "undo"), y: () => this.do("redo"), x: () => this.absent(),
      s: () => this.suggest(), h: () => this.hide(), escape: () => this.page.leave(this.index),
      "+": () => this.stage.zoom(1.3), "=": () => this.stage.zoom(1.3), "-": () => this.stage.zoom(1 / 1.3), 0: () => this.stage.fit(),
      "[": () => brush(-6), "]": () => brush(6),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action || (event.repeat && [" ", "n", "p", "x", "s"].includes(event.key.toLowerCase()))) return;
    event.preventDefault();
    action();
  }
}
