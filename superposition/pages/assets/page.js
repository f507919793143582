/* Feature pages. The address says what is shown: # overview, #f=7 a feature, #t=2 a text, #live your own.
   Data becomes text nodes, and values of attributes that run nothing. */

const byId = (id) => document.getElementById(id);
const held = new Map();
globalThis.superposition = { take: (key, json) => held.set(key, JSON.parse(json)) };

const index = JSON.parse(byId("index").textContent);
const { columns, unit, sorts } = index;
const rows = [...columns.id.keys()], rowOf = new Map(rows.map((row) => [columns.id[row], row]));
const password = document.querySelector("meta[name=superposition-token]")?.content;
const live = password && location.protocol.startsWith("http");

// --- elements

/** make("p.note", { attributes, listeners, --properties }, children): text children become text nodes. */
const maker = (create) => (kind, ...children) => {
  const [tag, ...names] = kind.split("."), node = create(tag);
  if (names.length) node.setAttribute("class", names.join(" "));
  if (children[0]?.constructor === Object) set(node, children.shift());
  node.append(...children.flat(9).filter((child) => (child ?? false) !== false));
  return node;
};
function set(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else if ((value ?? false) === false) node.removeAttribute(name);
    else node.setAttribute(name, value);
  }
}
const el = maker((tag) => document.createElement(tag));
const svg = maker((tag) => document.createElementNS(byId("svg").namespaceURI, tag));
const bdi = (text) => el("bdi", `${text}`);
const button = (text, click, props) => el("button", { click, ...props }, text);
const h1 = (text) => el("h1", { tabindex: -1 }, bdi(text));
const panelOf = (title, ...children) => el("section.panel", el("h2", title), children);

const odd = (text) => /^(⟨[^⟩]*⟩)+$/.test(text); // bytes, control characters
const chip = (text) => el(odd(text) ? "bdi.chip.odd" : "bdi.chip",
  (/^\p{M}/u.test(text) ? "◌" : "") + text.replace(/ (?![^⟨]*⟩)/g, "␣"));

const whole = (value) => Math.round(value).toLocaleString("en");
function num(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value), text = size >= 1000 ? whole(value) : Number(value.toPrecision(3));
  return `${size && size < 1e-3 ? value.toExponential(1) : text}`.replaceAll("-", "−");
}
const signed = (value) => (value > 0 ? "+" : "") + num(value);
const percent = (share) => `${num(100 * share)} %`;
const unknown = (noun, id, n) => new Error(`There is no ${noun} “${id}”: these pages hold ${count(n, noun)}.`);
const count = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;

function link(id) {
  const row = rowOf.get(id), label = columns.label[row];
  return [el("a", { href: `#f=${id}` }, bdi(columns.name[row])), label ? el("small", bdi(label)) : ""];
}

/** A table whose first cells are headers; columns of numbers and of strings, which are numbers too, to the right. */
function table(head, rows, name) {
  const side = (i) => rows.some((row) => /number|string/.test(typeof row[i])) && "number";
  const cell = (value, i) => el(i ? "td" : "th", { scope: !i && "row", class: side(i) },
    typeof value === "number" || value === null ? num(value) : value);
  return el("div.scroll", { tabindex: 0, role: "group", "aria-label": name }, el("table",
    head && el("thead", el("tr", head.map((text, i) => el("th", { scope: "col", class: side(i) }, bdi(text))))),
    el("tbody", rows.map((row) => el("tr", row.map(cell))))));
}

// --- data

const raw = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const refs = (text, wide) => Array.from(new (wide ? Uint32Array : Uint16Array)(raw(text).buffer));
const scaled = (text, scale) => text && Array.from(new Int8Array(raw(text).buffer), (v) => (v * scale) / 127);

/** The JSON under a key such as features/7: in the page, or in the script beside it. */
async function load(key) {
  if (byId(key)) return JSON.parse(byId(key).textContent);
  if (!held.has(key)) await new Promise((load, fail) => document.head.append(el("script", { src: `${key}.js`, load,
    error: () => fail(new Error(`The file ${key}.js cannot be read. It belongs beside index.html.`)) })));
  if (!held.has(key)) throw new Error(`The file ${key}.js holds something else. Make the pages again.`);
  return held.get(key);
}

