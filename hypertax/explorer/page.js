// The page's state, colours and legend, tooltip and side panel.

const data = JSON.parse(document.getElementById("data").textContent);
const p = data.points,
  count = p.kind.length;
const byId = (id) => document.getElementById(id);
const KIND_NAMES = [...data.ranks, "DNA", "image"],
  PLURALS = { order: "Orders", family: "Families", genus: "Genera", species: "Species" };
const CLASSES = 12; // entries of the legend; more colours than that are not told apart
const view = new View(1 / data.view),
  painter = new Painter(byId("picture"), data, view);
const canvas = painter.canvas,
  curved = painter.curved;
const isTaxon = (i) => p.kind[i] <= KIND.species;
const taxaOf = (rank) => [...p.kind.keys()].filter((i) => p.kind[i] === data.ranks.indexOf(rank));

const now = {
  colourBy: "order",
  layers: KIND_NAMES.map(() => true),
  cone: true,
  hovered: -1,
  pinned: -1,
  focus: -1,
  legend: [],
};
let ofRank = []; // for every point the taxon of the rank coloured by that it belongs to, -1 without
let colourOf = new Map(); // taxon -> colour, of the classes in the legend

// From the order down to the point itself.
function pathTo(i) {
  const path = [];
  for (let at = i; at >= 0; at = p.parent[at]) path.unshift(at);
  return path;
}
const belongsTo = (i, taxon) => pathTo(i).includes(taxon);

// ---- colours and legend

function classify(rank, wanted = -1) {
  const level = data.ranks.indexOf(rank),
    all = taxaOf(rank);
  all.sort((a, b) => p.specimens[b] - p.specimens[a] || (p.name[a] < p.name[b] ? -1 : 1));
  const classes = all.slice(0, CLASSES);
  if (wanted >= 0 && !classes.includes(wanted)) classes[classes.length - 1] = wanted;
  Object.assign(now, { colourBy: rank, legend: classes, focus: -1 });
  colourOf = new Map(
    classes.map((i, k) => [
      i,
      (rank === "order" && data.colours[p.name[i]]) || data.palette[k % data.palette.length],
    ]),
  );
  ofRank = p.kind.map((_, i) => pathTo(i).find((at) => p.kind[at] === level) ?? -1);
  byId("colour").value = rank;
  showLegend(all);
}

// Taxa above the rank are dark grey: they have many classes below them.
const colour = (i) =>
  colourOf.get(ofRank[i]) ?? (isTaxon(i) && p.kind[i] < data.ranks.indexOf(now.colourBy) ? ABOVE : GREY);
const visible = (i) => now.layers[p.kind[i]];
let members = new Set();
const strong = (i) => (now.focus >= 0 ? ofRank[i] === now.focus : members.size === 0 || members.has(i));

function showLegend(all) {
  byId("legend-title").textContent = PLURALS[now.colourBy];
  const entries = now.legend.map((i) => {
    const swatch = element("i"),
      button = element("button", { type: "button", ariaPressed: String(now.focus === i) });
    swatch.style.background = colourOf.get(i);
    button.append(swatch, nameOf(i), element("span", { className: "count" }, p.specimens[i]));
    button.addEventListener("click", () => {
      now.focus = now.focus === i ? -1 : i;
      [...byId("legend").querySelectorAll("button")].forEach((b, k) =>
        b.setAttribute("aria-pressed", String(now.focus === now.legend[k])),
      );
      draw();
    });
    return element("li", {}, button);
  });
  if (all.length > now.legend.length) {
    entries.push(
      element(
        "li",
        { className: "small" },
        `${all.length - now.legend.length} others are grey; find one by its name and it gets a colour.`,
      ),
    );
  }
  if (now.colourBy !== data.ranks[0])
    entries.push(element("li", { className: "small" }, "Taxa of higher ranks are dark grey."));
  byId("legend").replaceChildren(...entries);
}

// ---- small helpers for the page's text (names are only ever set as text)

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.map((child) => (typeof child === "number" ? String(child) : child)));
  return made;
}
const latin = (i) => p.kind[i] === KIND.genus || p.kind[i] === KIND.species;
const nameOf = (i) => element("span", { className: latin(i) ? "latin" : "" }, p.name[i]);
const distance = (i) => `${p.radius[i].toFixed(3)}`;
const record = (i, column) => data.records[column][p.specimen[i]];
const trained = (i) =>
  p.trained[i] === null
    ? "species not known"
    : `${isTaxon(i) ? "" : "species "}${p.trained[i] ? "seen" : "not seen"} in training`;
