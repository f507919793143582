/* The live page: sliders, presets, and drawings of what a worker trains. The same module is a page of its own and a
   widget of a notebook; `makeLab` stands before it. */

// --- the worker, or the page itself where no worker may start

/** Takes messages {lane, job, kind, ...} and answers by `send`; the newest job of a lane ends the older ones. */
function serve(lab, send) {
  const latest = {}, toys = new Map(), stale = Symbol("a newer job came");
  const settingsOf = ({ n, m, density, base, relu }) => ({ n, m, density, relu, importance: lab.importanceOf(n, base) });
  const kinds = {
    async toy(asked, answer, pause) {
      const settings = settingsOf(asked), losses = [], starts = [];
      let best = null;
      for (let seed = asked.first; seed < asked.first + asked.seeds; seed++) {
        const model = lab.trainToy(settings, seed);
        losses.push(model.loss);
        starts.push(model.theta);
        if (!best || model.loss < best.loss) best = model;
        answer({ model: best, losses, name: lab.recognise(best.W), seconds: model.seconds });
        await pause();
      }
      const known = !asked.relu ? { loss: lab.linearMinimum(settings) } : settings.n <= lab.MINIMISED ? await lab.least(settings, starts, pause) : null;
      answer({ model: best, losses, name: lab.recognise(best.W), seconds: best.seconds, least: known?.loss ?? null, done: true });
    },
    async cell({ r, density, seeds, first }, answer, pause) {
      const settings = { n: 2, m: 1, density, relu: true, importance: Float64Array.of(1, r) }, least = lab.bestOfTwo(r, density);
      let best = null;
      for (let seed = first; seed < first + seeds; seed++) {
        const model = lab.trainToy({ ...settings, steps: 1500 }, seed);
        if (!best || model.loss < best.loss) best = model;
        answer({ model: best, name: lab.recognise(best.W), least: least.loss, theory: lab.phaseLosses(r, density), done: seed === first + seeds - 1 });
        await pause();
      }
    },
    async map({ columns, rows }, answer, pause) {
      for (let row = 0; row < rows.length; row++) {
        answer({ row, cells: columns.map((r) => {
          const [first, extra] = lab.bestOfTwo(r, rows[row]).theta, dot = first * extra, norm = Math.abs(extra);
          return [norm, norm > 1e-9 ? (dot / norm) ** 2 : 0];
        }) });
        await pause();
      }
    },
    async sae(asked, answer, pause) {
      const settings = settingsOf({ ...asked, relu: true }), key = JSON.stringify([settings, asked.first, asked.seeds]);
      let best = toys.get(key);
      if (!best) {
        for (let seed = asked.first; seed < asked.first + asked.seeds; seed++) {
          const model = lab.trainToy(settings, seed);
          if (!best || model.loss < best.loss) best = model;
          await pause();
        }
        toys.clear();
        toys.set(key, best);
      }
      answer({ model: best, name: lab.recognise(best.W), sae: lab.trainSAE(best, settings, asked), done: true });
    },
  };
  return async (asked) => {
    const { lane, job, kind } = asked;
    latest[lane] = job;
    const pause = () => new Promise((go, stop) => setTimeout(() => (latest[lane] === job ? go() : stop(stale)), 0));
    try {
      await kinds[kind](asked, (answer) => send({ lane, job, kind, ...answer }), pause);
    } catch (error) {
      if (error !== stale) throw error;
    }
  };
}

/** Something to post jobs to; `take` is given the answers. */
function startWorker(take) {
  const here = () => {
    const receive = serve(makeLab(), take);
    return { post: (message) => setTimeout(() => receive(message), 0), stop() {} };
  };
  const text = `${makeLab}\n${serve}\nconst receive = serve(makeLab(), (answer) => postMessage(answer));\nonmessage = (event) => receive(event.data);`;
  let target;
  try {
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" })), worker = new Worker(address), waiting = new Map();
    target = { post(message) { waiting.set(message.lane, message); worker.postMessage(message); }, stop: () => worker.terminate() };
    worker.onmessage = (event) => take(event.data);
    // A notebook's host may forbid workers, which shows only now: what was asked is then done here.
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      Object.assign(target, here());
      for (const message of waiting.values()) target.post(message);
    };
  } catch {
    target = here();
  }
  return { post: (message) => target.post(message), stop: () => target.stop() };
}

// --- elements and numbers

