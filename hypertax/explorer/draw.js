// Geometry of the unit disk, the view of it, and painting on a canvas. Nothing here knows of the pointer or the
// side panel.

const KIND = { order: 0, family: 1, genus: 2, species: 3, dna: 4, image: 5 };
const GREY = "#a3a3a3",
  INK = "#2b2b2b",
  ABOVE = "#5a5a5a";
const SIZES = [7, 5.5, 4.2, 2.6, 3.2, 2.8]; // half of a mark's height in pixels, per kind
const LABELS_FROM = [0, 1.7, 4, 9]; // how many times enlarged the names of a rank start to appear

// Points (steps + 1 pairs x, y in one array) from a to b of the disk, equal hyperbolic steps; as
// hypertax.geometry.poincare.geodesic.
function geodesic(ax, ay, bx, by, steps = 28) {
  const dr = bx - ax,
    di = by - ay,
    nr = 1 - (ax * bx + ay * by),
    ni = -(ax * by - ay * bx),
    n = nr * nr + ni * ni || 1e-30;
  const mr = (dr * nr + di * ni) / n,
    mi = (di * nr - dr * ni) / n,
    length = Math.hypot(mr, mi);
  const far = Math.atanh(Math.min(length, 1 - 1e-12)),
    line = new Float64Array(2 * steps + 2);
  for (let k = 0; k <= steps; k++) {
    const t = length > 0 ? Math.tanh((far * k) / steps) / length : 0,
      zr = mr * t,
      zi = mi * t;
    const pr = zr + ax,
      pi = zi + ay,
      qr = 1 + ax * zr + ay * zi,
      qi = ax * zi - ay * zr,
      q = qr * qr + qi * qi;
    line[2 * k] = (pr * qr + pi * qi) / q;
    line[2 * k + 1] = (pi * qr - pr * qi) / q;
  }
  return line;
}

// Outline of a cone: along one side from the apex to the rim, along the rim, and back.
function coneOutline(x, y, [from, to]) {
  const steps = 240,
    outline = [...geodesic(x, y, Math.cos(from), Math.sin(from), steps)];
  for (let k = 1; k < steps; k++) {
    const turn = from + ((to - from) * k) / steps;
    outline.push(Math.cos(turn), Math.sin(turn));
  }
  // A geodesic that starts on the rim cannot be computed by moving its start to the origin: take it from the
  // apex and turn it round.
  const back = geodesic(x, y, Math.cos(to), Math.sin(to), steps);
  for (let k = steps; k >= 0; k--) outline.push(back[2 * k], back[2 * k + 1]);
  return outline;
}

// The part of the plane that is on the screen. x, y: the point in the middle; zoom 1 fits the unit disk.
class View {
  constructor(home) {
    this.home = home; // zoom at which everything is seen
    this.width = this.height = 100;
    this.reset();
  }
  get scale() {
    return 0.465 * Math.min(this.width, this.height) * this.zoom;
  }
  reset() {
    this.x = this.y = 0;
    this.zoom = this.home;
  }
  toScreen(x, y) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }
  toPlane(sx, sy) {
    return [this.x + (sx - this.width / 2) / this.scale, this.y - (sy - this.height / 2) / this.scale];
  }
  // Enlarge by a factor; what lies at (sx, sy) stays there.
  zoomAt(factor, sx = this.width / 2, sy = this.height / 2) {
    const [x, y] = this.toPlane(sx, sy);
    this.zoom = Math.min(Math.max(this.zoom * factor, Math.min(this.home / 2, 0.9)), 400 * this.home);
    const [nx, ny] = this.toPlane(sx, sy);
    this.centre(this.x + x - nx, this.y + y - ny);
  }
  move(dx, dy) {
    this.centre(this.x - dx / this.scale, this.y + dy / this.scale);
  }
  centre(x, y) {
    // the picture never leaves the screen altogether
    const far = Math.max(1, Math.hypot(x, y));
    this.x = x / far;
    this.y = y / far;
  }
}

function trace(context, view, line) {
  for (let k = 0; k < line.length; k += 2) {
    const [x, y] = view.toScreen(line[k], line[k + 1]);
    if (k) context.lineTo(x, y);
    else context.moveTo(x, y);
  }
}

function mark(context, kind, x, y, size) {
  context.beginPath();
  if (kind === KIND.dna) {
    context.moveTo(x, y - size);
    context.lineTo(x + 0.92 * size, y + 0.75 * size);
    context.lineTo(x - 0.92 * size, y + 0.75 * size);
    context.closePath();
  } else if (kind === KIND.image) context.rect(x - size, y - size, 2 * size, 2 * size);
  else if (kind === KIND.order || kind === KIND.species) context.arc(x, y, size, 0, 2 * Math.PI);
  else {
    const corners = kind === KIND.family ? 4 : 6;
    for (let k = 0; k < corners; k++) {
      const turn = (2 * Math.PI * k) / corners - Math.PI / 2;
      context.lineTo(x + 1.12 * size * Math.cos(turn), y + 1.12 * size * Math.sin(turn));
    }
    context.closePath();
  }
}