const kindText = (i) =>
  isTaxon(i) ? `${KIND_NAMES[p.kind[i]]} (text)` : p.kind[i] === KIND.dna ? "specimen, DNA" : "specimen, image";

function link(i, label = nameOf(i), current = false) {
  const button = element("button", { type: "button", className: "link" }, label);
  if (current) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => goTo(i));
  return button;
}

// The barcode as coloured bases, read line by line.
function barcode(bases, perRow, cell) {
  const picture = element("canvas", { width: perRow * cell, height: Math.ceil(bases.length / perRow) * (cell + 1) }),
    context = picture.getContext("2d");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `DNA barcode of ${bases.length} bases`);
  [...bases].forEach((base, k) => {
    context.fillStyle = data.bases[base] ?? data.noBase;
    context.fillRect((k % perRow) * cell, Math.floor(k / perRow) * (cell + 1), cell, cell);
  });
  return picture;
}

function basesKey() {
  const key = element("p", { className: "small" }, "bases: ");
  for (const [base, shade] of Object.entries(data.bases)) {
    const square = element("span", { ariaHidden: "true" }, "■ ");
    square.style.color = shade;
    key.append(`${base} `, square);
  }
  return key;
}

// ---- side panel and tooltip

function facts(pairs) {
  return element(
    "dl",
    {},
    ...pairs
      .filter(([, value]) => value !== null)
      .flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]),
  );
}

function nesting(i) {
  if (!curved || p.parent[i] < 0 || p.angle[i] === null) return null;
  const parent = p.parent[i],
    inside = p.angle[i] <= p.aperture[parent];
  const angle = p.angle[i].toFixed(1),
    end = p.aperture[parent].toFixed(1);
  return `${inside ? "yes" : "no"}: ${angle}° from its axis, the cone ends at ${end}°`;
}

function details(i) {
  const path = pathTo(i),
    parts = [element("h2", {}, nameOf(i))];
  if (!isTaxon(i)) {
    const image = record(i, "image"),
      bases = record(i, "barcode");
    if (image) parts.push(element("img", { className: "photograph", src: image, alt: `Photograph of ${p.name[i]}` }));
    if (bases) parts.push(barcode(bases, 66, 4), basesKey());
  }
  const cone =
    !curved || !isTaxon(i)
      ? null
      : painter.saturated(i)
        ? "a half-space (saturated: half-aperture 90°)"
        : `half-aperture ${p.aperture[i].toFixed(1)}°`;
  parts.push(
    facts([
      ["what", kindText(i)],
      ["split", isTaxon(i) ? null : (record(i, "split") ?? "none")],
      ["training", trained(i)],
      ["specimens", isTaxon(i) ? p.specimens[i] : null],
      [curved ? "radius" : "norm", distance(i)],
      ["cone", cone],
      ["in parent's cone", nesting(i)],
    ]),
  );
  const root = element(
    "li",
    { className: "small" },
    curved ? "root: the origin, radius 0" : "root: all of life, no point here",
  );
  const steps = path.map((at, k) => {
    const step = element(
      "li",
      {},
      link(at, nameOf(at), at === i),
      element("span", { className: "small" }, ` ${KIND_NAMES[p.kind[at]]}, ${distance(at)}`),
    );
    step.style.setProperty("--depth", k + 1);
    return step;
  });
  parts.push(element("h3", {}, "Path to the root"), element("ol", { className: "path" }, root, ...steps));
  const below = [...p.kind.keys()].filter((k) => p.parent[k] === i && isTaxon(k));
  if (below.length) {
    const more = below.length > 24 ? [element("li", { className: "small" }, `and ${below.length - 24} more`)] : [];
    parts.push(
      element("h3", {}, `Directly below (${below.length})`),
      element("ul", { className: "children" }, ...below.slice(0, 24).map((k) => element("li", {}, link(k))), ...more),
    );
  }
  parts.push(...relatives(i));
  return parts;
}

// Of a taxon photographs of its specimens, of a specimen its other modality.
function relatives(i) {
  if (!isTaxon(i)) {
    const other = [...p.kind.keys()].find((k) => k !== i && p.specimen[k] === p.specimen[i]);
    return other === undefined
      ? []
      : [element("h3", {}, "The same specimen"), link(other, `its ${KIND_NAMES[p.kind[other]]} in the picture`)];
  }
  const own = [...p.kind.keys()]
    .filter((k) => p.kind[k] === KIND.image && record(k, "image") && belongsTo(k, i))
    .slice(0, 8);
  if (!own.length) return [];
  const pictures = own.map((k) => {
    const button = element(
      "button",
      { type: "button", title: p.name[k] },
      element("img", { src: record(k, "image"), alt: `Specimen ${p.name[k]}` }),
    );
    button.addEventListener("click", () => goTo(k));
    return element("li", {}, button);
  });
  return [element("h3", {}, "Some of its specimens"), element("ul", { className: "photographs" }, ...pictures)];
}

