/* What the live page computes: exact losses, training, least losses, names of polytopes, a sparse autoencoder.
   It stands inside one function, so that a worker can be made of its text; no drawing, no document. */

function makeLab() {
  // --- random numbers: a 32-bit generator (mulberry32), so that a seed gives the same model in every browser

  function generator(seed) {
    let state = (Math.imul(seed + 1, 2654435761) ^ 1540483477) >>> 0;
    return () => {
      state = (state + 1831565813) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  const normal = (next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

  /** Draws x given that a feature is active: fills `active` and `value`, returns how many there are. */
  function sampler(n, density, next) {
    const cumulative = new Float64Array(n + 1), order = Int32Array.from({ length: n }, (_, i) => i);
    let term = n * density * (1 - density) ** (n - 1); // the chance that just one is active
    if (density >= 1) cumulative[n] = 1;
    else for (let k = 1; k <= n; k++) {
      cumulative[k] = cumulative[k - 1] + term;
      term *= ((n - k) * density) / ((k + 1) * (1 - density));
    }
    return (active, value) => {
      const u = next() * cumulative[n];
      let k = density >= 1 ? n : 1;
      while (k < n && u >= cumulative[k]) k++;
      for (let j = 0; j < k; j++) {
        const other = j + Math.floor(next() * (n - j)), taken = order[other];
        order[other] = order[j];
        order[j] = active[j] = taken;
        value[j] = next();
      }
      return k;
    };
  }
  const importanceOf = (n, base) => Float64Array.from({ length: n }, (_, i) => base ** i);

  // --- exact expected losses: superposition.expected_loss in JavaScript

  const choose = [];
  for (let r = 0; r < 40; r++) {
    choose.push(new Float64Array(r + 1).fill(1));
    for (let k = 1; k < r; k++) choose[r][k] = choose[r - 1][k - 1] + choose[r - 1][k];
  }

  /** [E (z)_+^2, E x_own (z)_+] of z = b + a x, features integrated out one by one, smallest |a| first: exact, any n <= 12.
      The second is half the derivative by a_own, carried along beside every value (names that begin with d). */
  function byEnumeration(a, b, p, own) {
    const n = a.length;
    let scale = Math.abs(b);
    for (const slope of a) scale = Math.max(scale, Math.abs(slope));
    if (!scale) scale = 1;
    const order = Array.from(a, (_, i) => i).sort((i, j) => Math.abs(a[i]) - Math.abs(a[j]));
    let size = 1 << n;
    const x = new Float64Array(size), dx = new Float64Array(size), orders = n + 3;
    x[0] = b / scale;
    for (let j = 0; j < n; j++) {
      const slope = a[order[j]] / scale, tilt = order[j] === own ? 1 / scale : 0, bit = 1 << j;
      for (let v = 0; v < bit; v++) { x[v + bit] = x[v] + slope; dx[v + bit] = dx[v] + tilt; }
    }
    const powers = [], dpowers = []; // [r - 2][vertex]
    for (let r = 2; r < orders; r++) {
      const row = new Float64Array(size), drow = new Float64Array(size);
      for (let v = 0; v < size; v++) if (x[v] > 0) {
        row[v] = x[v] ** r;
        drow[v] = r * x[v] ** (r - 1) * dx[v];
      }
      powers.push(row); dpowers.push(drow);
    }
    const moments = new Float64Array(orders), dmoments = new Float64Array(orders);
    const part = new Float64Array(orders), dpart = new Float64Array(orders);
    moments[0] = part[0] = 1;
    let below = 0, above = 0;
    for (let j = 0; j < n; j++) {
      const slope = a[order[j]] / scale, tilt = order[j] === own ? 1 / scale : 0;
      for (let k = 1; k < orders; k++) {
        part[k] = (p * slope ** k) / (k + 1);
        dpart[k] = (p * k * slope ** (k - 1) * tilt) / (k + 1);
      }
      for (let r = orders - 1; r > 0; r--) {
        let sum = 0, dsum = 0;
        for (let k = 0; k <= r; k++) {
          sum += choose[r][k] * moments[r - k] * part[k];
          dsum += choose[r][k] * (dmoments[r - k] * part[k] + moments[r - k] * dpart[k]);
        }
        moments[r] = sum; dmoments[r] = dsum;
      }
      below += Math.max(-slope, 0); above += Math.max(slope, 0);
      const divisible = Math.abs(slope) > Number.EPSILON;
      size >>= 1;
      for (let v = 0; v < size; v++) {
        const low = 2 * v, high = low + 1, at = x[low], dat = dx[low];
        if (at < below && at > -above && divisible) for (let r = 2; r < orders - 1 - j; r++) {
          const i = r - 2, rise = powers[i + 1][high] - powers[i + 1][low];
          const drise = dpowers[i + 1][high] - dpowers[i + 1][low];
          powers[i][v] = (1 - p) * powers[i][low] + (p * rise) / ((r + 1) * slope);
          dpowers[i][v] = (1 - p) * dpowers[i][low] + (p * (drise - (rise * tilt) / slope)) / ((r + 1) * slope);
        } else for (let r = 2; r < orders - 1 - j; r++) {
          let value = 0, dvalue = 0;
          if (at >= below) {
            value = 1;
            for (let k = 1; k <= r; k++) {
              dvalue = dvalue * at + value * dat + choose[r][k] * dmoments[k];
              value = value * at + choose[r][k] * moments[k];
            }
          }
          powers[r - 2][v] = value; dpowers[r - 2][v] = dvalue;
        }
        x[v] = at; dx[v] = dat;
      }
    }
    return [scale ** 2 * powers[0][0], (scale ** 2 * dpowers[0][0]) / 2];
  }

  const NODES = 4096, weightsOfNodes = [];

  /** Weights on cos(2 pi k y) that stand for the whole sum of cos(2 pi k y) / k^2. */
  function nodeWeights() {
    if (weightsOfNodes.length) return weightsOfNodes;
    let total = 0, missing = Math.PI ** 2 / 6;
    const average = [];
    for (let k = 1; k <= NODES; k++) {
      average.push(k ** 4 * (NODES + 1 - k) ** 2);
      total += average[k - 1];
      missing -= 1 / k ** 2;
    }
    for (let k = 1; k <= NODES; k++) weightsOfNodes.push(1 / k ** 2 + (average[k - 1] / total) * missing);
    return weightsOfNodes;
  }

  /** Average of z_+^2 over z uniform between two ends, and its derivative by the second. */
  function meanPositiveSquare(start, end) {
    const low = Math.min(start, end), high = Math.max(start, end);
    if (high <= 0) return [0, 0];
    if (low >= 0) return [(start ** 2 + start * end + end ** 2) / 3, (start + 2 * end) / 3];
    const value = high ** 3 / (3 * (high - low)), sign = end > start ? 1 : -1;
    return [value, sign * ((end > start ? end ** 2 : 0) - value) / (high - low)];
  }

  /** The same two means for any n, by a Fourier series of the kink: the events of two and more active features are a
      product of characteristic functions, those of none and of one are integrated in closed form. */
  function bySeries(a, b, p, own) {
    const n = a.length;
    let highest = b, lowest = b;
    for (const slope of a) { highest += Math.max(slope, 0); lowest += Math.min(slope, 0); }
    const period = Math.max(highest, -lowest) || 1, c = b / period;
    const absent = (1 - p) ** n, single = p * (1 - p) ** (n - 1);
    let square = absent * Math.max(b, 0) ** 2, cross = 0;
    for (let j = 0; j < n; j++) {
      const [value, slope] = meanPositiveSquare(b, b + a[j]);
      square += single * value;
      if (j === own) cross += (single * slope) / 2;
    }
    if (highest <= 0) return [square, cross];
    // Moments of z to the third, over two and more active features: Taylor series multiplied out.
    const times = (s, t) => [0, 1, 2, 3].map((m) => s.reduce((sum, v, k) => (k <= m ? sum + v * t[m - k] : sum), 0));
    const scaled = (s, t, u) => s.map((v, k) => v * t + u[k]);
    const taylor = (v, power) => [0, 1, 2, 3].map((m) => v ** m / ((power + m + 1) * [1, 1, 2, 6][m]));
    let none = 1, one = [0, 0, 0, 0], more = [0, 0, 0, 0];
    for (let j = 0; j < n; j++) if (j !== own) {
      const factor = taylor(a[j] / period, 0).map((v) => p * v);
      more = scaled(more, 1 - p, times(factor, one.map((v, k) => v + more[k])));
      one = scaled(one, 1 - p, factor.map((v) => v * none));
      none *= 1 - p;
    }
    const rest = one.map((v, k) => v + more[k]), mine = a[own] / period;
    const plain = scaled(more, 1 - p, times(taylor(mine, 0).map((v) => p * v), rest));
    const tilted = times(taylor(mine, 1).map((v) => p * v), rest);
    const kinked = lowest < 0;
    const first = kinked ? [((c / 3 + 0.5) * c + 1 / 6) * c, (c + 1) * c + 1 / 6, 2 * c + 1, 2] : [c ** 2, 2 * c, 2, 0];
    let big = first.reduce((sum, v, k) => sum + v * plain[k], 0);
    let small = (first[1] * tilted[0] + first[2] * tilted[1] + first[3] * tilted[2]) / 2;
    if (kinked) {
      const weights = nodeWeights();
      let third = 0, second = 0;
      for (let k = 1; k <= NODES; k++) {
        // E e^(i h x), x uniform on [0, 1], and E x e^(i h x); products over the features, kept apart by how many are active.
        let oneRe = 0, oneIm = 0, moreRe = 0, moreIm = 0, alone = 1;
        for (let j = 0; j < n; j++) if (j !== own) {
          const h = (2 * Math.PI * k * a[j]) / period, half = h / 2;
          const s = Math.abs(half) < 1e-4 ? 1 - half ** 2 / 6 : Math.sin(half) / half;
          const re = p * s * Math.cos(half), im = p * s * Math.sin(half), sumRe = oneRe + moreRe, sumIm = oneIm + moreIm;
          moreRe = moreRe * (1 - p) + re * sumRe - im * sumIm;
          moreIm = moreIm * (1 - p) + re * sumIm + im * sumRe;
          oneRe = oneRe * (1 - p) + re * alone; oneIm = oneIm * (1 - p) + im * alone;
          alone *= 1 - p;
        }
        const h = (2 * Math.PI * k * a[own]) / period, half = h / 2, tiny = Math.abs(half) < 1e-2;
        const s = tiny ? 1 - half ** 2 / 6 + half ** 4 / 120 : Math.sin(half) / half;
        const bessel = tiny ? half / 3 - half ** 3 / 30 + half ** 5 / 840 : (s - Math.cos(half)) / half;
        const cos = Math.cos(half), sin = Math.sin(half), sumRe = oneRe + moreRe, sumIm = oneIm + moreIm;
        const ownRe = p * s * cos, ownIm = p * s * sin; // e^(i half) (s + i bessel) / 2 is the tilted mean
        const tiltRe = (p * (cos * s - sin * bessel)) / 2, tiltIm = (p * (sin * s + cos * bessel)) / 2;
        const plainRe = moreRe * (1 - p) + ownRe * sumRe - ownIm * sumIm, plainIm = moreIm * (1 - p) + ownRe * sumIm + ownIm * sumRe;
        const tiltedRe = tiltRe * sumRe - tiltIm * sumIm, tiltedIm = tiltRe * sumIm + tiltIm * sumRe;
        const turn = 2 * Math.PI * k * c, phaseRe = Math.cos(turn), phaseIm = Math.sin(turn);
        third += (weights[k - 1] / k) * (phaseRe * plainIm + phaseIm * plainRe);
        second += weights[k - 1] * (phaseRe * tiltedRe - phaseIm * tiltedIm);
      }
      big -= (third * 12) / (2 * Math.PI) ** 3 / 3;
      small -= (second * 4) / (2 * Math.PI) ** 2 / 2;
    }
    return [square + period ** 2 * big, cross + period * small];
  }

  /** E (x_i - x'_i)^2 of one feature; a: row i of W^T W. */
  function featureLoss(a, b, p, own, relu, method) {
    let shift = -b, spread = 0, linear = 0;
    a.forEach((slope, j) => {
      const rest = (j === own ? 1 : 0) - slope;
      shift += (rest * p) / 2;
      spread += rest ** 2 * (p / 3 - p ** 2 / 4);
    });
    linear = shift ** 2 + spread;
    if (!relu) return linear;
    // Two ways to write the loss; the one that starts from the smaller error loses the least to cancellation.
    const cut = linear < 0.999 * (p / 3), sign = cut ? -1 : 1;
    const [square, cross] = method(cut ? a.map((v) => -v) : a, sign * b, p, own);
    return (cut ? linear : p / 3) + sign * square - 2 * cross;
  }

  const ENUMERATED = 8;
  /** The exact expected loss of x' = ReLU(W^T W x + b), or of x' = W^T W x + b; theta: W column after column, then b. */
  function exactLoss(theta, settings) {
    const { n, m, density, importance, relu } = settings, A = gram(theta, n, m);
    const method = n <= ENUMERATED ? byEnumeration : bySeries;
    let loss = 0;
    for (let i = 0; i < n; i++)
      loss += importance[i] * featureLoss(A.slice(i * n, (i + 1) * n), theta[n * m + i], density, i, relu, method);
    return loss;
  }

  function gram(theta, n, m) {
    const A = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < m; k++) dot += theta[i * m + k] * theta[j * m + k];
      A[i * n + j] = A[j * n + i] = dot;
    }
    return A;
  }

  // --- training: Adam on batches of inputs in which a feature is active; the input 0 is taken exactly

  function adam(theta, rate, steps) {
    const first = new Float64Array(theta.length), second = new Float64Array(theta.length);
    return (gradient, step) => {
      const size = rate * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
      const one = 1 - 0.9 ** (step + 1), two = 1 - 0.999 ** (step + 1);
      for (let i = 0; i < theta.length; i++) {
        first[i] += 0.1 * (gradient[i] - first[i]);
        second[i] += 0.001 * (gradient[i] ** 2 - second[i]);
        theta[i] -= (size * (first[i] / one)) / (Math.sqrt(second[i] / two) + 1e-8);
      }
    };
  }

  /** A trained model: W (m rows), b, loss (exact), curve ([step, loss] on the way), seconds. */
  function trainToy(settings, seed) {
    const { n, m, density, importance, relu } = settings, began = Date.now();
    const steps = settings.steps ?? (n * m <= 30 ? 3000 : 2500), batch = 128;
    const next = generator(seed), draw = sampler(n, density, next), size = n * m;
    const theta = new Float64Array(size + n), gradient = new Float64Array(size + n), update = adam(theta, 0.02, steps);
    for (let i = 0; i < size; i++) theta[i] = normal(next) / Math.sqrt(Math.max(m, n / 2));
    const h = new Float64Array(m), back = new Float64Array(m), active = new Int32Array(n), value = new Float64Array(n);
    const x = new Float64Array(n), silent = (1 - density) ** n, curve = [];
    let lost = 0, counted = 0; // for models whose exact loss takes long: the batches' own loss on the way
    for (let step = 0; step < steps; step++) {
      gradient.fill(0);
      for (let example = 0; example < batch; example++) {
        const k = draw(active, value);
        h.fill(0); back.fill(0);
        for (let j = 0; j < k; j++) {
          const column = active[j] * m;
          x[active[j]] = value[j];
          for (let d = 0; d < m; d++) h[d] += value[j] * theta[column + d];
        }
        for (let i = 0; i < n; i++) {
          const column = i * m;
          let z = theta[size + i];
          for (let d = 0; d < m; d++) z += theta[column + d] * h[d];
          const missed = relu && z < 0 ? -x[i] : z - x[i], g = importance[i] * missed;
          lost += g * missed;
          if (relu && z < 0) continue;
          gradient[size + i] += g;
          for (let d = 0; d < m; d++) { gradient[column + d] += g * h[d]; back[d] += g * theta[column + d]; }
        }
        for (let j = 0; j < k; j++) {
          const column = active[j] * m;
          for (let d = 0; d < m; d++) gradient[column + d] += value[j] * back[d];
          x[active[j]] = 0;
        }
      }
      const weight = (2 * (1 - silent)) / batch;
      for (let i = 0; i < size + n; i++) gradient[i] *= weight;
      for (let i = 0; i < n; i++) { // the input 0
        const b = theta[size + i];
        if (!relu || b > 0) gradient[size + i] += 2 * silent * importance[i] * b;
      }
      counted += batch;
      if (step % (steps / 50) === 0) {
        const rest = theta.slice(size).reduce((sum, b, i) => sum + silent * importance[i] * (relu ? Math.max(b, 0) : b) ** 2, 0);
        curve.push([step, n <= MINIMISED ? exactLoss(theta, settings) : ((1 - silent) * lost) / counted + rest]);
        lost = counted = 0;
      }
      update(gradient, step);
    }
    const seconds = (Date.now() - began) / 1000, loss = exactLoss(theta, settings);
    curve.push([steps, loss]);
    return { ...weightsOf(theta, n, m), theta, loss, curve, seed, seconds };
  }

  function weightsOf(theta, n, m) {
    const W = Array.from({ length: m }, (_, d) => Array.from({ length: n }, (_, i) => theta[i * m + d]));
    return { W, b: Array.from(theta.slice(n * m)) };
  }

  // --- the least exact loss

  const MINIMISED = 6; // features up to which it is looked for

  /** The gradient of the exact loss: central differences in W^T W and b, a row at a time, then the chain rule. */
  function slopeOf(theta, settings, gradient) {
    const { n, m, density, importance, relu } = settings, A = gram(theta, n, m), G = new Float64Array(n * n), step = 1e-5;
    gradient.fill(0);
    for (let i = 0; i < n; i++) {
      const row = A.slice(i * n, (i + 1) * n), bias = theta[n * m + i];
      const loss = (b) => importance[i] * featureLoss(row, b, density, i, relu, byEnumeration);
      for (let j = 0; j < n; j++) {
        const kept = row[j];
        row[j] = kept + step;
        const up = loss(bias);
        row[j] = kept - step;
        G[i * n + j] = (up - loss(bias)) / (2 * step);
        row[j] = kept;
      }
      gradient[n * m + i] = (loss(bias + step) - loss(bias - step)) / (2 * step);
    }
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let d = 0; d < m; d++)
      gradient[i * m + d] += (G[i * n + j] + G[j * n + i]) * theta[j * m + d];
  }

  /** BFGS from `start`: {theta, loss}. */
  function descend(start, settings, most = 200) {
    const size = start.length, scale = 1 / settings.density, H = new Float64Array(size * size);
    const reset = () => { H.fill(0); for (let i = 0; i < size; i++) H[i * size + i] = 1; };
    let theta = Float64Array.from(start), loss = exactLoss(theta, settings), slope = new Float64Array(size), fresh = true;
    slopeOf(theta, settings, slope);
    reset();
    for (let round = 0; round < most; round++) {
      const step = new Float64Array(size);
      let along = 0;
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) step[i] -= H[i * size + j] * slope[j] * scale;
        along += step[i] * slope[i];
      }
      let length = fresh ? Math.min(1, 0.1 / Math.hypot(...step)) : 1, there, lower;
      for (; length > 1e-6; length /= 3) {
        there = theta.map((v, i) => v + length * step[i]);
        lower = exactLoss(there, settings);
        if (lower <= loss + 1e-4 * length * along) break;
      }
      if (!(lower < loss)) {
        if (fresh) break;
        reset(); fresh = true;
        continue;
      }
      const after = new Float64Array(size);
      slopeOf(there, settings, after);
      const s = there.map((v, i) => v - theta[i]), y = after.map((v, i) => (v - slope[i]) * scale);
      const sy = s.reduce((sum, v, i) => sum + v * y[i], 0), gained = loss - lower;
      if (sy > 1e-14) {
        const Hy = y.map((_, i) => y.reduce((sum, v, j) => sum + H[i * size + j] * v, 0));
        const yHy = y.reduce((sum, v, i) => sum + v * Hy[i], 0), factor = (1 + yHy / sy) / sy;
        for (let i = 0; i < size; i++) for (let j = 0; j < size; j++)
          H[i * size + j] += factor * s[i] * s[j] - (Hy[i] * s[j] + s[i] * Hy[j]) / sy;
      }
      [theta, loss, slope, fresh] = [there, lower, after, false];
      if (gained < 1e-12 * loss) break;
    }
    return { theta, loss };
  }

  /** Orders of k features round a polygon, turned and mirrored ones counted once; a dozen at most. */
  function ordersOf(k) {
    const found = [], next = generator(k);
    const extend = (order) => {
      if (order.length === k) { if (order[1] < order[k - 1]) found.push(order); return; }
      for (let i = 1; i < k; i++) if (!order.includes(i)) extend([...order, i]);
    };
    extend([0]);
    while (found.length > 12) found.splice(Math.floor(next() * found.length), 1);
    return found;
  }

  /** The lowest exact loss found: every start descends a little, the best four all the way. `pause` lets others speak. */
  async function least(settings, starts, pause) {
    let found = [];
    for (const start of [...starts, ...arrangements(settings)]) {
      found.push(descend(start, settings, 12));
      await pause();
    }
    found = found.sort((one, two) => one.loss - two.loss).slice(0, 4);
    let best = null;
    for (const { theta } of found) {
      const end = descend(theta, settings);
      if (!best || end.loss < best.loss) best = end;
      await pause();
    }
    return { loss: best.loss, ...weightsOf(best.theta, settings.n, settings.m) };
  }

  /** Arrangements from which the least loss is looked for: dedicated features, pairs, polygons. */
  function arrangements({ n, m }) {
    const found = [];
    const add = (stored, place) => {
      const theta = new Float64Array(n * m + n);
      for (let i = 0; i < stored; i++) place(i, (d, v) => { theta[i * m + d] = v; });
      // A little noise, for an arrangement may be a saddle.
      const next = generator(stored + 7);
      for (let i = 0; i < n * m; i++) theta[i] += 0.02 * normal(next);
      found.push(theta);
    };
    add(Math.min(n, m), (i, put) => put(i, 1));
    for (let pairs = 1; pairs <= m && m + pairs <= n; pairs++) add(m + pairs, (i, put) => put(i < m ? i : 2 * m - 1 - i, i < m ? 1 : -1));
    // Which feature stands beside which matters where importances differ: every order of up to five, some of more.
    if (m >= 2) for (let k = 3; k <= n - (m - 2); k++) for (const corners of ordersOf(k)) add(k + m - 2, (i, put) => {
      if (i >= k) return put(i - k + 2, 1);
      const angle = (2 * Math.PI * corners.indexOf(i)) / k, r = 1 + 0.05 * (k - 3);
      put(0, r * Math.cos(angle));
      put(1, r * Math.sin(angle));
    });
    return found;
  }

  /** The linear model's least loss: the variance of the n - m features that matter least. */
  function linearMinimum({ n, m, density, importance }) {
    const cost = Array.from(importance, (weight) => weight * (density / 3 - density ** 2 / 4)).sort((a, b) => a - b);
    return cost.slice(0, Math.max(0, n - m)).reduce((sum, v) => sum + v, 0);
  }

  // --- one neuron, two features: the phase diagram

  const bestOfTwo = (r, density) => {
    const settings = { n: 2, m: 1, density, importance: Float64Array.of(1, r), relu: true };
    let best = null;
    for (const start of [[1, 0.05, 0, 0], [0.05, 1, 0, 0], [1, -1, 0, 0]]) {
      const found = descend(Float64Array.from(start), settings, 40);
      if (!best || found.loss < best.loss) best = found;
    }
    return best;
  };
  const phaseLosses = (r, p) => [r * (p / 3 - p ** 2 / 4), p / 3 - p ** 2 / 4, ((1 + r) * p ** 2) / 6];

  // --- names of arrangements: superposition.geometry.recognise in JavaScript

  const degrees = (cosine) => (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
  const anglesOf = (C) => {
    const angles = [];
    for (let i = 0; i < C.length; i++) for (let j = i + 1; j < C.length; j++) angles.push(degrees(C[i][j]));
    return angles.sort((a, b) => a - b);
  };
  const cosinesOf = (vectors) => {
    const length = vectors.map((v) => Math.hypot(...v));
    return vectors.map((v, i) => vectors.map((w, j) => v.reduce((sum, e, k) => sum + e * w[k], 0) / (length[i] * length[j])));
  };
  const POLYGONS = { 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon" };
  const SIMPLICES = { 2: "digon", 3: "triangle", 4: "tetrahedron" };
  function shapesOf(k) {
    const found = [[SIMPLICES[k] ?? `${k - 1}-simplex`, k - 1, Array((k * (k - 1)) / 2).fill(degrees(-1 / (k - 1)))]];
    const add = (name, vectors) => found.push([name, vectors[0].length, anglesOf(cosinesOf(vectors))]);
    const around = (count, height, turn = 0) => Array.from({ length: count }, (_, i) => {
      const angle = (2 * Math.PI * i) / count + turn;
      return [Math.cos(angle) * Math.sqrt(1 - height ** 2), Math.sin(angle) * Math.sqrt(1 - height ** 2), height];
    });
    if (k >= 5) add(POLYGONS[k] ?? `${k}-gon`, around(k, 0).map((v) => v.slice(0, 2)));
    const s = Math.sqrt(1 / 3), t = Math.sqrt(1 / 2);
    if (k === 8) {
      add("square antiprism", [...around(4, s), ...around(4, -s, Math.PI / 4)]);
      add("cube", [...around(4, s), ...around(4, -s)]);
    }
    if (k === 9) add("tricapped prism", [...around(3, 0), ...around(3, t, Math.PI), ...around(3, -t, Math.PI)]);
    if (k === 12) add("icosahedron", [[0, 0, 1], [0, 0, -1], ...around(5, Math.sqrt(0.2)), ...around(5, -Math.sqrt(0.2), Math.PI / 5)]);
    return found;
  }

  function partsOf(C, edge) {
    const label = C.map(() => -1), parts = [];
    C.forEach((_, first) => {
      if (label[first] >= 0) return;
      const part = [], queue = [first];
      label[first] = parts.length;
      while (queue.length) {
        const i = queue.pop();
        part.push(i);
        C.forEach((_, j) => { if (label[j] < 0 && Math.abs(C[i][j]) > edge) { label[j] = parts.length; queue.push(j); } });
      }
      parts.push(part.sort((a, b) => a - b));
    });
    return parts;
  }

  const TOLERANCE = 10;
  function shapeOf(C) {
    const k = C.length;
    if (k === 1) return ["dedicated", 1];
    const mine = anglesOf(C);
    if (mine.at(-1) <= TOLERANCE) return [`${k} collapsed`, 1];
    let best = null;
    for (const [name, dimension, angles] of shapesOf(k)) {
      const off = Math.max(...mine.map((angle, i) => Math.abs(angle - angles[i])));
      if (off <= Math.min(TOLERANCE, angles[0] / 4) && (!best || off < best[2])) best = [name, dimension, off];
    }
    if (best || mine[0] > TOLERANCE) return best;
    // A shape, some of whose corners are several vectors.
    const near = Math.cos((TOLERANCE * Math.PI) / 180), groups = partsOf(C.map((row) => row.map((v) => Math.max(v, 0))), near);
    if (groups.length < 2 || groups.some((g) => g.some((i) => g.some((j) => C[i][j] < near)))) return null;
    const mean = (a, b) => a.reduce((sum, i) => sum + b.reduce((s, j) => s + C[i][j], 0), 0) / (a.length * b.length);
    const shape = shapeOf(groups.map((a) => groups.map((b) => mean(a, b) / Math.sqrt(mean(a, a) * mean(b, b)))));
    return shape && [`collapsed ${shape[0]}`, shape[1]];
  }

  /** Eigenvalues of a symmetric matrix by Jacobi's rotations, and its eigenvectors as columns, largest first. */
  function eigen(matrix) {
    const n = matrix.length, A = matrix.map((row) => Array.from(row)), V = A.map((_, i) => A.map((_, j) => +(i === j)));
    for (let sweep = 0; sweep < 40; sweep++) {
      let off = 0;
      for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
        off += A[p][q] ** 2;
        if (Math.abs(A[p][q]) < 1e-14) continue;
        const theta = (A[q][q] - A[p][p]) / (2 * A[p][q]), t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1), s = t * c;
        for (let k = 0; k < n; k++) [A[k][p], A[k][q]] = [c * A[k][p] - s * A[k][q], s * A[k][p] + c * A[k][q]];
        for (let k = 0; k < n; k++) [A[p][k], A[q][k]] = [c * A[p][k] - s * A[q][k], s * A[p][k] + c * A[q][k]];
        for (let k = 0; k < n; k++) [V[k][p], V[k][q]] = [c * V[k][p] - s * V[k][q], s * V[k][p] + c * V[k][q]];
      }
      if (off < 1e-20) break;
    }
    const order = A.map((_, i) => i).sort((i, j) => A[j][j] - A[i][i]);
    return { values: order.map((i) => A[i][i]), vectors: V.map((row) => order.map((i) => row[i])) };
  }

  function several(count, name) {
    if (count === 1) return name;
    if (name.includes(" in ") || name.endsWith("collapsed")) return `${count} x (${name})`;
    if (name.endsWith("simplex")) return `${count} ${name.slice(0, -2)}ices`;
    const plural = { dedicated: "dedicated", tetrahedron: "tetrahedra", icosahedron: "icosahedra" };
    return `${count} ${plural[name] ?? `${name}s`}`;
  }

  /** {name, components: [{name, features}], dropped} of W (m rows). */
  function recognise(W) {
    const columns = W[0].map((_, i) => W.map((row) => row[i]));
    const norms = columns.map((v) => Math.hypot(...v)), alive = [...norms.keys()].filter((i) => norms[i] > 0.5);
    const C = cosinesOf(alive.map((i) => columns[i])), components = [];
    const among = (part, B = C) => part.map((i) => part.map((j) => B[i][j]));
    const add = (part, name) => components.push({ name, features: part.map((i) => alive[i]) });
    for (const part of partsOf(C, 0.1)) {
      const block = among(part), shape = shapeOf(block);
      if (shape) { add(part, shape[0]); continue; }
      const factors = partsOf(block, Math.sin((TOLERANCE * Math.PI) / 180));
      const named = factors.length > 1 ? factors.map((f) => shapeOf(among(f, block))) : [null];
      if (named.every(Boolean)) factors.forEach((f, i) => add(f.map((j) => part[j]), named[i][0]));
      else {
        const { values } = eigen(block), least = Math.tan((TOLERANCE * Math.PI) / 360) ** 2 * values[0];
        add(part, `${part.length} in ${values.filter((v) => v > least).length}`);
      }
    }
    const byCode = (a, b) => (a < b ? -1 : +(a > b));
    components.sort((a, b) => b.features.length - a.features.length || byCode(a.name, b.name) || a.features[0] - b.features[0]);
    const counts = new Map();
    for (const { name } of components) counts.set(name, (counts.get(name) ?? 0) + 1);
    const name = [...counts].map(([name, count]) => several(count, name)).join(" + ") || "nothing";
    return { name, components, dropped: [...norms.keys()].filter((i) => norms[i] <= 0.5) };
  }

  // --- a sparse autoencoder of the toy model's hidden activations

  /** latents f = ReLU(W_enc (h - b_dec) + b_enc), L = |h - h'|^2 + penalty sum_i f_i |d_i|; h scaled to a mean square of m. */
  function trainSAE(toy, settings, { width, penalty, seed = 0, steps = 3000 }) {
    const { n, m, density } = settings, { theta: W } = toy, next = generator(seed + 1000), draw = sampler(n, density, next);
    const batch = 64, began = Date.now(), active = new Int32Array(n), value = new Float64Array(n);
    const hidden = (h) => {
      const k = draw(active, value);
      h.fill(0);
      for (let j = 0; j < k; j++) for (let d = 0; d < m; d++) h[d] += value[j] * W[active[j] * m + d];
      return k;
    };
    const h = new Float64Array(m);
    let square = 0;
    for (let i = 0; i < 1000; i++) { hidden(h); square += h.reduce((sum, v) => sum + v * v, 0) / 1000; }
    const share = 1 - (1 - density) ** n, scale = Math.sqrt(m / (share * square || 1));
    // Parameters: encoder rows, decoder rows, encoder biases, decoder bias.
    const E = 0, D = width * m, B = 2 * width * m, O = B + width, theta = new Float64Array(O + m), gradient = new Float64Array(O + m);
    for (let i = 0; i < width; i++) {
      const direction = Array.from({ length: m }, () => normal(next)), length = Math.hypot(...direction);
      direction.forEach((v, d) => { theta[E + i * m + d] = v / length; theta[D + i * m + d] = (0.5 * v) / length; });
    }
    const update = adam(theta, 0.01, steps), f = new Float64Array(width), norms = new Float64Array(width), error = new Float64Array(m);
    const encode = () => {
      for (let i = 0; i < width; i++) {
        let z = theta[B + i];
        for (let d = 0; d < m; d++) z += theta[E + i * m + d] * (h[d] - theta[O + d]);
        f[i] = z > 0 ? z : 0;
      }
      for (let d = 0; d < m; d++) error[d] = theta[O + d] - h[d];
      for (let i = 0; i < width; i++) if (f[i]) for (let d = 0; d < m; d++) error[d] += f[i] * theta[D + i * m + d];
    };
    for (let step = 0; step < steps; step++) {
      gradient.fill(0);
      for (let i = 0; i < width; i++) {
        let sum = 1e-12;
        for (let d = 0; d < m; d++) sum += theta[D + i * m + d] ** 2;
        norms[i] = Math.sqrt(sum);
      }
      const strength = penalty * Math.min(1, (4 * step) / steps); // from 0, so that latents do not die at once
      for (let example = 0; example <= batch; example++) { // the last is the input 0, by its own chance
        const weight = example < batch ? share / batch : 1 - share;
        if (example < batch) hidden(h); else h.fill(0);
        for (let d = 0; d < m; d++) h[d] *= scale;
        encode();
        for (let d = 0; d < m; d++) gradient[O + d] += 2 * error[d] * weight;
        for (let i = 0; i < width; i++) if (f[i]) {
          let g = strength * norms[i];
          const row = i * m;
          for (let d = 0; d < m; d++) {
            g += 2 * error[d] * theta[D + row + d];
            gradient[D + row + d] += (2 * error[d] * f[i] + (strength * f[i] * theta[D + row + d]) / norms[i]) * weight;
          }
          gradient[B + i] += g * weight;
          for (let d = 0; d < m; d++) {
            gradient[E + row + d] += g * (h[d] - theta[O + d]) * weight;
            gradient[O + d] -= g * theta[E + row + d] * weight;
          }
        }
      }
      update(gradient, step);
    }
    const seconds = (Date.now() - began) / 1000;
    // Measured on inputs in which a feature is active; the chance of the others weighs in L0 and in the mean.
    const examples = 4000;
    const fires = new Float64Array(width), both = new Float64Array(width * n), present = new Float64Array(n);
    let lost = 0, power = 0, l0 = 0;
    const mean = new Float64Array(m), of = (k) => theta.slice(D + k * m, D + (k + 1) * m);
    for (let example = 0; example < examples; example++) {
      const k = hidden(h);
      for (let d = 0; d < m; d++) { h[d] *= scale; mean[d] += (share * h[d]) / examples; power += (share * h[d] ** 2) / examples; }
      encode();
      for (let d = 0; d < m; d++) lost += (share * error[d] ** 2) / examples;
      for (let j = 0; j < k; j++) present[active[j]]++;
      for (let i = 0; i < width; i++) if (f[i] > 0) {
        l0 += 1 / examples;
        fires[i]++;
        for (let j = 0; j < k; j++) both[i * n + active[j]]++;
      }
    }
    h.fill(0);
    encode();
    for (let d = 0; d < m; d++) lost += (1 - share) * error[d] ** 2;
    const silent = f.map((v) => +(v > 0)), weight = examples * (1 / share - 1); // the input 0, that many times
    const variance = power - mean.reduce((sum, v) => sum + v * v, 0);
    const cosines = [], f1 = [];
    for (let i = 0; i < width; i++) {
      const row = of(i), length = Math.hypot(...row);
      cosines.push(Array.from({ length: n }, (_, j) => {
        const column = W.slice(j * m, (j + 1) * m), size = Math.hypot(...column);
        return length * size > 1e-9 && fires[i] ? row.reduce((sum, v, d) => sum + v * column[d], 0) / (length * size) : 0;
      }));
      f1.push(Array.from({ length: n }, (_, j) => (2 * both[i * n + j]) / (fires[i] + weight * silent[i] + present[j] || 1)));
    }
    const matches = [], stored = recognise(toy.W).components.flatMap((part) => part.features), taken = new Set();
    // One latent a feature, the likest pair first.
    const pairs = stored.flatMap((j) => cosines.map((row, i) => [row[j], i, j])).sort((a, b) => b[0] - a[0]);
    const matched = new Map();
    for (const [cosine, i, j] of pairs) if (!taken.has(i) && !matched.has(j) && cosine > 0) { taken.add(i); matched.set(j, [i, cosine]); }
    for (const [j, [i, cosine]] of matched) matches.push({ feature: j, latent: i, cosine, f1: f1[i][j] });
    matches.sort((a, b) => a.feature - b.feature);
    return {
      cosines, matches, stored: stored.length, seconds, scale, l0: share * l0 + (1 - share) * silent.reduce((a, b) => a + b, 0), fvu: lost / variance,
      alive: fires.filter((v) => v > 0).length, found: matches.filter((match) => match.cosine > 0.98 && match.f1 > 0.6).length,
      decoder: Array.from({ length: width }, (_, i) => Array.from(of(i))),
    };
  }

  return { trainToy, exactLoss, least, linearMinimum, bestOfTwo, phaseLosses, recognise, trainSAE, importanceOf,
    eigen, weightsOf, MINIMISED };
}