/** The rows of an examples panel, decoded. */
function decode(panel, words) {
  const all = { tokens: refs(panel.tokens, panel.wide).map((ref) => words[ref]),
    act: Array.from(raw(panel.act), (v) => (v * panel.scale_act) / 255),
    full: scaled(panel.full, panel.scale_full), direct: scaled(panel.direct, panel.scale_direct) };
  let from = 0;
  return panel.length.map((length, i) => {
    const [sequence, chosen] = panel.place[i], peak = panel.peak[i];
    const row = { source: panel.source[i], sequence, start: chosen - peak, peak };
    for (const name in all) row[name] = all[name]?.slice(from, from + length);
    from += length;
    return row;
  });
}

// --- tokens and their tooltip

const tips = new WeakMap(); // token element -> { text, act, rows(), mark(act) }
const tip = byId("tip");
set(tip, { pointerenter: () => clearTimeout(closing), pointerleave: () => hide(150) });
let shown, closing;

function show(node) {
  clearTimeout(closing);
  if (shown === node) return;
  hide();
  shown = node;
  const { text, act, rows, mark } = tips.get(node);
  tip.replaceChildren(el("p", chip(text)), el("dl", rows().map(([name, value, more]) =>
    [el("dt", name), el("dd", value, more && el("small", " ", more))])));
  node.setAttribute("aria-describedby", "tip");
  tip.hidden = false;
  const at = node.getClientRects()[0], { width, height } = tip.getBoundingClientRect();
  const below = at.bottom + height + 25 < innerHeight || at.top < height + 9;
  set(tip, { "--x": `${Math.max(8, Math.min(at.left, innerWidth - width - 25))}px`, // clear of the scroll bars
    "--y": `${scrollY + (below ? at.bottom + 6 : at.top - height - 6)}px` });
  mark?.(act);
}
function hide(delay) {
  clearTimeout(closing);
  if (delay) closing = setTimeout(hide, delay);
  else if (shown) {
    shown.removeAttribute("aria-describedby");
    tips.get(shown).mark?.();
    shown = null;
    tip.hidden = true;
  }
}
const over = ({ target }) => tips.has(target) && show(target);
const out = ({ target }) => tips.has(target) && hide(150);
set(window, { pointerover: over, focusin: over, pointerout: out, focusout: out });

const modified = (event) => event.altKey || event.ctrlKey || event.metaKey;
/** A line of tokens in one <bdi>, so that letters join across tokens; one tab stop, arrows move inside. */
function line(tokens, label, stop = 0) {
  const letters = (kind) => tokens.join("").replace(kind, "").length; // most give the direction, not the first
  const ahead = letters(/[^\u0590-\u08ff\ufb1d-\ufefc]/g) * 2 > letters(/\P{L}/gu) ? -1 : 1;
  const spans = tokens.map((text, i) => el(odd(text) ? "span.odd" : "span",
    { role: "option", tabindex: i === stop ? 0 : -1, "aria-label": !text.trim() && "space" }, text));
  const keydown = (event) => {
    const i = spans.indexOf(event.target);
    const to = { ArrowRight: i + ahead, ArrowLeft: i - ahead, Home: 0, End: spans.length - 1 }[event.key];
    if (to === undefined || modified(event)) return;
    event.preventDefault();
    spans[to]?.focus();
  };
  const focusin = ({ target }) => spans.forEach((span) => (span.tabIndex = span === target ? 0 : -1));
  const dir = ahead < 0 ? "rtl" : "ltr";
  const node = el("bdi.line", { dir, role: "listbox", "aria-label": label, keydown, focusin }, spans);
  return { node, spans };
}
/** Orange by share of the maximum; underline by effect: blue and solid helped, red and dashed hurt. */
function paint(span, share = 0, effect = 0) {
  set(span, { "--a": Math.min(1, share), "--e": Math.min(1, Math.abs(effect)) });
  span.classList.toggle("on", share > 0);
  span.classList.toggle("helped", effect > 0.04);
  span.classList.toggle("hurt", effect < -0.04);
}
const activation = (act, most) => ["activation", num(act), `${percent(act / most)} of the maximum`];
const legend = (effects) => el("p.legend", el("span.on", { "--a": 0.7 }, "orange"), " share of the maximum",
  effects && [el("span.helped", { "--e": 0.7 }, "blue"), " ablation raises the loss: it helped",
    el("span.hurt", { "--e": 0.7 }, "red, dashed"), " lowers it"]);
