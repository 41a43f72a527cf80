// Pointer, touch, keys, search and controls, and starting the page.

const pointers = new Map(); // pointerId -> [x, y]
let travelled = 0;

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (pointers.size === 0) travelled = 0;
  pointers.set(event.pointerId, place(event));
});

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = place(event),
    before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "touch") hover(painter.pick(x, y, visible, 8), x, y);
    return;
  }
  travelled += Math.hypot(x - before[0], y - before[1]);
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    // two fingers: enlarge about their middle, which moves with them
    const [mx, my] = [(before[0] + other[0]) / 2, (before[1] + other[1]) / 2];
    const spread =
      Math.hypot(x - other[0], y - other[1]) / Math.max(Math.hypot(before[0] - other[0], before[1] - other[1]), 1);
    view.zoomAt(spread, mx, my);
    view.move((x - before[0]) / 2, (y - before[1]) / 2);
  } else if (travelled > 4) {
    view.move(x - before[0], y - before[1]);
    canvas.classList.add("dragged");
    hover(-1);
  }
  pointers.set(event.pointerId, [x, y]);
  draw();
});

function release(event) {
  const wasOne = pointers.size === 1 && pointers.has(event.pointerId);
  pointers.delete(event.pointerId);
  canvas.classList.remove("dragged");
  if (event.type !== "pointerup" || !wasOne || travelled > 4) return;
  const [x, y] = place(event);
  pin(painter.pick(x, y, visible, event.pointerType === "touch" ? 22 : 8));
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => hover(-1));

canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 18 : 1; // some browsers count in lines of text
    zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0016), ...place(event));
  },
  { passive: false },
);

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 60,
    act = {
      "+": () => zoom(1.3),
      "=": () => zoom(1.3),
      "-": () => zoom(1 / 1.3),
      0: () => showAll(),
      Escape: () => pin(-1),
      ArrowLeft: () => view.move(step, 0),
      ArrowRight: () => view.move(-step, 0),
      ArrowUp: () => view.move(0, step),
      ArrowDown: () => view.move(0, -step),
    }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
  draw();
});

function showAll() {
  view.reset();
  draw();
}
byId("zoom-in").addEventListener("click", () => zoom(1.5));
byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
byId("reset").addEventListener("click", showAll);

// ---- search

const search = byId("search"),
  list = byId("suggestions");
const lower = p.name.map((name) => name.toLowerCase());
let found = [],
  active = -1;

// Names that begin with the words, then those with them inside; taxa come before specimens, of a specimen one
// entry is enough.
function suggest(words) {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return [];
  const first = [],
    second = [],
    specimens = new Set();
  for (let i = 0; i < count && first.length < 10; i++) {
    const at = lower[i].indexOf(wanted);
    if (at < 0 || (!isTaxon(i) && specimens.has(p.specimen[i]))) continue;
    if (!isTaxon(i)) specimens.add(p.specimen[i]);
    (at === 0 ? first : second).push(i);
  }
  return [...first, ...second].slice(0, 10);
}

function showSuggestions() {
  found = suggest(search.value);
  active = found.length ? 0 : -1;
  const none = search.value.trim() && !found.length;
  const items = found.map((i, k) => {
    const item = element(
      "li",
      { id: `suggestion-${k}`, role: "option" },
      nameOf(i),
      element("span", {}, isTaxon(i) ? KIND_NAMES[p.kind[i]] : "specimen"),
    );
    // The field keeps the focus until the click
    item.addEventListener("pointerdown", (event) => event.preventDefault());
    item.addEventListener("click", () => choose(k));
    return item;
  });
  list.replaceChildren(
    ...items,
    ...(none ? [element("li", { className: "none" }, "nothing of that name is shown here")] : []),
  );
  list.hidden = !items.length && !none;
  search.setAttribute("aria-expanded", String(!list.hidden));
  markActive();
}

function markActive() {
  [...list.children].forEach((item, k) => item.setAttribute("aria-selected", String(k === active)));
  if (active >= 0) search.setAttribute("aria-activedescendant", `suggestion-${active}`);
  else search.removeAttribute("aria-activedescendant");
  list.children[active]?.scrollIntoView({ block: "nearest" });
}

function closeSuggestions() {
  list.hidden = true;
  search.setAttribute("aria-expanded", "false");
  search.removeAttribute("aria-activedescendant");
}

function choose(k) {
  if (found[k] === undefined) return;
  search.value = p.name[found[k]];
  closeSuggestions();
  goTo(found[k]);
}

search.addEventListener("input", showSuggestions);
search.addEventListener("focus", () => search.select());
search.addEventListener("blur", closeSuggestions);
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") choose(list.hidden ? (showSuggestions(), 0) : active);
  else if (event.key === "Escape") closeSuggestions();
  else if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    if (!list.hidden) active = (active + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
    markActive();
  } else return;
  event.preventDefault();
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());

