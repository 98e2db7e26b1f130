// The page: which part is shown, what the next step is, and what the server says of the project.

import { get, send } from "/static/api.js";
import { Editor } from "/static/editor.js";
import { Gallery } from "/static/gallery.js";

const $ = (id) => document.getElementById(id);
const VIEWS = ["wait", "folder", "gallery", "editor", "export"];
const page = { view: "wait", filter: "check", state: null, images: [], order: [], revision: 0, project: "" };

const gallery = new Gallery($("scroll"), $("grid"), (index) => editor.open(index));
const editor = new Editor({
  say, announce,
  images: () => page.images,
  order: () => page.order,
  hasMasks: () => made().length > 0,
  show: () => show("editor"),
  leave: (index) => {
    show("gallery");
    if (page.order.includes(index)) gallery.focus(page.order.indexOf(index));
    refresh();
  },
  accepted: afterAccept,
});

// -- what the server says

const busyStates = ["waiting", "learning", "running", "closing"];
const isRunning = () => Boolean(page.state?.job && busyStates.includes(page.state.job.state));
const made = () => page.images.filter((image) => ["ok", "absent"].includes(image.status) && !image.accepted);

async function refresh() {
  clearTimeout(page.timer);
  try {
    take(await get(`/api/state?since=${page.revision}&project=${encodeURIComponent(page.project)}`));
  } catch (error) {
    say(error.message);
  }
  page.timer = setTimeout(refresh, document.hidden ? 5000 : isRunning() ? 500 : 2500);
}

function take(state) {
  const ran = isRunning(), before = page.state?.job;
  page.state = state;
  if (state.trouble) say(state.trouble);
  if (!state.project) {
    Object.assign(page, { images: [], order: [], revision: 0, project: "" });
    if (page.view !== "folder") showFolders("");
    drawBar();
    return;
  }
  const fresh = state.project.id !== page.project;
  if (fresh) Object.assign(page, { images: [], order: [], project: state.project.id, filter: "check" });
  for (const image of state.changed) page.images[image.i] = { ...image, project: state.project.id };
  page.revision = state.revision;
  if (fresh || state.changed.length || ran !== isRunning()) sort(fresh || !isRunning());
  if (ran && !isRunning()) ended(state.job);
  if (!ran && isRunning()) announce("Segmenting has begun");
  if (fresh) show("gallery");
  if (fresh || JSON.stringify(before) !== JSON.stringify(state.job) || state.changed.length) draw();
}

function ended(job) {
  if (job.state === "failed") say(job.error);
  else if (job.state === "cancelled") say(`Cancelled after ${job.done} of ${job.total} images. What is done is kept.`, true);
  else {
    page.filter = "check";
    const failed = job.failed ? ` ${job.failed} could not be read.` : "";
    say(`Done: ${job.done} images in ${time(job.seconds)}.${failed}`, !job.failed);
  }
  editor.outdated();
}

const FILTERS = {
  check: ["To check", (image) => !image.accepted],
  accepted: ["Accepted", (image) => Boolean(image.accepted)],
  lost: ["Not found", (image) => image.status === "absent" && !image.accepted],
  failed: ["Cannot be read", (image) => image.status === "failed"],
  all: ["All", () => true],
};

// Least sure first. While a run goes on, images keep their places: nothing jumps away under the pointer.
function sort(anew) {
  const wanted = page.images.filter(FILTERS[page.filter][1]).map((image) => image.i);
  const rank = (image) => (image.status === "failed" ? 3 : image.status === "new" ? 2 : image.confidence ?? 1);
  if (anew) wanted.sort((a, b) => rank(page.images[a]) - rank(page.images[b]) || a - b);
  else {
    const places = new Map(page.order.map((index, place) => [index, place]));
    wanted.sort((a, b) => (places.get(a) ?? 1e9) - (places.get(b) ?? 1e9) || a - b);
  }
  page.order = wanted;
}

// -- what is shown

function show(view) {
  if (page.view === "editor" && view !== "editor") editor.closed();
  page.view = view;
  for (const name of VIEWS) $(`view-${name}`).hidden = name !== view;
  if (view === "gallery") { sort(!isRunning()); draw(); }
  if (view === "export") drawExport();
  drawBar();
}

function draw() {
  drawBar();
  if (page.view === "gallery") {
    drawGuide();
    drawFilters();
    gallery.set(page.order, page.images);
    const empty = page.order.length === 0;
    $("nothing").hidden = !empty;
    $("nothing").textContent = page.filter === "check" ? "Nothing is left to check." : "There is no such image.";
  }
  editor.refreshed();
}

function drawBar() {
  const { state } = page, open = Boolean(state?.project);
  const steps = {
    folder: true, example: open, segment: open && state.examples > 0, check: open && made().length > 0,
    export: open && page.images.some((image) => image.accepted || image.status === "ok"),
  };
  const now = page.view === "folder" ? "folder" : page.view === "export" ? "export" : !open ? "folder"
    : isRunning() ? "segment" : made().length ? "check" : state.examples ? "segment" : "example";
  const done = { folder: open, example: open && state.examples > 0, segment: open && made().length > 0 };
  for (const button of $("steps").querySelectorAll("button")) {
    const step = button.dataset.step;
    button.disabled = !steps[step];
    button.parentNode.classList.toggle("done", Boolean(done[step]) && step !== now);
    if (step === now) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
  }
  $("place").textContent = open ? state.project.images.split(/[\\/]/).slice(-2).join("/") : "";
  $("place").title = open ? `Images: ${state.project.images}\nMasks: ${state.project.output}` : "";
}