const choice = (label, id, options, change) => el("label.control", label,
  el("select", { id, change: ({ target }) => change(target.value) },
    options.map(([value, text, selected]) => el("option", { value, selected: selected && "" }, text))));

// --- panels

function ticks(lo, hi) {
  if (lo >= hi) return [lo];
  const rough = (hi - lo) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power > rough * 0.999), first = Math.ceil(lo / step - 1e-9);
  return Array.from({ length: Math.floor(hi / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}
const LEFT = 48, RIGHT = 350, TOP = 10, BOTTOM = 150;
/** Axes of a 360 x 190 drawing; x and y take a value to its place. */
function axes(xs, ys, xName, yName) {
  const along = ([lo, hi], from, to) => (v) => from + ((v - lo) / (hi - lo || 1)) * (to - from);
  const x = along(xs, LEFT, RIGHT), y = along(ys, BOTTOM, TOP);
  const text = (x, y, anchor, words, more) => svg("text", { x, y, "text-anchor": anchor, ...more }, words);
  return { x, y, lines: [ticks(...xs).map((v) => text(x(v), 166, "middle", num(v))),
    ticks(...ys).map((v) => [svg("line.grid", { x1: LEFT, x2: RIGHT, y1: y(v), y2: y(v) }),
      text(42, y(v) + 4, "end", num(v))]),
    text(199, 184, "middle", xName), text(-80, 11, "middle", yName, { transform: "rotate(-90)" })] };
}
const figure = (title, desc, head, rows, ...drawn) => [
  svg("svg", { viewBox: "0 0 360 190", role: "img" }, svg("title", title), svg("desc", desc), drawn),
  el("details", el("summary", "Numbers"), table(head, rows, title))];

function histogram({ title, from, to, counts, diverging, side, x: name }, feature) {
  const most = Math.max(...counts, 1), peak = counts.indexOf(most);
  const edge = (i) => from + (i * (to - from)) / counts.length;
  const { x, y, lines } = axes([from, to], [0, most], name, "count");
  const bars = counts.map((n, i) => n > 0 && svg(diverging && edge(i + 0.5) < 0 ? "rect.bar.negative" : "rect.bar",
    { x: x(edge(i)), width: Math.max(0.5, x(edge(i + 1)) - x(edge(i)) - 0.6),
      y: Math.min(y(n), BOTTOM - 1), height: Math.max(1, BOTTOM - y(n)) }));
  const all = count(counts.reduce((a, b) => a + b, 0), "value"), mode = num(edge(peak + 0.5));
  const mark = svg("line.mark", { y1: TOP, y2: BOTTOM, visibility: "hidden" });
  if (!diverging && side !== "truth") // the first histogram of values is that of the activations
    feature.mark ??= (value = 0) => set(mark, { x1: x(value), x2: x(value), visibility: value ? "visible" : "hidden" });
  return figure(title, `${all} of ${name} from ${num(from)} to ${num(to)}, most about ${mode}.`,
    ["from", "to", "count"], counts.map((n, i) => [edge(i), edge(i + 1), n]), lines, bars, mark);
}

function curve({ title, x: across, series, y: name }) {
  const span = (values) => [Math.min, Math.max].map((end) => end(...values.filter((v) => v !== null)));
  const [[from, to], [lo, hi]] = [span(across.values), span(series.flatMap((s) => s.values))];
  if (lo > hi) return el("p", "No values.");
  const { x, y, lines } = axes([from, to], [lo, hi], across.name, name);
  const draw = (points, i) => svg(`polyline.series.s${i % 3}`, { points: points.join(" ") });
  const drawn = series.map(({ values }, i) =>
    draw(values.flatMap((v, j) => (v === null ? [] : [[x(across.values[j]), y(v)]])), i));
  return [el("p.legend", series.map((s, i) => el("span", svg("svg.key", { viewBox: "0 0 28 10" },
    draw(["1,5", "27,5"], i)), bdi(s.name)))),
    figure(title, `${name} from ${num(lo)} to ${num(hi)} against ${across.name} from ${num(from)} to ${num(to)}.`,
      [across.name, ...series.map((s) => s.name)],
      across.values.map((v, j) => [v, ...series.map((s) => s.values[j])]), lines, drawn)];
}

function logits({ positive, negative }, { dictionary }) {
  const most = Math.max(...[...positive, ...negative].map(([, v]) => Math.abs(v)));
  const half = (name, rows) => table([name, "value"], rows.map(([ref, v]) => [chip(dictionary[ref]),
    el(v < 0 ? "span.weight.negative" : "span.weight", { "--v": Math.abs(v) / most }, signed(v))]), name);
  return el("div.pair", half("most lowered", negative), half("most raised", positive));
}

function examples(panel, feature) {
  const rows = decode(panel, feature.dictionary), painters = [];
  const most = columns.max[rowOf.get(feature.id)] || panel.scale_act;
  const kinds = [["full", "full ablation"], ["direct", "direct path"]].filter(([kind]) => panel[kind]);
  const draw = (row) => {
    const { node, spans } = line(row.tokens, `Example: ${row.source}`, row.peak);
    spans.forEach((span, i) => tips.set(span, { text: row.tokens[i], act: row.act[i], mark: (act) => feature.mark?.(act), rows: () => [
      activation(row.act[i], most),
      ...kinds.map(([kind, name]) => [name, signed(row[kind][i]), "nats of loss of this token"]),
      ["source", bdi(row.source)], ["place", `sequence ${row.sequence}, position ${row.start + i}`]] }));
    spans[row.peak].classList.add("peak");
    painters.push((kind) => spans.forEach((span, i) =>
      paint(span, row.act[i] / most, kind && row[kind][i] / (panel[`scale_${kind}`] || 1))));
    return el("li", el("span.act", num(row.act[row.peak])), node,
      el("small", bdi(row.source), ` ${row.sequence}:${row.start + row.peak}`));
  };
  const groups = panel.groups.map(({ title, note, rows: chosen }) => [el("h3", bdi(title)),
    note && el("p.note", bdi(note)), el("ol.examples", chosen.map((number) => draw(rows[number])))]);
  const repaint = (kind) => painters.forEach((painter) => painter(kind));
  repaint(kinds[0]?.[0]);
  const underline = kinds[0] && choice("Underline", "underline", [...kinds, ["", "none"]], repaint);
  return [el("div.row", legend(kinds[0]), underline), groups];
}

const cell = (value, words) => value === null || typeof value === "number" ? value
  : typeof value === "string" ? bdi(value) : "f" in value ? link(value.f) : chip(words[value.t]);
const PANELS = {
  stats: ({ rows, title }) => table(null,
    rows.map(([label, text, why]) => [[bdi(label), why && el("small", bdi(why))], el("b", bdi(text))]), title),
  table: ({ head, rows, title }, { dictionary }) =>
    table(head, rows.map((row) => row.map((value) => cell(value, dictionary))), title),
  tokens: logits, histogram, curve, examples, empty: () => [],
};
function panelView(panel, feature) {
  const { type, title, note, side } = panel;
  const node = panelOf(bdi(title), note && el("p.note", bdi(note)), PANELS[type](panel, feature));
  Object.assign(node.dataset, { type, place: side ?? (type === "examples" ? "wide" : "small") });
  return node;
}

// --- order and search

const fold = (text) => text.normalize("NFC").toLowerCase();
const hay = rows.map((row) => fold([columns.name[row], columns.label[row], columns.id[row],
  ...[...columns.top[row], ...columns.promoted[row]].map((ref) => index.dictionary[ref])].join("\n")));
let query = "", order = [], current, sort = sorts[0], down = sort[2] === "desc";

function arrange() {
  const column = columns[sort[0]], sign = down ? -1 : 1, wanted = fold(query.trim());
  const none = (row) => column[row] === null; // not known: last either way
  const compare = (a, b) => none(a) - none(b) || sign * (column[a] - column[b]) || a - b;
  const exact = wanted && rowOf.get(Number(wanted)); // a bare number first
  order = rows.filter((row) => hay[row].includes(wanted))
    .sort((a, b) => (b === exact) - (a === exact) || compare(a, b));
}

// --- map

function makeMap() {
  const { x, y } = columns, points = rows.filter((row) => x[row] !== null && y[row] !== null);
  if (!points.length) return null;
  const range = (c) => points.reduce(([a, b], row) => [Math.min(a, c[row]), Math.max(b, c[row])], [Infinity, -Infinity]);
  const [[x0, x1], [y0, y1]] = [range(x), range(y)], canvas = el("canvas");
  const saying = el("p.pointed", { "aria-live": "polite" }, "Point at a dot, or use the arrow keys.");
  let pointed, place;
  const draw = () => {
    const size = canvas.clientWidth, pen = canvas.getContext("2d"), style = getComputedStyle(box), found = new Set(order);
    const scale = (size - 24) / Math.max(x1 - x0, y1 - y0, 1e-9), radius = points.length > 2000 ? 2 : 3.5;
    place = (row) => [size / 2 + (x[row] - (x0 + x1) / 2) * scale, size / 2 - (y[row] - (y0 + y1) / 2) * scale];
    canvas.width = canvas.height = size * devicePixelRatio;
    pen.globalAlpha = 0.6;
    pen.scale(devicePixelRatio, devicePixelRatio);
    const dots = (colour, chosen, r, how) => {
      pen.fillStyle = pen.strokeStyle = style.getPropertyValue(colour);
      for (const row of chosen) { pen.beginPath(); pen.arc(...place(row), r, 0, 7); pen[how](); }
    };
    dots("--faint", points.filter((row) => !found.has(row)), radius, "fill");
    dots("--accent", points.filter((row) => found.has(row)), radius, "fill");
    pen.lineWidth = 2;
    dots("--ink", points.filter((row) => row === pointed || row === rowOf.get(current)), radius + 4, "stroke");
  };
  const point = (row) => {
    pointed = row;
    saying.replaceChildren(...link(columns.id[row]));
    draw();
  };
  const least = (cost, limit) => points.reduce(([best, low], row) => {
    const next = cost(...place(row));
    return next < low ? [row, next] : [best, low];
  }, [undefined, limit])[0];
  const under = (event) => least((a, b) => Math.hypot(a - event.offsetX, b - event.offsetY), 20);
  const open = (row) => { if (row !== undefined) location.hash = `f=${columns.id[row]}`; };
  const keydown = (event) => {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter") open(pointed);
    if (!way) return;
    event.preventDefault();
    const [[a, b], [p, q]] = [place(pointed), way];
    point(least((x, y) => {
      const ahead = (x - a) * p + (y - b) * q;
      return ahead > 0 ? ahead + 2 * Math.abs((x - a) * q + (y - b) * p) : Infinity;
    }, Infinity) ?? pointed);
  };
  const box = el("div.map", { tabindex: 0, role: "application", keydown,
    focus: () => point(pointed ?? rowOf.get(current) ?? points[0]),
    "aria-label": `Map of ${count(points.length, unit)}: an arrow key goes to the next that way, Enter opens it`,
    pointermove: (event) => under(event) !== undefined && point(under(event)),
    click: (event) => open(under(event)) }, canvas);
  new ResizeObserver(draw).observe(canvas);
  return { node: panelOf("Map of decoder directions", box, saying), draw, point };
}

// --- overview

function makeOverview() {
  const map = makeMap(), head = el("tr"), body = el("tbody"), found = el("p.found", { "aria-live": "polite" });
  const chips = [["top", "fires on"], ["promoted", "promotes"]].filter(([name]) => columns[name].flat().length);
  const numbers = () => sorts.filter((one, i) => one[0] !== "id" && (i < (chips.length ? 4 : 7) || one === sort));
  const kind = (one) => (one === sort ? "number.sorted" : "number");
  const draw = (r) => el(columns.id[r] === current ? "tr.current" : "tr", { pointerenter: () => map?.point(r) },
    el("th", { scope: "row" }, link(columns.id[r])),
    chips.map(([name]) => el(`td.${name}`, columns[name][r].slice(0, 6).map((ref) => chip(index.dictionary[ref])))),
    numbers().map((one) => el(`td.${kind(one)}`, num(columns[one[0]][r]))));
  const grow = (n) => {
    body.append(...order.slice(body.children.length).slice(0, n).map(draw));
    more.hidden = body.children.length === order.length;
  };
  const more = button("Show more", () => grow(60));
  const way = button("", () => { down = !down; renew(); }, { id: "direction" });
  const renew = () => {
    const n = Math.max(60, body.children.length);
    arrange();
    const heads = [["th", unit], ...chips.map(([name, text]) => [`th.${name}`, text]),
      ...numbers().map((one) => [`th.${kind(one)}`, one[1]])];
    head.replaceChildren(...heads.map(([what, text]) => el(what, { scope: "col" }, text)));
    body.replaceChildren();
    grow(n);
    found.textContent = count(order.length, unit) + (query.trim() && ` with “${query.trim()}”`);
    way.textContent = down ? "↓ falling" : "↑ rising";
    map?.draw();
  };
  const choose = choice("Sort by", "sort", sorts.map(([, name], i) => [i, name]), (i) => {
    down = (sort = sorts[i])[2] === "desc";
    renew();
  });
  const about = el("details.panel", el("summary", "About these pages"),
    table(null, index.about.map((pair) => pair.map(bdi)), "About"));
  const node = el("div.overview", h1(index.title), el("aside", map?.node, about),
    el("section.panel", { "aria-label": "List" }, el("div.row", found, el("span.control", choose, way)),
      el("table.features", el("thead", head), body), more));
  const near = () => more.offsetParent && more.getBoundingClientRect().top < innerHeight + 800;
  addEventListener("scroll", () => near() && grow(60));
  renew();
  return { node, renew, scroll: 0 };
}

// --- one feature

/** The feature as its file has it, the examples decoded. */
const plain = (feature) => ({ ...feature, panels: feature.panels.map((panel) => panel.type !== "examples" ? panel :
  { type: "examples", title: panel.title, groups: panel.groups, rows: decode(panel, feature.dictionary) }) });
/** A cell of CSV; a leading ' keeps a spreadsheet from running it. */
const quoted = (value) => typeof value !== "string" ? value
  : `"${value.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
function csv({ panels, dictionary }) {
  const lines = ["panel,group,source,sequence,position,token,activation,full_ablation,direct_path"];
  for (const panel of panels.filter(({ type }) => type === "examples")) {
    const rows = decode(panel, dictionary);
    for (const { title, rows: chosen } of panel.groups) for (const row of chosen.map((number) => rows[number]))
      row.tokens.forEach((text, i) => lines.push([panel.title, title, row.source, row.sequence, row.start + i, text,
        row.act[i], row.full?.[i], row.direct?.[i]].map(quoted).join()));
  }
  return lines.join("\r\n") + "\r\n";
}
const copy = (what, text) => navigator.clipboard.writeText(text)
  .then(() => "copied", () => "not copied: the browser forbids it")
  .then((how) => (byId("said").textContent = `${what} ${how}.`));

async function featureView(text) {
  const { id: ids } = columns, id = Number(text || NaN), row = rowOf.get(id);
  if (row === undefined) throw unknown(unit, text, ids.length);
  const found = await load(`features/${id}`), feature = { ...found };
  current = id;
  const list = order.includes(row) ? order : rows, at = list.indexOf(row);
  const step = (to, id, text, label) => {
    if (to !== undefined) load(`features/${to}`).catch(() => {}); // ahead of time; it fails aloud when asked for
    return el("a.step", { href: to !== undefined && `#f=${to}`, id, "aria-label": label }, text);
  };
  const made = feature.panels.map((panel) => panelView(panel, feature));
  const stack = (kind, title) => {
    const nodes = made.filter((node) => node.dataset.place === kind);
    return nodes.length > 0 && el(`div.${kind}`, title && el("p.side", title), nodes);
  };
  return el("div", el("header.row",
    el("div", h1(feature.name), columns.label[row] && el("p", bdi(columns.label[row]))),
    el("div.tools", step(ids[list[at - 1]], "previous", "←", "Previous"),
      el("span", `${whole(at + 1)} of ${whole(list.length)} by ${sort[1]}`),
      step(ids[list[at + 1]], "next", "→", "Next"),
      button("Copy JSON", () => copy("JSON", JSON.stringify(plain(found), null, 1))),
      button("Copy CSV", () => copy("CSV", csv(found))), live && el("a.step", { href: `#live=${id}` }, "Steer"))),
  feature.dead && el("p.notice", `This ${unit} never fired on the text.`),
  el("div.sides", stack("truth", "The truth"), stack("latent", "The latent")),
  el("div.columns", stack("small"), stack("wide")));
}

