"use strict";
// Every name comes in as text (textContent), never as markup.
const facts = JSON.parse(document.getElementById("facts").textContent);
const column = Object.fromEntries(facts.columns.map((name, i) => [name, i]));
const COLOURS = ["#8aa0b8", "#5b8db8", "#2f7d6b", "#8a5a00"];
const SHOWN = ["materialSampleID", "scientificName", "taxonRank", "species", "speciesProbability",
  "newSpeciesProbability", "nearestReference", "nearestDifference", "evidence", "flags"];
const PAGE = 200;
const byId = (id) => document.getElementById(id);

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function svg(tag, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
}

const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1) + " %");

function summary() {
  byId("about").textContent = `${facts.references.toLocaleString()} references; ${facts.model}; wanted precision `
    + `${percent(facts.precision)}; no deeper than ${facts.deepest}. `
    + `${facts.new.toLocaleString()} of the specimens are of a species that is not in the library with a`
    + ` probability of at least 90 %. ${facts.note}`;
  const named = Object.values(facts.counts).reduce((a, b) => a + b, 0);
  const bar = element("div", null, byId("counts"));
  bar.className = "bar";
  const shares = [...facts.ranks.map((rank) => [rank, facts.counts[rank]]), ["not named", facts.specimens - named]];
  shares.forEach(([name, count], i) => {
    if (!count) return;
    const part = element("span", `${name} ${count.toLocaleString()}`, bar);
    part.style.flex = String(count);
    part.style.background = COLOURS[i] || "#a34b4b";
  });
  const flags = Object.entries(facts.flagged).map(([code, count]) => `${count} ${code} (${facts.flags[code]})`);
  byId("flagged").textContent = flags.length ? "Flags: " + flags.join("; ") + "." : "Nothing was flagged.";
}

function diagram(name, event, parent) {
  const figure = element("figure", null, parent);
  const picture = svg("svg", { viewBox: "-4 -4 108 108", width: 150, height: 150, role: "img" }, figure);
  svg("rect", { x: 0, y: 0, width: 100, height: 100, fill: "none", stroke: "#b9c2cc" }, picture);
  svg("line", { x1: 0, y1: 100, x2: 100, y2: 0, stroke: "#b9c2cc", "stroke-dasharray": "3 3" }, picture);
  event.mean.forEach((mean, i) => svg("circle", { cx: 100 * mean, cy: 100 - 100 * event.right[i],
    r: 1.5 + 6 * Math.sqrt(event.weight[i]), fill: "#2f6fa7", "fill-opacity": 0.65 }, picture));
  element("figcaption", `${name}: error ${event.error.toFixed(3)}`, figure);
}

function trust() {
  const seen = Object.entries(facts.reliability);
  if (!seen.length) element("p", facts.note || "There are no probabilities.", byId("reliability"));
  for (const [view, events] of seen)
    for (const [name, event] of Object.entries(events)) diagram(`${view}, ${name}`, event, byId("reliability"));
  for (const [view, rows] of Object.entries(facts.held_out)) {
    const table = element("table", null, byId("held-out"));
    const head = element("tr", null, element("thead", null, table));
    for (const text of [view, "rank", "held out", "answered", "right of these"]) element("th", text, head);
    const body = element("tbody", null, table);
    for (const row of rows) {
      const line = element("tr", null, body);
      for (const text of [row.queries, row.rank, row.specimens, percent(row.coverage), percent(row.precision)])
        element("td", text, line);
    }
  }
}

let order = facts.rows.map((_, i) => i);
let sorting = { name: null, down: true };
let limit = PAGE;

function matching() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  return order.filter((i) => {
    const text = facts.rows[i].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function fill() {
  const found = matching();
  byId("found").textContent = `${found.length.toLocaleString()} of ${facts.specimens.toLocaleString()}`;
  byId("more").hidden = found.length <= limit;
  const body = document.querySelector("#answers tbody");
  body.replaceChildren();
  for (const i of found.slice(0, limit)) {
    const line = element("tr", null, body);
    for (const name of SHOWN) {
      const value = facts.rows[i][column[name]];
      const cell = element("td", typeof value === "number" ? value.toFixed(3) : value, line);
      if (typeof value === "number") cell.className = "number";
    }
    line.addEventListener("click", () => details(i));
  }
}

function sortBy(name) {
  sorting = { name, down: sorting.name === name ? !sorting.down : true };
  const at = column[name];
  order.sort((a, b) => {
    const [x, y] = [facts.rows[a][at], facts.rows[b][at]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const less = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return (sorting.down ? -less : less) || a - b;
  });
  fill();
}

function details(i) {
  const inside = byId("inside");
  inside.replaceChildren();
  const row = facts.rows[i];
  element("h2", row[column.materialSampleID], inside);
  if (facts.photographs[i]) {
    const picture = element("img", null, inside);
    picture.src = facts.photographs[i];
    picture.alt = "photograph of the specimen";
  }
  const list = element("dl", null, inside);
  facts.columns.forEach((name, at) => {
    if (row[at] === null) return;
    element("dt", name, list);
    element("dd", row[at], list);
  });
  const difference = facts.differences[i];
  if (difference) {
    element("h3", `Against ${row[column.nearestReference]}`, inside);
    element("p", `${difference[1].length} of ${difference[0]} shared columns differ (query, reference):`, inside);
    element("code", difference[1].map(([at, pair]) => `${at}:${pair[0]}/${pair[1]}`).join("  "), inside);
  }
  byId("details").hidden = false;
}

summary();
trust();
const heading = document.querySelector("#answers thead tr");
for (const name of SHOWN) element("th", name, heading).addEventListener("click", () => sortBy(name));
byId("search").addEventListener("input", () => { limit = PAGE; fill(); });
byId("more").addEventListener("click", () => { limit += 5 * PAGE; fill(); });
byId("close").addEventListener("click", () => { byId("details").hidden = true; });
fill();