const maker = (create) => (kind, ...children) => {
  const [tag, ...names] = kind.split("."), node = create(tag);
  if (names.length) node.setAttribute("class", names.join(" "));
  if (children[0]?.constructor === Object) for (const [name, value] of Object.entries(children.shift())) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "style") for (const [property, v] of Object.entries(value)) node.style.setProperty(property, v);
    else if ((value ?? false) !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(9).filter((child) => (child ?? false) !== false));
  return node;
};
const el = maker((tag) => document.createElement(tag));
const svg = maker((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
const num = (value, digits = 3) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value), text = size && size < 1e-3 ? value.toExponential(digits - 1) : `${Number(value.toPrecision(digits))}`;
  return text.replaceAll("-", "−");
};
const percent = (share) => `${num(100 * share, 3)} %`;
const two = (value) => value.toFixed(2).replace("-", "−").replace(/^−(0\.00)$/, "$1");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const lerp = (stops, share) => {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(place));
  const mixed = stops[i].map((v, k) => Math.round(v + (place - i) * (stops[i + 1][k] - v)));
  return `rgb(${mixed.join(" ")})`;
};
const VIRIDIS = [[72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
const INTERFERENCE = [[17, 30, 37], [67, 64, 131], [43, 143, 140], [168, 218, 69], [255, 255, 84]];
const GREY = [229, 229, 229], BLUE = [0, 0, 255], RED = [255, 0, 0];
const signed = (value) => `color-mix(in srgb, var(--${value < 0 ? "minus" : "plus"}) ${Math.round(100 * Math.min(1, Math.abs(value)))}%, var(--zero))`;

// --- drawings

function figure(title, says, drawing, ...rest) {
  if (drawing instanceof SVGElement) {
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", `${title}. ${says}`);
  }
  return el("figure", el("h3", title), drawing, rest);
}
const legend = (...items) => el("div.legend", items.filter(Boolean).map(([colour, text]) => el("span", colour && el("span.swatch", { style: { background: colour } }), text)));
const normsOf = (W) => W[0].map((_, i) => Math.hypot(...W.map((row) => row[i])));
const gramOf = (W) => W[0].map((_, i) => W[0].map((_, j) => W.reduce((sum, row) => sum + row[i] * row[j], 0)));
/** sum over j of (cos_ij |W_j|)^2: how much of the others lies along feature i. */
const interferenceOf = (A) => A.map((row, i) => (A[i][i] > 1e-12 ? row.reduce((sum, v, j) => sum + (j === i ? 0 : v * v), 0) / A[i][i] : 0));

/** Columns as [x, y]: themselves in two dimensions, on the two main axes in more; and the share of the square they show. */
function planar(lab, W, more = []) {
  const columns = W[0].map((_, i) => W.map((row) => row[i]));
  if (W.length === 1) return { columns: columns.map(([v]) => [v, 0]), more: more.map(([v]) => [v, 0]), share: 1 };
  if (W.length === 2) return { columns, more, share: 1 };
  const { values, vectors } = lab.eigen(W.map((a) => W.map((b) => a.reduce((sum, v, i) => sum + v * b[i], 0))));
  const onto = (v) => [0, 1].map((k) => v.reduce((sum, e, d) => sum + e * vectors[d][k], 0));
  return { columns: columns.map(onto), more: more.map(onto), share: (values[0] + values[1]) / values.reduce((a, b) => a + b, 0) };
}

function drawVectors(lab, { W }, { n, m, base }, name, latents = []) {
  const { columns, more, share } = planar(lab, W, latents), norms = normsOf(W), half = 150;
  const limit = 1.12 * Math.max(1.05, ...columns.map((v) => Math.hypot(...v))), at = (v) => [half + (v[0] / limit) * half, half - (v[1] / limit) * half];
  const colour = (i) => lerp(VIRIDIS, n > 1 && base < 1 ? (base ** i - base ** (n - 1)) / (1 - base ** (n - 1)) : 0.75);
  const drawing = svg("svg", { viewBox: "0 0 300 300" },
    svg("path.axis", { d: "M0 150H300M150 0V300" }), svg("circle.axis", { cx: half, cy: half, r: half / limit }));
  const tips = [];
  for (const kind of ["casing", "feature"]) columns.forEach((v, i) => {
    const [x, y] = at(v);
    drawing.append(svg(`line.${kind}`, { x1: half, y1: half, x2: x, y2: y, style: kind === "feature" ? { stroke: colour(i) } : {} }));
    if (kind === "feature") tips.push([x, y, i]);
  });
  for (const [x, y, i] of tips) {
    drawing.append(svg("circle.tip", { cx: x, cy: y, r: 5.5, style: { fill: colour(i) } }));
    const length = Math.hypot(x - half, y - half);
    if (length > 22 && n <= 12) drawing.append(svg("text.halo", { x: x - (14 * (y - half)) / length, y: y + (14 * (x - half)) / length + 4.5, "text-anchor": "middle" }, `${i + 1}`));
  }
  for (const v of more) {
    const [x, y] = at(v);
    drawing.append(svg("path.latent", { d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` }));
  }
  const dropped = name.dropped.length ? `; not stored: ${name.dropped.map((i) => i + 1).join(", ")}` : "";
  const title = m <= 2 ? "Columns of W: one direction a feature" : `Columns of W on their two main axes (${percent(share)} of their square)`;
  const words = `${capital(name.name)}; norms ${norms.map(two).join(", ")}${dropped}`;
  return figure(title, words, drawing, legend(base < 1 && [lerp(VIRIDIS, 1), "most important"], base < 1 && [lerp(VIRIDIS, 0), "least important"],
    latents.length ? [null, "✕ decoder row of a latent"] : [null, "circle: length 1"]));
}

function drawGram({ W, b }) {
  const A = gramOf(W), n = A.length, side = 300 / n, left = side + 12, drawing = svg("svg", { viewBox: `0 0 ${300 + left} 300` });
  const cell = (x, y, v) => {
    drawing.append(svg("rect", { x, y, width: side + 0.3, height: side + 0.3, style: { fill: signed(v) } }));
    const text = n <= 6 ? two(v) : v < -0.12 && n <= 20 ? "−" : "";
    if (text) drawing.append(svg(Math.abs(v) > 0.5 ? "text.strong" : "text", { x: x + side / 2, y: y + side / 2 + 5, "text-anchor": "middle", style: { "font-size": n <= 6 ? "16px" : "13px" } }, text));
  };
  A.forEach((row, i) => {
    row.forEach((v, j) => cell(j * side, i * side, v));
    cell(300 + 12, i * side, b[i]);
  });
  const mine = A.map((row, i) => row[i]), other = Math.min(...A.flatMap((row, i) => row.filter((_, j) => j !== i)));
  return figure("WᵀW, and b beside it", `Diagonal ${mine.map(two).join(", ")}; least entry off it ${two(other)}; biases ${b.map(two).join(", ")}`, drawing,
    legend([signed(-1), "−1"], [signed(0), "0"], [signed(1), "1"]));
}

function drawNorms({ W }) {
  const A = gramOf(W), norms = normsOf(W), shared = interferenceOf(A), n = norms.length, height = 260 / n, longest = Math.max(1.2, ...norms);
  const drawing = svg("svg", { viewBox: "0 0 300 284" }), width = (v) => (262 * v) / longest;
  norms.forEach((norm, i) => {
    const y = i * height + height * 0.1, h = height * 0.8;
    drawing.append(svg("rect.track", { x: 30, y, width: 262, height: h }));
    drawing.append(svg("rect.outlined", { x: 30, y, width: width(norm), height: h, style: { fill: lerp(INTERFERENCE, shared[i]) } }));
    if (n <= 10 || i % 5 === 4 || !i) drawing.append(svg("text", { x: 24, y: y + h / 2 + 5, "text-anchor": "end" }, `${i + 1}`));
  });
  for (const v of [0, 0.5, 1]) {
    drawing.append(svg("path.axis", { d: `M${30 + width(v)} 0V262` }));
    drawing.append(svg("text.small", { x: 30 + width(v), y: 279, "text-anchor": "middle" }, `${v}`));
  }
  return figure("Norms: how far each feature is stored", `Norms ${norms.map(two).join(", ")}; superposition ${shared.map(two).join(", ")}`, drawing,
    legend([lerp(INTERFERENCE, 0), "alone"], [lerp(INTERFERENCE, 0.5), ""], [lerp(INTERFERENCE, 1), "superposed, ≥ 1"]));
}

function drawLoss({ curve, loss }, losses, least, exact) {
  const high = Math.max(...curve.map(([, v]) => v)), low = Math.max(Math.min(loss, ...losses, least || Infinity), high * 1e-7) || 1e-9, steps = curve.at(-1)[0];
  const [top, bottom] = [Math.log10(high * 1.1 + 1e-12), Math.log10(low * 0.8)], drawing = svg("svg", { viewBox: "0 0 560 200" });
  const x = (step) => 62 + (430 * step) / steps, y = (v) => 8 + (158 * (top - Math.log10(Math.max(v, 1e-12)))) / (top - bottom);
  for (let e = Math.floor(bottom); e <= Math.ceil(top); e++) for (const f of top - bottom < 1.6 ? [1, 2, 5] : [1]) {
    const v = f * 10 ** e;
    if (Math.log10(v) > top || Math.log10(v) < bottom) continue;
    drawing.append(svg("path.axis", { d: `M62 ${y(v)}H500` }), svg("text.small", { x: 56, y: y(v) + 4, "text-anchor": "end" }, num(v)));
  }
  drawing.append(svg("text.small", { x: 62, y: 186 }, "0"), svg("text.small", { x: 492, y: 186, "text-anchor": "middle" }, `${steps}`), svg("text.small", { x: 277, y: 186, "text-anchor": "middle" }, "steps"));
  if (least) drawing.append(svg("path.least", { d: `M62 ${y(least)}H500` }), svg("text.small", { x: 505, y: y(least) + 12 }, "least"));
  drawing.append(svg("path.run", { d: `M${curve.map(([step, v]) => `${x(step).toFixed(1)} ${y(v).toFixed(1)}`).join("L")}` }));
  for (const v of losses) drawing.append(svg("circle.dot", { cx: x(steps), cy: y(v), r: 5 }));
  const says = `From ${num(curve[0][1])} to ${num(loss)}${least ? `; the least loss is ${num(least)}` : ""}; ${losses.length} seeds: ${losses.map((v) => num(v)).join(", ")}`;
  return figure(`${exact ? "Exact loss" : "Loss of the batches"} while training; dots: every seed's exact loss`, says, drawing);
}

const COLUMNS = Array.from({ length: 25 }, (_, i) => 10 ** (-1 + i / 12)), ROWS = Array.from({ length: 24 }, (_, i) => 10 ** ((-2 * i) / 23));
const PHASES = [["rgb(221 221 221)", "extra feature dropped"], ["rgb(18 51 153)", "extra feature alone"], ["rgb(221 68 68)", "superposition: both"]];

/** The map of phases, drawn into a canvas; place(event) gives the r and density of a point, paint(...) draws it anew. */
function phaseMap(lab) {
  const canvas = el("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map" });
  const inner = () => {
    const em = parseFloat(getComputedStyle(canvas).fontSize), x = 4.2 * em, y = 0.6 * em;
    return { x, y, w: canvas.clientWidth - x - 1.4 * em, h: canvas.clientHeight - y - 2.9 * em };
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect(), { x, y, w, h } = inner(), share = (v) => Math.min(1, Math.max(0, v));
    return { r: 10 ** (-1 + 2 * share((event.clientX - box.left - x) / w)), density: 10 ** (-2 * share((event.clientY - box.top - y) / h)) };
  };
  const paint = (state, exact) => {
    const ratio = devicePixelRatio || 1, { x, y, w, h } = inner();
    if (w <= 0 || h <= 0) return;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas), size = parseFloat(style.fontSize);
    pen.scale(ratio, ratio);
    const rows = state.exact ? ROWS.length : 120, columns = state.exact ? COLUMNS.length : 120;
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      if (state.exact) {
        if (!exact[i]) continue;
        const [norm, shared] = exact[i][j], s = Math.min(1, shared), n = Math.min(1, norm);
        pen.fillStyle = lerp([GREY, BLUE.map((v, k) => v + s * (RED[k] - v))], n);
      } else {
        const losses = lab.phaseLosses(10 ** (-1 + (2 * (j + 0.5)) / columns), 10 ** ((-2 * (i + 0.5)) / rows));
        pen.fillStyle = PHASES[losses.indexOf(Math.min(...losses))][0];
      }
      const [left, right, top, bottom] = [x + (w * j) / columns, x + (w * (j + 1)) / columns, y + (h * i) / rows, y + (h * (i + 1)) / rows].map(Math.round);
      pen.fillRect(left, top, right - left, bottom - top);
    }
    pen.font = `600 ${size}px ${style.fontFamily}`;
    pen.textAlign = "center";
    const ink = style.color;
    const words = (text, u, v, colour) => {
      pen.lineWidth = 4; pen.strokeStyle = colour === "#fff" ? "#0006" : "#fff8";
      pen.fillStyle = colour;
      pen.fillText(text, x + w * u, y + h * v);
    };
    words("dropped", 0.2, 0.12, "#111"); words("alone", 0.82, 0.12, "#fff");
    words("superposition", 0.5, 0.66, state.exact ? "#fff" : "#111");
    pen.font = `${size * 0.9}px ${style.fontFamily}`;
    pen.fillStyle = ink;
    for (const [text, share] of [["0.1×", 0], ["1×", 0.5], ["10×", 1]]) pen.fillText(text, x + w * share, y + h + size * 1.1);
    pen.fillText("importance of the extra feature", x + w / 2, y + h + size * 2.3);
    pen.textAlign = "right";
    for (const [text, share] of [["1", 0], ["0.1", 0.5], ["0.01", 1]]) pen.fillText(text, x - 6, y + h * share + size * 0.35);
    pen.save();
    pen.translate(size * 0.9, y + h / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText("density 1 − S", 0, 0);
    pen.restore();
    const px = x + (w * (Math.log10(state.r) + 1)) / 2, py = y + (h * -Math.log10(state.density)) / 2;
    for (const [colour, width] of [["#fff", 6], ["#111", 2.5]]) {
      pen.strokeStyle = colour; pen.lineWidth = width;
      pen.beginPath(); pen.arc(px, py, 9, 0, 7); pen.stroke();
    }
  };
  return { canvas, place, paint };
}

function drawPair({ W, b }) {
  const drawing = svg("svg", { viewBox: "0 0 300 110" }, svg("path.axis", { d: "M10 55H290M150 40V70" })), reach = 1.15 * Math.max(1.1, ...W[0].map(Math.abs));
  const x = (v) => 150 + (140 * v) / reach, names = ["first", "extra"], colours = [lerp(VIRIDIS, 0.9), lerp(VIRIDIS, 0.3)];
  W[0].forEach((v, i) => {
    const y = 55 + (i ? 7 : -7);
    drawing.append(svg("line.casing", { x1: 150, y1: y, x2: x(v), y2: y }), svg("line.feature", { x1: 150, y1: y, x2: x(v), y2: y, style: { stroke: colours[i] } }),
      svg("circle.tip", { cx: x(v), cy: y, r: 5.5, style: { fill: colours[i] } }), svg("text", { x: Math.min(262, Math.max(38, x(v))), y: i ? 88 : 30, "text-anchor": "middle" }, `${names[i]}: ${two(v)}`));
  });
  return figure("The neuron's two weights", `First ${two(W[0][0])}, extra ${two(W[0][1])}; biases ${b.map(two).join(" and ")}`, drawing);
}

function drawCosines(sae, n) {
  const order = [...sae.matches.map((match) => match.latent)], rest = sae.cosines.map((_, i) => i).filter((i) => !order.includes(i)), rows = [...order, ...rest];
  const w = 270 / n, h = 270 / rows.length, drawing = svg("svg", { viewBox: "0 0 304 304" });
  rows.forEach((latent, i) => sae.cosines[latent].forEach((v, j) => {
    drawing.append(svg("rect", { x: 30 + j * w, y: i * h, width: w + 0.3, height: h + 0.3, style: { fill: signed(v) } }));
    if (n <= 8 && rows.length <= 14) drawing.append(svg(Math.abs(v) > 0.5 ? "text.strong" : "text", { x: 30 + j * w + w / 2, y: i * h + h / 2 + 4, "text-anchor": "middle", style: { "font-size": "11.5px" } }, two(v)));
  }));
  drawing.append(svg("text.small", { x: 165, y: 288, "text-anchor": "middle" }, "features of the toy model"), svg("text.small", { x: 14, y: 135, "text-anchor": "middle", transform: "rotate(-90 14 135)" }, "latents"));
  const cosines = sae.matches.map((match) => match.cosine);
  return figure("Cosines: decoder rows against columns of W", `Best match of each feature: ${cosines.map(two).join(", ")}`, drawing,
    legend([signed(-1), "−1"], [signed(0), "0"], [signed(1), "1: the same direction"]));
}

function table(head, rows) {
  return el("table", head && el("thead", el("tr", head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", rows.map(([first, ...cells], i) => el(rows.best === i ? "tr.best" : "tr", el("th", { scope: "row" }, first), cells.map((cell) => el("td", cell))))));
}

// --- the page

const PRESETS = [
  ["Five features, not sparse: two are kept", { view: "toy", n: 5, m: 2, density: 1, base: 0.9, relu: true, seeds: 4 }],
  ["Five features, 80 % sparse: digons", { view: "toy", n: 5, m: 2, density: 0.2, base: 0.9, relu: true, seeds: 8 }],
  ["Five features, 90 % sparse: the pentagon", { view: "toy", n: 5, m: 2, density: 0.1, base: 0.9, relu: true, seeds: 4 }],
  ["Linear model, 20 features in 5", { view: "toy", n: 20, m: 5, density: 0.1, base: 0.7, relu: false, seeds: 2 }],
  ["ReLU model, 20 features in 5, 1 − S = 0.1", { view: "toy", n: 20, m: 5, density: 0.1, base: 0.7, relu: true, seeds: 4 }],
  ["ReLU model, 20 features in 5, 1 − S = 0.01", { view: "toy", n: 20, m: 5, density: 0.01, base: 0.7, relu: true, seeds: 4 }],
  ["Geometry: 8 features in 3", { view: "toy", n: 8, m: 3, density: 0.03, base: 1, relu: true, seeds: 4 }],
  ["Phase diagram: theory", { view: "phase", exact: false, r: 1, density: 0.1 }],
  ["Phase diagram: exact minimum", { view: "phase", exact: true, r: 1, density: 0.62 }],
  ["Autoencoder without a penalty", { view: "sae", n: 8, m: 3, density: 0.03, base: 1, seeds: 3, width: 12, penalty: 0 }],
  ["Autoencoder with a penalty: features found", { view: "sae", n: 8, m: 3, density: 0.03, base: 1, seeds: 3, width: 12, penalty: 2 }],
];
const VIEWS = [["toy", "Toy model"], ["phase", "Phase diagram"], ["sae", "Sparse autoencoder"]];
const KEYS = [["← → on a slider", "change it; Page Up and Down by more, Home and End to its ends"], ["1 2 3", "toy model, phase diagram, sparse autoencoder"],
  ["[ ]", "previous and next slide of the list"], ["L", "linear or ReLU; in the phase diagram, theory or exact minimum"], ["S", "other seeds"],
  ["F", "full screen, in large letters"], ["?", "these keys"]];
const logarithmic = { of: Math.log10, back: (v) => 10 ** v };
const SLIDERS = {
  n: { label: "Features n", min: 2, max: 20, step: 1, says: (v) => `${v} features` },
  m: { label: "Hidden dimensions m", min: 1, max: 8, step: 1, says: (v) => `${v} dimensions` },
  r: { label: "Importance of the extra feature", min: -1, max: 1, step: 0.02, ...logarithmic, text: (v) => `${num(v, 2)} ×`, says: (v) => `${num(v, 2)} times the first's` },
  density: { label: "Density 1 − S", min: -2.6, max: 0, step: 0.02, ...logarithmic, text: (v) => num(v, 2), says: (v) => `density ${num(v, 2)} (sparsity ${percent(1 - v)})` },
  base: { label: "Importance Iᵢ = base^i", min: 0.5, max: 1, step: 0.01, text: (v) => `${two(v)}^i`, says: (v) => `each feature ${two(v)} times as important as the one before` },
  seeds: { label: "Seeds (the best is shown)", min: 1, max: 12, step: 1, says: (v) => `best of ${v} seeds` },
  width: { label: "Latents", min: 2, max: 40, step: 1, says: (v) => `${v} latents` },
  penalty: { label: "Penalty on activity", min: 0, max: 3, step: 0.1, text: (v) => v.toFixed(1), says: (v) => `penalty ${v.toFixed(1)}` },
};
const SHOWN = { toy: ["density", "n", "m", "base", "seeds"], phase: ["r", "density", "seeds"], sae: ["penalty", "width", "density", "n", "m", "base", "seeds"] };

/** Builds the page inside `root` and begins; onResult is told every finished result. Returns what takes it away. */
function mount(root, given, onResult = () => {}, keysOf = root) {
  const lab = makeLab(), state = { view: "toy", n: 5, m: 2, density: 0.1, base: 0.9, relu: true, seeds: 4, first: 0, width: 12, penalty: 2, r: 1, exact: false, ...given };
  const map = phaseMap(lab), exact = [], latest = { main: 0 };
  let jobs = 0, mapAsked = false, speaking = 0;
  root.classList.add("sp-explore");

  const heading = el("h2", "…"), said = el("p.said"), spoken = el("p.unseen", { role: "status", "aria-live": "polite" });
  const panels = el("div.panels"), data = el("div.scroll", { tabindex: 0, role: "group", "aria-label": "Numbers" }), numbers = el("details", el("summary", "Numbers"), data);
  const choice = el("select", { change: () => preset(Number(choice.value)) }, el("option", { value: -1 }, "Settings of your own"), PRESETS.map(([name], i) => el("option", { value: i }, name)));
  const views = VIEWS.map(([view, name]) => el("button", { type: "button", click: () => change({ view }), "data-view": view }, name));
  const modes = [false, true].map((second) => el("button", { type: "button", click: () => change(state.view === "phase" ? { exact: second } : { relu: second }) }));
  const help = el("dialog", { "aria-label": "Keys" }, table(null, KEYS.map(([key, what]) => [el("kbd", key), what])), el("form", { method: "dialog" }, el("button", "Close")));
  const inputs = {};
  const sliders = Object.entries(SLIDERS).map(([key, { label, min, max, step, back = (v) => v }]) => {
    const output = el("output"), input = el("input", { type: "range", min, max, step, "data-key": key, id: `sp-${key}-${mount.count}`, input: () => change({ [key]: back(Number(input.value)) }) });
    inputs[key] = { input, output };
    return el("div.slider", { "data-slider": key }, el("label", { for: input.id }, label), output, input);
  });
  mount.count += 1;
  root.append(
    el("header.bar", el("h1", "Superposition, live"), el("div.group", { role: "group", "aria-label": "What is shown" }, views), el("label", "Slide ", choice),
      el("div.group", el("button", { type: "button", click: () => fullScreen() }, "Full screen"), el("button", { type: "button", "aria-label": "Keys", click: () => help.showModal() }, "?"))),
    el("div.body", el("section.controls", { "aria-label": "Settings" }, el("div.group", { role: "group", "aria-label": "Model" }, modes), sliders,
      el("button", { type: "button", click: () => change({ first: state.first + state.seeds }) }, "Other seeds")),
      el("section.stage", { "aria-label": "Result" }, heading, said, panels, numbers, spoken)),
    help,
  );

  function preset(i) {
    if (!PRESETS[i]) return;
    change({ first: 0, ...PRESETS[i][1] });
    choice.value = i;
  }
  function change(some) {
    const moved = Object.keys(some).some((key) => state[key] !== some[key]);
    if (!moved) return;
    Object.assign(state, some);
    state.m = Math.min(state.m, state.n);
    if (state.view === "phase") state.density = Math.max(state.density, 0.01);
    choice.value = -1;
    begin();
  }
  function show() {
    const { view } = state;
    views.forEach((button) => button.setAttribute("aria-pressed", button.dataset.view === view));
    const names = view === "phase" ? ["Theory", "Exact minimum"] : ["Linear", "ReLU"];
    modes.forEach((button, i) => { button.textContent = names[i]; button.setAttribute("aria-pressed", (view === "phase" ? state.exact : state.relu) === Boolean(i)); });
    modes[0].parentNode.hidden = view === "sae";
    for (const [key, { of = (v) => v, text = String, says }] of Object.entries(SLIDERS)) {
      const { input, output } = inputs[key], value = state[key];
      if (key === "m") input.max = Math.min(8, state.n);
      if (key === "density") input.min = view === "phase" ? -2 : -2.6;
      if (Math.abs(Number(input.value) - of(value)) > Number(input.step) / 2) input.value = of(value);
      input.setAttribute("aria-valuetext", says(value));
      output.textContent = text(value);
      output.parentNode.hidden = !SHOWN[view].includes(key);
    }
    for (const key of SHOWN[view]) inputs[key].input.parentNode.parentNode.insertBefore(inputs[key].input.parentNode, root.querySelector(".controls > button"));
  }
  function begin() {
    show();
    if (state.view === "phase" && !panels.contains(map.canvas)) {
      panels.className = "panels phase";
      panels.replaceChildren(figure("", "", el("div.map", map.canvas), legend()), el("figure"));
    }
    if (state.view === "phase") {
      panels.firstChild.firstChild.textContent = state.exact ? "Exact minimum of every cell: red reaches higher" : "Theory: the best of three weight matrices";
      panels.firstChild.lastChild.replaceWith(legend(...(state.exact ? PHASES.map(([, words], i) => [lerp([GREY, BLUE, RED], i / 2), words]) : PHASES)));
      map.canvas.setAttribute("aria-label", `Phase diagram of one neuron and two features. Arrow keys move the point: importance ${num(state.r, 2)} times, density ${num(state.density, 2)}`);
      map.paint(state, exact);
      if (state.exact && !mapAsked) { mapAsked = true; worker.post({ lane: "map", job: ++jobs, kind: "map", columns: COLUMNS, rows: ROWS }); }
    }
    latest.main = ++jobs;
    root.dataset.busy = "yes";
    const { n, m, density, base, relu, seeds, first, r, width, penalty } = state;
    worker.post({ lane: "main", job: jobs, kind: state.view === "phase" ? "cell" : state.view, n, m, density, base, relu, seeds, first, r, width, penalty });
  }
  function take(answer) {
    if (answer.lane === "map") {
      exact[answer.row] = answer.cells;
      if (state.view === "phase") map.paint(state, exact);
      return;
    }
    if (answer.job !== latest.main) return;
    ({ toy: takeToy, cell: takeCell, sae: takeSAE })[answer.kind](answer);
    const { model, name, least, sae } = answer;
    root.result = { ...state, W: model.W, b: model.b, loss: model.loss, name: name.name, seconds: model.seconds, least: least ?? null, sae: sae ?? null, done: Boolean(answer.done) };
    if (!answer.done) return;
    root.dataset.busy = "no";
    onResult(root.result);
    clearTimeout(speaking);
    speaking = setTimeout(() => { spoken.textContent = `${heading.textContent}. ${said.textContent}`; }, 600);
  }
  const saying = (...parts) => said.replaceChildren(...parts.flatMap((part, i) => (i ? [" · ", part] : [part])));
  const strong = (text) => el("b", text);

  function takeToy({ model, losses, name, seconds, least = null, done }) {
    const stored = state.n - name.dropped.length, { n, m } = state;
    heading.textContent = `${capital(name.name)}: ${stored === n ? `all ${n}` : `${stored} of ${n}`} features stored in ${m} ${m === 1 ? "dimension" : "dimensions"}`;
    const above = least > 0 ? model.loss / least - 1 : 0, exactLoss = el("span", "exact loss ", strong(num(model.loss, 4)));
    const floor = least !== null ? el("span", "least loss found ", strong(num(least, 4)), above > 5e-5 ? ` (trained: ${num(100 * above, 2)} % above)` : " (reached)")
      : state.relu && n <= lab.MINIMISED && !done ? "looking for the least loss …" : state.relu && n > lab.MINIMISED ? `${losses.length} of ${state.seeds} seeds` : "";
    saying(exactLoss, ...(floor ? [floor] : []), `a model in ${seconds.toFixed(2)} s`);
    panels.className = "panels toy";
    panels.replaceChildren(drawVectors(lab, model, state, name), drawGram(model), drawNorms(model), drawLoss(model, losses, least, n <= lab.MINIMISED));
    const norms = normsOf(model.W), shared = interferenceOf(gramOf(model.W));
    data.replaceChildren(table(["Feature", "importance", "norm", "superposition", "b", "part of"], norms.map((v, i) => [`${i + 1}`, num(state.base ** i), two(v), two(shared[i]), two(model.b[i]),
      name.components.find((part) => part.features.includes(i))?.name ?? "not stored"])));
  }
  function takeCell({ model, name, least, theory }) {
    const [first, extra] = model.W[0].map(Math.abs), both = first > 0.5 && extra > 0.5;
    heading.textContent = both ? "Both features share the neuron: superposition" : extra > 0.5 ? "The extra feature has the neuron to itself" : "The extra feature is dropped";
    saying(el("span", "trained ", strong(num(model.loss, 4))), el("span", "exact minimum ", strong(num(least, 4))), `theory's best ${num(Math.min(...theory), 4)}`);
    const rows = [...PHASES.map(([, words], i) => [capital(words), num(theory[i], 4)]), ["Exact minimum", num(least, 4)], ["Trained here", num(model.loss, 4)]];
    rows.best = theory.indexOf(Math.min(...theory));
    panels.lastChild.replaceWith(el("figure", el("h3", `r = ${num(state.r, 2)}, 1 − S = ${num(state.density, 2)}: ${name.name}`), drawPair(model).querySelector("svg"),
      el("p", `b = ${model.b.map(two).join(", ")}`), table(["Loss of", ""], rows)));
    data.replaceChildren(table(["", "first", "extra"], [["W", ...model.W[0].map((v) => num(v, 4))], ["b", ...model.b.map((v) => num(v, 4))]]));
  }
  function takeSAE({ model, name, sae }) {
    const { n, density, width, penalty } = state, mean = (key) => sae.matches.reduce((sum, match) => sum + match[key], 0) / (sae.matches.length || 1);
    heading.textContent = penalty ? `${sae.found} of ${sae.stored} stored features found` : `No penalty: it copies its input, and finds ${sae.found ? `only ${sae.found}` : "none"} of ${sae.stored} features`;
    saying(el("span", "FVU ", strong(num(sae.fvu, 2))), el("span", "L0 ", strong(num(sae.l0, 2))), `the truth has ${num(n * density, 2)}`, `${sae.alive} of ${width} latents fire`, `trained in ${sae.seconds.toFixed(2)} s`);
    panels.className = "panels sae";
    const unit = sae.decoder.map((row) => row.map((v) => v / (Math.hypot(...row) || 1))).filter((_, i) => sae.cosines[i].some(Boolean)), norms = normsOf(model.W);
    const longest = Math.max(...norms);
    panels.replaceChildren(drawVectors(lab, model, state, name, unit.map((row) => row.map((v) => v * longest))), drawCosines(sae, n),
      el("figure", el("h3", "Recovery of the features"), table(["", "this SAE", "ideal"], [["found", `${sae.found}`, `${sae.stored}`], ["mean cosine", two(mean("cosine")), "1"], ["mean F1", two(mean("f1")), "1"],
        ["L0", num(sae.l0, 2), num(n * density, 2)], ["FVU", num(sae.fvu, 2), "0"]]), el("p.legend", "Found: a latent of its own with cosine over 0.98 and F1 over 0.6. A latent fires where it is above 0.")));
    data.replaceChildren(table(["Feature", "latent", "cosine", "F1"], sae.matches.map(({ feature, latent, cosine, f1 }) => [`${feature + 1}`, `${latent + 1}`, two(cosine), two(f1)])));
  }

  function fullScreen() {
    const on = !root.classList.contains("projector");
    root.classList.toggle("projector", on);
    if (on) root.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
  }
  const left = () => { if (!document.fullscreenElement) root.classList.remove("projector"); };
  const resized = new ResizeObserver(() => { if (state.view === "phase") map.paint(state, exact); });
  const pressed = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || help.open) return;
    const act = { 1: () => change({ view: "toy" }), 2: () => change({ view: "phase" }), 3: () => change({ view: "sae" }), f: fullScreen, s: () => change({ first: state.first + state.seeds }),
      l: () => change(state.view === "phase" ? { exact: !state.exact } : { relu: !state.relu }), "?": () => help.showModal(),
      "[": () => preset((Number(choice.value) + PRESETS.length - (Number(choice.value) < 0 ? 0 : 1)) % PRESETS.length), "]": () => preset((Number(choice.value) + 1) % PRESETS.length) }[event.key.toLowerCase()];
    if (!act || (event.target.localName === "select" && /^[a-z]$/i.test(event.key))) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  keysOf.addEventListener("keydown", pressed);
  document.addEventListener("fullscreenchange", left);
  const point = (event) => { if (event.type === "pointerdown" || event.buttons) change(map.place(event)); };
  for (const kind of ["pointerdown", "pointermove"]) map.canvas.addEventListener(kind, point);
  map.canvas.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    const near = (v, low, high) => Math.min(high, Math.max(low, v));
    change({ r: near(state.r * 10 ** (x / 12), 0.1, 10), density: near(state.density * 10 ** ((2 * y) / 23), 0.01, 1) });
  });
  const worker = startWorker(take);
  resized.observe(map.canvas);
  const begun = PRESETS.findIndex(([, some]) => Object.entries(some).every(([key, value]) => state[key] === value));
  choice.value = begun;
  begin();
  return () => {
    worker.stop();
    resized.disconnect();
    keysOf.removeEventListener("keydown", pressed);
    document.removeEventListener("fullscreenchange", left);
    root.replaceChildren();
  };
}
mount.count = 0;

const own = document.getElementById("superposition-explore");
if (own) {
  own.classList.add("page");
  mount(own, JSON.parse(document.getElementById("superposition-settings").textContent), undefined, document);
}

/** The widget of a notebook: takes `settings`, gives `result`. */
function render({ model, el: place }) {
  const root = el("div");
  place.append(root);
  return mount(root, model.get("settings"), (result) => {
    model.set("result", result);
    model.save_changes();
  });
}
export default { render };