// --- texts

/** A text: token by token its top features, and the features strongest on it. top[i]: [{ id, share, act, direct }] */
function textView(tokens, top, scale) {
  const { node, spans } = line(tokens, "The text"), picked = el("section.panel"), list = el("section.panel");
  const seen = Map.groupBy(top.flatMap((ones, i) => ones.map((one) => ({ ...one, i }))), ({ id }) => id);
  let metric = "share", only;
  const ranked = (ones) => [...ones].sort((a, b) => Math.abs(b[metric]) - Math.abs(a[metric]));
  const heads = scale ? ["of maximum", "direct effect"] : ["of maximum"];
  const sizes = (one) => [percent(one.share), signed(one.direct)].slice(0, heads.length);
  const choose = (i) => picked.replaceChildren(el("h2", "At ", chip(tokens[i]), el("small", ` token ${i}`)),
    top[i].length ? table([unit, "activation", ...heads],
      ranked(top[i]).map((one) => [link(one.id), one.act, ...sizes(one)]), "Here") : "Nothing fires on it.");
  const renew = () => {
    const rows = ranked([...seen.values()].map((ones) => ({ ...ranked(ones)[0], n: ones.length }))).slice(0, 30);
    list.replaceChildren(el("h2", "Strongest on this text"), table([unit, "strongest at", ...heads, "tokens", "colour"],
      rows.map((one) => [link(one.id), chip(tokens[one.i]), ...sizes(one), one.n, button("show",
        () => { only = only === one.id ? undefined : one.id; renew(); byId(`show-${one.id}`).focus(); },
        { id: `show-${one.id}`, "aria-pressed": `${only === one.id}` })]), "Strongest"));
    spans.forEach((span, i) => {
      const best = ranked(top[i].filter(({ id }) => only === undefined || id === only))[0];
      paint(span, metric === "share" ? best?.share : 0, metric === "direct" && best ? best.direct / scale : 0);
    });
  };
  const pick = ({ target, type }) => { // what has the focus, as by a click, stays
    const i = spans.indexOf(target);
    if (i >= 0 && (type === "focusin" || !node.contains(document.activeElement))) choose(i);
  };
  set(node, { pointerover: pick, focusin: pick });
  picked.append("Point at a token, or use Tab and the arrow keys.");
  renew();
  return el("div.columns.text", el("section.panel", el("div.row", legend(scale),
    scale && choice("Strength", "metric",
      [["share", "share of own maximum"], ["direct", "direct effect on the next token"]],
      (to) => { metric = to; renew(); })), node), el("div", picked, list));
}