const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

function guide() {
  const { state } = page, left = page.images.filter((image) => !image.accepted).length, job = state.job;
  const run = (label) => [label, "primary", startRun];
  const exporting = ["Export…", "", () => show("export")];
  if (isRunning()) {
    const doing = { waiting: "Waiting for the models…", learning: `Learning from ${many(job.references, "example")}…`, closing: "Writing the last files…" };
    return [doing[job.state] || `Segmenting ${many(job.total, "image")}`, "You can go on looking and correcting meanwhile.",
      [[job.cancelling ? "Cancelling…" : "Cancel", job.cancelling ? "disabled" : "", cancel]]];
  }
  if (!state.examples) {
    return ["Show one example", "Choose an image below that shows the object well. You will click on the object in it.", []];
  }
  if (!left) return ["Every image is accepted", "Take the masks with you.", [["Export…", "primary", () => show("export")]]];
  if (!made().length) {
    return [`${many(state.examples, "example")} accepted`, "One is enough to begin. The masks of the other images are made from it.",
      [run(`Segment the other ${many(left, "image")}`)]];
  }
  if (state.unlearned) {
    return [`${many(state.unlearned, "accepted mask")} not learned from yet`,
      "Learning makes them examples, too, and segments the images that are left to check again.",
      [run(`Learn and segment ${many(left, "image")} again`), ["Check the next one", "", checkNext], exporting]];
  }
  const undone = page.images.filter((image) => image.status === "new" && !image.accepted).length;
  if (undone) {
    return [`${many(undone, "image")} without a mask yet`, "The last run did not reach them.",
      [run(`Segment ${many(undone, "image")}`), ["Check the least sure", "", checkNext], exporting]];
  }
  return ["Check the least sure masks first", "Accept what is right and correct what is not. After some corrections, let gpoa learn from them.",
    [["Check the least sure", "primary", checkNext], exporting]];
}

function drawGuide() {
  const [title, text, actions] = guide(), job = page.state.job;
  $("guide-title").textContent = title;
  $("guide-text").textContent = text;
  const wanted = JSON.stringify(actions.map(([label, kind]) => [label, kind]));
  if ($("guide-actions").dataset.wanted !== wanted) {
    $("guide-actions").dataset.wanted = wanted;
    $("guide-actions").replaceChildren(...actions.map(([label, kind]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.className = kind === "primary" ? "primary" : "";
      button.disabled = kind === "disabled";
      return button;
    }));
  }
  [...$("guide-actions").children].forEach((button, place) => { button.onclick = actions[place][2]; });
  $("progress").hidden = !isRunning();
  if (!isRunning()) return;
  const bar = $("progress-bar");
  if (job.state === "running") {
    bar.max = job.total;
    bar.value = job.done;
  } else bar.removeAttribute("value");
  const rest = job.left === undefined ? "" : `, about ${time(job.left)} left`;
  $("progress-text").textContent = job.state === "running" ? `${job.done} of ${job.total}${rest}` : "";
}

function drawFilters() {
  const counts = {};
  for (const name of Object.keys(FILTERS)) counts[name] = page.images.filter(FILTERS[name][1]).length;
  const shown = Object.keys(FILTERS).filter((name) => ["check", "accepted", "all"].includes(name) || counts[name] || name === page.filter);
  const holder = $("filters");
  const buttons = shown.map((name) => {
    const button = holder.querySelector(`[data-filter="${name}"]`) || document.createElement("button");
    button.type = "button";
    button.dataset.filter = name;
    button.textContent = `${FILTERS[name][0]} (${counts[name].toLocaleString("en")})`;
    button.setAttribute("aria-pressed", String(name === page.filter));
    button.onclick = () => { page.filter = name; $("scroll").scrollTop = 0; sort(true); draw(); };
    return button;
  });
  const note = document.createElement("span");
  note.className = "order";
  note.textContent = made().length ? "least sure first" : "";
  const focused = document.activeElement;
  holder.replaceChildren(...buttons, note);
  if (buttons.includes(focused)) focused.focus();
}

// -- what a person does

async function startRun() {
  try {
    await send("/api/run");
    show("gallery");
  } catch (error) {
    say(error.message);
  }
  refresh();
}

async function cancel() {
  await send("/api/cancel").catch((error) => say(error.message));
  refresh();
}

function checkNext() {
  if (page.filter !== "check") page.filter = "check";
  sort(!isRunning());
  if (page.order.length) editor.open(page.order[0]);
}