function showSelection() {
  const shown = now.pinned;
  if (shown < 0) {
    byId("selection").replaceChildren(
      element("h2", {}, "Nothing selected"),
      element(
        "p",
        { className: "small" },
        "Point at a mark to see what it is; click it, or find a name, to keep it here with its path to the root.",
      ),
    );
    return;
  }
  const clear = element("button", { type: "button", className: "link" }, "Clear the selection");
  clear.addEventListener("click", () => pin(-1));
  byId("selection").replaceChildren(...details(shown), element("p", {}, clear));
}

function showTooltip(sx, sy) {
  const tip = byId("tooltip"),
    i = now.hovered;
  tip.hidden = i < 0 || i === now.pinned; // the panel has it
  if (tip.hidden) return;
  const parts = [element("strong", {}, nameOf(i))],
    parent = p.parent[i];
  parts.push(element("div", {}, `${kindText(i)} · ${curved ? "radius" : "norm"} ${distance(i)}`));
  if (!isTaxon(i))
    parts.push(
      element("div", {}, parent >= 0 ? nameOf(parent) : "no name", ` · ${record(i, "split") ?? "no split"}`),
    );
  parts.push(element("div", {}, trained(i)));
  if (!isTaxon(i)) {
    const image = record(i, "image"),
      bases = record(i, "barcode");
    if (image) parts.push(element("img", { src: image, alt: "" }));
    else if (bases) parts.push(barcode(bases, 60, 4));
  }
  tip.replaceChildren(...parts);
  const { offsetWidth: wide, offsetHeight: high } = tip;
  tip.style.left = `${sx + 16 + wide > view.width ? Math.max(4, sx - 16 - wide) : sx + 16}px`;
  tip.style.top = `${Math.max(4, Math.min(sy + 12, view.height - high - 4))}px`;
}

// ---- changing what is shown

let frame = 0;
function draw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const paths = [...new Set([now.pinned, now.hovered])].filter((i) => i >= 0).map(pathTo);
    const cone = [now.pinned, now.hovered].find((i) => i >= 0 && isTaxon(i)) ?? -1;
    painter.paint({ colour, visible, strong, paths, cone: now.cone && curved ? cone : -1 });
  });
}

function pin(i) {
  now.pinned = i;
  byId("tooltip").hidden = true;
  // A taxon's own taxa and specimens stay, everything else steps back.
  members =
    i >= 0 && isTaxon(i) ? new Set([...p.kind.keys()].filter((k) => belongsTo(k, i)).concat(pathTo(i))) : new Set();
  showSelection();
  byId("status").textContent = i >= 0 ? `Selected: ${p.name[i]}, ${kindText(i)}` : "Nothing selected";
  draw();
}

function hover(i, sx, sy) {
  if (i !== now.hovered) {
    now.hovered = i;
    canvas.classList.toggle("over", i >= 0);
    draw();
  }
  showTooltip(sx, sy);
}

function setLayer(kind, on) {
  now.layers[kind] = on;
  document.querySelector(`[data-kind="${kind}"]`).checked = on;
  if (now.hovered >= 0 && !visible(now.hovered)) hover(-1);
  draw();
}

// Select a point and enlarge until its parent is a good way off.
function goTo(i) {
  setLayer(p.kind[i], true);
  if (isTaxon(i) && data.ranks[p.kind[i]] === now.colourBy && !colourOf.has(i)) classify(now.colourBy, i);
  const [px, py] = p.parent[i] >= 0 ? [p.x[p.parent[i]], p.y[p.parent[i]]] : [0, 0];
  const apart = Math.hypot(p.x[i] - px, p.y[i] - py);
  view.zoom = Math.min(Math.max(0.55 / Math.max(apart, 1e-6), view.home), 40 * view.home);
  view.centre(p.x[i], p.y[i]);
  hover(-1);
  pin(i);
  byId("stage").scrollIntoView({ block: "nearest" }); // on a narrow screen the panel is below the picture
}

function zoom(factor, sx, sy) {
  view.zoomAt(factor, sx, sy);
  draw();
}