async function textsView(text) {
  const chosen = Number(text || NaN);
  if (!(chosen in index.texts)) throw unknown("text", text, index.texts.length);
  const found = await load(`texts/${chosen}`), tokens = refs(found.tokens).map((ref) => found.dictionary[ref]);
  const shares = raw(found.act), direct = scaled(found.direct, found.scale_direct);
  const all = Array.from(new Int32Array(raw(found.features).buffer), (id, at) => id >= 0 &&
    { id, share: shares[at] / 255, act: (shares[at] / 255) * columns.max[rowOf.get(id)], direct: direct[at] });
  const top = tokens.map((_, i) => all.slice(i * found.k, (i + 1) * found.k).filter(Boolean));
  return el("div", el("header.row", h1(found.name), choice("Text", "text",
    index.texts.map((name, i) => [i, name, i === chosen]), (to) => (location.hash = `t=${to}`))),
  textView(tokens, top, found.scale_direct));
}

// --- live: with a server behind the page

async function ask(path, body) {
  const headers = { "Content-Type": "application/json", "X-Superposition-Token": password };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })
    .catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error ?? `The server answered ${answer.status}.`);
  return found;
}

/** What the answer to a form is shown as, under it; while it is at work the button says so. */
function answer(form, work) {
  const run = form.querySelector("button"), out = form.nextElementSibling, text = run.textContent;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    run.disabled = out.ariaBusy = true;
    run.textContent = "Working …";
    try {
      out.replaceChildren(await work(Object.fromEntries(new FormData(form))));
    } catch (error) {
      out.replaceChildren(el("p.notice", error.message));
    }
    run.disabled = out.ariaBusy = false;
    run.textContent = text;
  });
}