class Painter {
  constructor(canvas, data, view) {
    Object.assign(this, { canvas, data, view, context: canvas.getContext("2d"), p: data.points });
    this.curved = data.space === "lorentz";
    this.contrast = matchMedia("(prefers-contrast: more)");
    this.edges = this.p.parent.map((above, i) =>
      above >= 0 && this.p.kind[i] <= KIND.species ? this.edge(above, i) : null,
    );
  }

  // The line from a point to another: a geodesic in the disk, straight in the plane. From -1: the origin.
  edge(from, to) {
    const { x, y } = this.p,
      [ax, ay] = from < 0 ? [0, 0] : [x[from], y[from]];
    return this.curved ? geodesic(ax, ay, x[to], y[to]) : [ax, ay, x[to], y[to]];
  }

  resize() {
    const box = this.canvas.getBoundingClientRect(),
      ratio = window.devicePixelRatio || 1;
    this.view.width = box.width;
    this.view.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.ratio = ratio;
  }

  size(i) {
    const { view } = this,
      screen = Math.min(1, Math.max(0.7, Math.min(view.width, view.height) / 600));
    return SIZES[this.p.kind[i]] * screen * Math.min(1.6, Math.max(1, (view.zoom / view.home) ** 0.2));
  }

  // scene: colour(i), visible(i), strong(i) -> false where a point is to step back, paths (arrays of points),
  // cone (a taxon or -1).
  paint(scene) {
    const { context, view } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    context.lineJoin = "round";
    if (this.curved) this.paintFrame();
    if (scene.cone >= 0) this.paintCone(scene);
    this.paintEdges(scene);
    for (let kind = KIND.image; kind >= 0; kind--) this.paintKind(kind, scene);
    for (const path of scene.paths) this.paintPath(path, scene);
    this.paintLabels(scene);
  }

  paintFrame() {
    const { context, view, data } = this,
      [cx, cy] = view.toScreen(0, 0),
      bold = this.contrast.matches;
    context.beginPath();
    context.arc(cx, cy, view.scale, 0, 2 * Math.PI);
    context.fillStyle = "#fbfbfb";
    context.fill();
    context.strokeStyle = bold ? "#000" : "#7d7d7d";
    context.lineWidth = 1.2;
    context.stroke();
    context.strokeStyle = bold ? "#777" : "#dadada";
    context.lineWidth = 1;
    for (const distance of data.rings) {
      context.beginPath();
      context.arc(cx, cy, view.scale * Math.tanh((Math.sqrt(data.curvature) * distance) / 2), 0, 2 * Math.PI);
      context.stroke();
    }
    context.beginPath();
    context.moveTo(cx - 5, cy);
    context.lineTo(cx + 5, cy);
    context.moveTo(cx, cy - 5);
    context.lineTo(cx, cy + 5);
    context.strokeStyle = INK;
    context.stroke();
  }

  paintCone({ cone, colour }) {
    const { context, view, p } = this;
    if (!p.sides || !p.sides[cone]) return;
    context.beginPath();
    trace(context, view, coneOutline(p.x[cone], p.y[cone], p.sides[cone]));
    context.closePath();
    context.fillStyle = context.strokeStyle = colour(cone);
    context.globalAlpha = 0.16;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.4;
    // A half-space is not a cone that was learnt: its edge is dashed
    context.setLineDash(this.saturated(cone) ? [7, 5] : []);
    context.stroke();
    context.setLineDash([]);
  }

  saturated(i) {
    return this.p.aperture[i] > 89.999;
  }

  paintEdges({ colour, visible, strong }) {
    const { context, view } = this,
      bold = this.contrast.matches;
    context.lineWidth = bold ? 1.4 : 0.9;
    this.edges.forEach((line, i) => {
      if (!line || !visible(i) || !visible(this.p.parent[i])) return;
      context.globalAlpha = !strong(i) ? 0.1 : bold ? 0.9 : 0.5;
      context.strokeStyle = colour(i);
      context.beginPath();
      trace(context, view, line);
      context.stroke();
    });
    context.globalAlpha = 1;
  }