// After an image is accepted: on to the next one to check, or back to the gallery, whose next step is marked.
async function afterAccept(index) {
  const place = page.order.indexOf(index);
  page.images[index] = { ...page.images[index], accepted: "mask" };
  await refresh();
  const rest = page.order.filter((one) => !page.images[one].accepted);
  const next = page.filter === "check" ? page.order[Math.max(0, place)] ?? rest[0] : page.order[place + 1];
  if (made().length && next !== undefined && next !== index && page.images[next].status !== "failed") {
    editor.open(next);
    return;
  }
  show("gallery");
  $("guide-actions").querySelector(".primary")?.focus();
}

async function showFolders(path) {
  show("folder");
  try {
    drawFolders(await get(`/api/folders?path=${encodeURIComponent(path)}`));
  } catch (error) {
    say(error.message);
  }
}

function drawFolders(found) {
  const parts = found.path ? found.path.split("/") : [], crumbs = [];
  for (let depth = 0; depth <= parts.length; depth++) {
    const name = depth ? parts[depth - 1] : found.root.split(/[\\/]/).pop() || found.root;
    const crumb = document.createElement(depth === parts.length ? "b" : "button");
    crumb.textContent = name;
    if (depth < parts.length) crumb.onclick = () => showFolders(parts.slice(0, depth).join("/"));
    crumbs.push(...(depth ? [" / ", crumb] : [crumb]));
  }
  $("crumbs").replaceChildren(...crumbs);
  $("here").hidden = !found.images && !found.project;
  $("here-count").textContent = found.project ? "A project that was begun before" : counted(found.images);
  $("here-note").textContent = found.project ? "" : " in this folder";
  $("open-here").textContent = found.project ? "Go on with it" : "Open this folder";
  $("open-here").onclick = () => openFolder(found.path);
  $("folders").replaceChildren(...found.folders.map((folder) => folderRow(found.path, folder)));
  $("no-folders").hidden = found.folders.length > 0 || found.images > 0;
}

const counted = (count) => (count >= 2000 ? "2,000 images or more" : many(count, "image"));

function folderRow(path, folder) {
  const row = document.createElement("li"), button = document.createElement("button"), name = document.createElement("span");
  const tag = document.createElement("span");
  button.type = "button";
  name.className = "name";
  name.textContent = folder.name;
  tag.className = folder.project ? "tag project" : "tag";
  tag.textContent = folder.project ? "project" : counted(folder.images);
  tag.hidden = !folder.project && !folder.images;
  button.append(name, tag);
  button.onclick = () => showFolders(path ? `${path}/${folder.name}` : folder.name);
  row.append(button);
  return row;
}

async function openFolder(path) {
  show("wait");
  try {
    take(await send("/api/open", { path }));
  } catch (error) {
    say(error.message);
    await showFolders(path);
  }
}

async function leaveFolder() {
  try {
    take(await send("/api/close"));
  } catch (error) {
    say(error.message);
  }
}

// -- export

const TITLES = {
  masks: "Mask images", coco: "COCO", "yolo-seg": "YOLO", labels: "Label images", geojson: "GeoJSON", geotiff: "GeoTIFF",
  "imagej-rois": "ImageJ regions", "label-studio": "Label Studio", cvat: "CVAT", csv: "Table (CSV)", napari: "napari",
};

function drawExport() {
  const accepted = page.images.filter((image) => image.accepted).length, unchecked = made().length;
  $("export-lead").textContent = `${many(accepted, "mask")} accepted` + (unchecked ? `, ${many(unchecked, "mask")} not checked.` : ".");
  $("command").textContent = page.state.command || "(there is no example yet)";
  $("exports").replaceChildren(...page.state.formats.map(exportCard));
}

function exportCard({ to, about }) {
  const card = document.createElement("div");
  card.className = "card";
  card.innerHTML = '<h2></h2><p></p><p class="result" role="status" hidden></p><button type="button"></button>';
  const [head, body, result, button] = card.children, title = TITLES[to] || to;
  [head.textContent, body.textContent] = [title, about];
  button.textContent = to === "masks" ? "Where are they?" : "Write";
  button.setAttribute("aria-label", `${button.textContent} ${title}`);
  button.onclick = async () => {
    button.disabled = true;
    try {
      const done = await send("/api/export", { to });
      result.textContent = `${many(done.count, "image")}: ${done.path}`;
      result.hidden = false;
      if (done.failed.length) say(done.failed[0]);
    } catch (error) {
      say(error.message);
    }
    button.disabled = false;
  };
  return card;
}

// -- messages

function say(text, good = false) {
  $("message").hidden = !text;
  $("message").classList.toggle("good", good);
  $("message-text").textContent = text;
  clearTimeout(page.messageTimer);
  if (good) page.messageTimer = setTimeout(() => say(""), 8000);
}

function announce(text) {
  $("live").textContent = text;
}

function time(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

$("message-close").onclick = () => say("");
$("export-back").onclick = () => show("gallery");
for (const button of $("steps").querySelectorAll("button")) {
  button.onclick = () => {
    const step = button.dataset.step;
    if (step === "folder") { if (page.state?.project) leaveFolder(); else showFolders(""); }
    else show(step === "export" ? "export" : "gallery");
  };
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