function steered({ rows }, id) {
  const most = columns.max[rowOf.get(id)] || 1;
  return table(["strength", "KL, nats", "text"], rows.map(({ strength, kl, tokens, act, prompt_length: given }) => {
    const { node, spans } = line(tokens, `Text at strength ${num(strength)}`);
    spans.forEach((span, i) => {
      paint(span, act[i] / most);
      span.classList.toggle("given", i < given);
      tips.set(span, { text: tokens[i], rows: () =>
        [activation(act[i], most), ["place", `position ${i}${i < given ? ", given" : ""}`]] });
    });
    return [signed(strength), kl, node];
  }), "Steered texts");
}

function liveView(wanted) {
  const node = byId("live").content.firstElementChild.cloneNode(true), [own, steering] = node.querySelectorAll("form");
  steering.elements.id.value = wanted || (current ?? columns.id[0]);
  answer(own, async (values) => {
    const { tokens, top } = await ask("/api/activations", values);
    return textView(tokens, top.map((ones) => ones.filter(([id]) => rowOf.has(id))
      .map(([id, act, share]) => ({ id, act, share }))));
  });
  answer(steering, async ({ prompt, strengths, ...numbers }) => {
    for (const name in numbers) numbers[name] = Number(numbers[name]);
    const each = strengths.replaceAll("−", "-").split(/[\s,;]+/).filter(Boolean).map(Number);
    return steered(await ask("/api/steer", { prompt, strengths: each, ...numbers }), numbers.id);
  });
  return node;
}