  paintKind(kind, { colour, visible, strong }) {
    const { context, view, p } = this,
      taxon = kind <= KIND.species;
    const own = [...p.kind.keys()].filter((i) => p.kind[i] === kind && visible(i));
    for (const i of [...own.filter((i) => colour(i) === GREY), ...own.filter((i) => colour(i) !== GREY)]) {
      // grey hides no class
      const [x, y] = view.toScreen(p.x[i], p.y[i]);
      if (x < -20 || y < -20 || x > view.width + 20 || y > view.height + 20) continue;
      context.globalAlpha = !strong(i) ? 0.18 : taxon || this.contrast.matches ? 1 : 0.6;
      mark(context, kind, x, y, this.size(i));
      context.fillStyle = colour(i);
      context.fill();
      if (kind < KIND.species) {
        context.strokeStyle = this.contrast.matches ? "#000" : "#fff";
        context.lineWidth = 1;
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }

  // From the origin (which the plane has not) through the taxa to the point, over everything else.
  paintPath(path, { colour, visible }) {
    const { context, view, p } = this;
    path.forEach((i, k) => {
      if (!k && !this.curved) return;
      const line = this.edge(k ? path[k - 1] : -1, i);
      for (const [width, style] of [
        [5, "#fff"],
        [2.4, INK],
      ]) {
        context.beginPath();
        trace(context, view, line);
        context.lineWidth = width;
        context.strokeStyle = style;
        context.setLineDash(k || width > 4 ? [] : [5, 4]);
        context.stroke();
      }
    });
    context.setLineDash([]);
    path.forEach((i, k) => {
      const [x, y] = view.toScreen(p.x[i], p.y[i]),
        last = k === path.length - 1;
      if (last) {
        // a ring, whatever the shape and colour of the mark
        context.beginPath();
        context.arc(x, y, this.size(i) + 6, 0, 2 * Math.PI);
        context.strokeStyle = INK;
        context.lineWidth = 2.2;
        context.stroke();
      }
      if (!visible(i) && !last) return;
      mark(context, p.kind[i], x, y, this.size(i) + 0.8);
      context.fillStyle = colour(i);
      context.fill();
      context.strokeStyle = INK;
      context.lineWidth = 1.3;
      context.stroke();
    });
  }

  // Names where there is room: of the paths first, then from orders downwards the more, the more the picture is
  // enlarged.
  paintLabels({ paths, visible, strong }) {
    const { context, view, p, data } = this,
      taken = [],
      enlarged = view.zoom / view.home;
    const free = (box) => taken.every((b) => box[0] > b[2] || box[2] < b[0] || box[1] > b[3] || box[3] < b[1]);
    const write = (text, x, y, font, colour, offset) => {
      context.font = font;
      const wide = context.measureText(text).width,
        gap = offset + 3;
      const places = [
        [x + gap, y - 7],
        [x - gap - wide, y - 7],
        [x - wide / 2, y - gap - 14],
        [x - wide / 2, y + gap],
      ];
      const place = places.find(
        ([l, t]) =>
          l > 2 &&
          t > 2 &&
          l + wide < view.width - 2 &&
          t + 14 < view.height - 2 &&
          free([l - 2, t - 1, l + wide + 2, t + 15]),
      );
      if (!place) return;
      const [left, top] = place;
      taken.push([left - 2, top - 1, left + wide + 2, top + 15]);
      context.strokeStyle = "rgba(255,255,255,.92)";
      context.lineWidth = 4;
      context.strokeText(text, left, top + 11.5);
      context.fillStyle = colour;
      context.fillText(text, left, top + 11.5);
    };
    const named = new Set(paths.flat()),
      ends = new Set(paths.map((path) => path.at(-1))); // these have a ring
    const name = (i) => {
      const kind = p.kind[i],
        [x, y] = view.toScreen(p.x[i], p.y[i]);
      if (x < 0 || y < 0 || x > view.width || y > view.height) return;
      const face =
        kind === KIND.order ? "600 14px" : kind === KIND.genus || kind === KIND.species ? "italic 13px" : "13px";
      write(
        p.name[i],
        x,
        y,
        `${face} system-ui, "DejaVu Sans", sans-serif`,
        INK,
        this.size(i) + (ends.has(i) ? 6 : 0),
      );
    };
    for (const i of [...named].reverse()) name(i);
    for (let i = 0; i < p.kind.length && taken.length < 70; i++) {
      if (p.kind[i] <= KIND.species && enlarged >= LABELS_FROM[p.kind[i]] && visible(i) && strong(i) && !named.has(i))
        name(i);
    }
    for (const distance of data.rings) {
      const [x, y] = view.toScreen(0, -Math.tanh((Math.sqrt(data.curvature) * distance) / 2));
      write(
        `radius ${+distance.toPrecision(3)}`,
        x,
        y,
        '12px system-ui, "DejaVu Sans", sans-serif',
        this.contrast.matches ? "#000" : "#666",
        0,
      );
    }
  }

  // The point under (sx, sy) within `reach` pixels, the topmost where several are; -1 without one.
  pick(sx, sy, visible, reach) {
    const { p, view } = this;
    let best = -1,
      nearest = reach;
    for (let i = 0; i < p.kind.length; i++) {
      // in the order of kinds: what is painted last comes first
      if (!visible(i)) continue;
      const [x, y] = view.toScreen(p.x[i], p.y[i]),
        away = Math.max(0, Math.hypot(x - sx, y - sy) - this.size(i));
      if (away < nearest) [best, nearest] = [i, away];
    }
    return best;
  }
}