// ---- controls

const present = data.ranks.filter((rank) => taxaOf(rank).length);
byId("colour").append(...present.map((rank) => element("option", { value: rank }, rank)));
byId("colour").addEventListener("change", (event) => {
  classify(event.target.value);
  draw();
});
document.querySelectorAll("[data-kind]").forEach((box) => {
  box.closest("label").hidden = !p.kind.includes(Number(box.dataset.kind));
  box.addEventListener("change", () => setLayer(Number(box.dataset.kind), box.checked));
});
byId("cone-choice").hidden = !curved;
byId("cone").addEventListener("change", (event) => {
  now.cone = event.target.checked;
  draw();
});

// ---- what the page says of itself

function describe() {
  const share = `${Math.round(100 * data.share)} %`,
    shownSpecimens = data.records.id.length;
  const runs = data.runs.length ? `Run${data.runs.length > 1 ? "s" : ""}: ${data.runs.join(", ")}. ` : "";
  const space = curved
    ? `Hyperbolic space of ${data.dimensions} dimensions, curvature −${data.curvature.toPrecision(3)}.`
    : `Euclidean space of ${data.dimensions} dimensions.`;
  byId("source").textContent = `${data.dataset ? `Data: ${data.dataset}. ` : ""}${runs}${space}`;
  canvas.setAttribute(
    "aria-label",
    `${curved ? "Poincaré disk" : "Plane"} of ${p.specimens.length} taxa and ${shownSpecimens} specimens; ` +
      "find points by name in the search field",
  );
  const said = curved
    ? [
        `A shadow in two dimensions of a space of ${data.dimensions}: the direction from the centre is ` +
          "that of two principal components of the tangent vectors at the origin (each modality centred), " +
          `which keep ${share} of the variance; the distance from the centre, written on the circles, is ` +
          "the true one; other distances are not.",
        "Taxa are joined to their parents by geodesics. A cone is the region of the picture at an exterior " +
          `angle of at most the taxon's half-aperture (K = ${data.aperture}); where it is saturated it is ` +
          "a half-space and its edge is dashed. Whether a point lies in its parent's cone is said in the " +
          `panel, computed in all ${data.dimensions} dimensions: the picture alone can deceive.`,
      ]
    : [
        `A shadow in two dimensions of a space of ${data.dimensions}: two principal components of the ` +
          `normalised features (each modality centred), which keep ${share} of the variance. Taxa are joined ` +
          "to their parents by straight lines. There are no entailment cones in this space.",
      ];
  said.push(
    `Shown are all ${p.specimens.length} taxa and ${shownSpecimens} of ${data.specimensInAll} specimens, ` +
      "drawn at random so that species have about equally many. Numbers in the legend count the specimens " +
      "of the whole data set.",
    "Every position and number here was measured on the run named above; none is taken from a publication.",
  );
  byId("about").replaceChildren(...said.map((text) => element("p", {}, text)));
}

// ---- start

// For tests and for the curious: what is shown, where a point is on the page, and the outlines drawn. Nothing here
// changes the page.
window.explorer = {
  // Names of hovered and pinned points (null without), the path shown (root first), zoom relative to the start,
  // colours by class, layers.
  state: () => ({
    space: data.space,
    zoom: view.zoom / view.home,
    centre: [view.x, view.y],
    colourBy: now.colourBy,
    cone: now.cone,
    hovered: p.name[now.hovered] ?? null,
    pinned: p.name[now.pinned] ?? null,
    pinnedKind: KIND_NAMES[p.kind[now.pinned]] ?? null,
    path: pathTo(now.pinned >= 0 ? now.pinned : now.hovered).map((i) => p.name[i]),
    focus: p.name[now.focus] ?? null,
    legend: Object.fromEntries(now.legend.map((i) => [p.name[i], colourOf.get(i)])),
    layers: Object.fromEntries(KIND_NAMES.map((kind, k) => [kind, now.layers[k]])),
  }),
  // The point of a name and kind ("order" ... "species", "DNA", "image"): pixels from the canvas' top left corner.
  where: (name, kind) => {
    const i = p.name.findIndex((given, k) => given === name && KIND_NAMES[p.kind[k]] === kind);
    return i < 0 ? null : view.toScreen(p.x[i], p.y[i]);
  },
  geodesic: (ax, ay, bx, by, steps) => [...geodesic(ax, ay, bx, by, steps)],
  coneOutline: (name, rank) => {
    const i = taxaOf(rank).find((k) => p.name[k] === name);
    return i === undefined || !p.sides?.[i] ? null : coneOutline(p.x[i], p.y[i], p.sides[i]);
  },
};

classify(present[0] ?? "order");
describe();
showSelection();
new ResizeObserver(() => {
  painter.resize();
  draw();
}).observe(canvas);
painter.contrast.addEventListener("change", draw);