// --- the page

const search = byId("search"), help = byId("help"), overview = makeOverview();
const views = { overview: () => overview.node, f: featureView, t: textsView, ...(live && { live: liveView }) };
byId("to-t").hidden = !index.texts.length;
byId("to-live").hidden = !live;
byId("keys").addEventListener("click", () => help.showModal());
search.addEventListener("input", () => {
  query = search.value;
  overview.scroll = 0;
  overview.renew();
  if (location.hash.length > 1) location.hash = "";
});

let visit = 0, before;
async function route() {
  const mine = ++visit, hash = new URLSearchParams(location.hash.slice(1));
  const name = Object.keys(views).find((name) => hash.has(name)) ?? "overview";
  if (before === "overview") overview.scroll = scrollY;
  hide();
  byId("said").textContent = "";
  let node;
  try {
    node = await views[name](hash.get(name));
  } catch (error) {
    node = el("section.panel.notice", { role: "alert" }, h1("Not here"), el("p", bdi(error.message)));
  }
  if (mine !== visit) return; // gone on meanwhile
  byId("main").replaceChildren(node);
  if (name === "overview" && before) overview.renew();
  const heading = node.querySelector("h1");
  document.title = name === "overview" ? index.title : `${heading.textContent} – ${index.title}`;
  for (const link of document.querySelectorAll("nav a"))
    set(link, { "aria-current": link.id === `to-${name}` && "page" });
  if (before && document.activeElement !== search) heading.focus({ preventScroll: true });
  scrollTo(0, name === "overview" ? overview.scroll : 0);
  before = name;
}

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.defaultPrevented || modified(event) || help.open) return;
  const { key, target } = event, typing = target.closest("input, textarea, select");
  if (key === "Escape") { hide(); typing?.blur(); }
  else if (key === "Enter" && typing === search && order.length) {
    search.blur();
    location.hash = `f=${columns.id[order[0]]}`;
  } else if (typing) return;
  else if (key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (key === "?") help.showModal();
  else if (key === "ArrowLeft") byId("previous")?.click();
  else if (key === "ArrowRight") byId("next")?.click();
});
history.scrollRestoration = "manual";
route();
