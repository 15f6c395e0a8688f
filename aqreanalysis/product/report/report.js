// The map of the report: cells of a day on a canvas, and the series of one of them. It asks for nothing from anywhere.
// The arrays are packed by packing.py and explorer.py; names and numbers are written as text, never as markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const about = JSON.parse(byId("about").textContent);
  const svg = (name, attributes = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const html = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    if (/\p{Script=Han}/u.test(text)) made.lang = "zh-Hans";
    return made;
  };
  const UNIT = "µg m⁻³", SEA = 4, KNEE = 10;
  const [firstDay, days] = about.days;
  const dayText = (day) => new Date(Date.parse(firstDay) + day * 86400000).toISOString().slice(0, 10);
  const grid = about.grid, [rows, columns] = grid.shape, regular = grid.kind === "regular";
  const [west, south, east, north] = about.lines.frame;
  const squeeze = Math.cos((south + north) / 2 * Math.PI / 180);
  const state = { day: 0, cell: -1, layer: "pm25", timer: 0 };
  const data = {};

  // --- packed arrays

  async function inflate(name) {
    const text = byId("packed-" + name).textContent.trim(), raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return inflated(bytes);
  }
  async function inflated(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const unzigzag = (low, high) => { const z = low | (high << 8); return (z >>> 1) ^ -(z & 1); };

  function numberCells(mask) {
    const number = new Int32Array(rows * columns);
    let cells = 0;
    for (let i = 0; i < number.length; i++) number[i] = (mask[i >> 3] >> (7 - (i & 7))) & 1 ? ++cells : 0;
    const above = new Int32Array(cells), corner = new Int32Array(cells), place = new Int32Array(cells);
    for (let i = 0, n = 0; i < number.length; i++) {
      if (!number[i]) continue;
      const row = Math.floor(i / columns), column = i % columns;
      const up = row ? number[i - columns] : 0, diagonal = row && column ? number[i - columns - 1] : 0;
      place[n] = i;
      above[n] = up || n;
      corner[n] = diagonal || n;
      n++;
    }
    Object.assign(data, { cells, number, above, corner, place });
  }
  function unpackCells(bytes) {  // packing.Neighbours.departures
    const { cells, above, corner } = data, out = new Int16Array(days * cells);
    for (let day = 0; day < days; day++) {
      const from = 2 * day * cells, to = day * cells;
      for (let i = 0; i < cells; i++) {
        const l = i ? out[to + i - 1] : 0, a = above[i] ? out[to + above[i] - 1] : 0;
        const c = corner[i] ? out[to + corner[i] - 1] : 0;
        const low = Math.min(l, a), high = Math.max(l, a);
        const said = Math.min(Math.max(l + a - c, low), high);
        out[to + i] = said + unzigzag(bytes[from + i], bytes[from + cells + i]);
      }
    }
    return out;
  }
  function unpackBound(bytes, sign) {
    const out = unpackCells(bytes), { pm25 } = data;
    for (let i = 0; i < out.length; i++) out[i] = (pm25[i] >> 1) + sign * out[i];
    return out;
  }
  function unpackInTime(bytes, width, signed) {
    const out = new Int16Array(days * width);
    for (let day = 0, i = 0; day < days; day++) {
      for (let n = 0; n < width; n++, i++) {
        const before = day ? out[i - width] : 0;
        out[i] = signed ? before + unzigzag(bytes[2 * day * width + n], bytes[(2 * day + 1) * width + n])
          : before ^ bytes[i];
      }
    }
    return out;
  }
  const valueOf = (code, steps) => code > 0 ? KNEE * Math.expm1((code - 1) / steps) : NaN;
  const estimate = (day, cell) => valueOf(data.pm25[day * data.cells + cell], about.steps);
  const bound = (name, day, cell) => data[name] ? valueOf(data[name][day * data.cells + cell], about.steps / 2) : NaN;
  const observation = (day, station) => data.observed
    ? valueOf(data.observed[day * about.stations.id.length + station], about.stations.steps) : NaN;
  const flagOf = (day, cell) => data.flag ? data.flag[day * data.cells + cell] : 0;
  const written = (value, steps) => Number.isFinite(value)
    ? value.toFixed((value + KNEE) / (2 * steps) < 0.1 ? 1 : 0) : "–";

  // --- places

  function latOf(cell) { return regular ? grid.lat[Math.floor(data.place[cell] / columns)] : grid.lat[cell]; }
  function lonOf(cell) { return regular ? grid.lon[data.place[cell] % columns] : grid.lon[cell]; }
  function distance(lat, lon, otherLat, otherLon) {
    const rad = Math.PI / 180, a = Math.sin((otherLat - lat) * rad / 2), b = Math.sin((otherLon - lon) * rad / 2);
    return 2 * 6371 * Math.asin(Math.sqrt(a * a + Math.cos(lat * rad) * Math.cos(otherLat * rad) * b * b));
  }
  function nearest(lat, lon, lats, lons) {
    let best = -1, least = Infinity;
    for (let i = 0; i < lats.length; i++) {
      const d = distance(lat, lon, lats[i], lons[i]);
      if (d < least) { least = d; best = i; }
    }
    return [best, least];
  }
  function cornersOf(cell) {  // lon, lat of the four corners
    const row = Math.floor(data.place[cell] / columns), column = data.place[cell] % columns;
    if (regular) {
      const [s, n, w, e] = [grid.latEdges[row], grid.latEdges[row + 1], grid.lonEdges[column], grid.lonEdges[column + 1]];
      return [[w, s], [e, s], [e, n], [w, n]];
    }
    const at = (r, c) => [grid.lonEdges[r * (columns + 1) + c], grid.latEdges[r * (columns + 1) + c]];
    return [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
  }

  // --- the map

  const canvas = byId("field"), map = byId("map"), context = canvas.getContext("2d");
  let lookup;
  function prepareCanvas() {
    const ratio = (east - west) * squeeze / (north - south);
    canvas.width = 960;
    canvas.height = Math.max(1, Math.round(960 / ratio));
    map.style.aspectRatio = String(ratio);
    for (const id of ["ground", "overlay"]) byId(id).setAttribute("viewBox", `${west} ${-north} ${east - west} ${north - south}`);
    const { width, height } = canvas, lonAt = (x) => west + (x + 0.5) / width * (east - west);
    const latAt = (y) => north - (y + 0.5) / height * (north - south);
    lookup = new Int32Array(width * height);
    if (regular) {
      const band = (value, edges) => { let i = -1; while (i + 1 < edges.length && edges[i + 1] <= value) i++; return i; };
      const ofColumn = Array.from({ length: width }, (_, x) => band(lonAt(x), grid.lonEdges));
      for (let y = 0; y < height; y++) {
        const row = band(latAt(y), grid.latEdges);
        if (row < 0 || row >= rows) continue;
        for (let x = 0; x < width; x++) {
          if (ofColumn[x] >= 0 && ofColumn[x] < columns) lookup[y * width + x] = data.number[row * columns + ofColumn[x]];
        }
      }
      return;
    }
    const px = ([lon, lat]) => [(lon - west) / (east - west) * width, (north - lat) / (north - south) * height];
    for (let cell = 0; cell < data.cells; cell++) {
      if (grid.kind === "points") fillDisc(cell, ...px([lonOf(cell), latOf(cell)]), 9);
      else fillQuad(cell, cornersOf(cell).map(px));
    }
  }
  function fillDisc(cell, x0, y0, radius) {
    for (let y = Math.ceil(y0 - radius); y <= y0 + radius; y++) {
      for (let x = Math.ceil(x0 - radius); x <= x0 + radius; x++) {
        const inside = (x - x0) ** 2 + (y - y0) ** 2 <= radius ** 2;
        if (inside && x >= 0 && y >= 0 && x < canvas.width && y < canvas.height) lookup[y * canvas.width + x] = cell + 1;
      }
    }
  }
  function fillQuad(cell, q) {
    const xs = q.map((p) => p[0]), ys = q.map((p) => p[1]);
    const side = ([ax, ay], [bx, by], x, y) => (bx - ax) * (y - ay) - (by - ay) * (x - ax);
    for (let y = Math.max(0, Math.floor(Math.min(...ys))); y < Math.min(canvas.height, Math.max(...ys)); y++) {
      for (let x = Math.max(0, Math.floor(Math.min(...xs))); x < Math.min(canvas.width, Math.max(...xs)); x++) {
        const s = q.map((p, i) => side(p, q[(i + 1) % 4], x + 0.5, y + 0.5));
        if (s.every((v) => v >= 0) || s.every((v) => v <= 0)) lookup[y * canvas.width + x] = cell + 1;
      }
    }
  }

  const toRgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  function stepsUpTo(top, about_many) {
    const power = 10 ** Math.floor(Math.log10(top / about_many));
    const step = [1, 2, 2.5, 5, 10].map((f) => f * power).find((s) => top / s <= about_many);
    return Array.from({ length: Math.ceil(top / step) + 1 }, (_, i) => i * step);
  }
  function scaleOf(layer) {
    const all = about.scale.colours;
    if (layer === "pm25") return { levels: about.scale.levels, colours: all };
    const widths = [], every = Math.max(1, Math.floor(days * data.cells / 20000));
    for (let i = 0; i < days * data.cells; i += every) {
      const w = shown("width", Math.floor(i / data.cells), i % data.cells);
      if (Number.isFinite(w)) widths.push(w);
    }
    widths.sort((a, b) => a - b);
    const levels = stepsUpTo(widths.length ? widths[Math.floor(0.995 * (widths.length - 1))] || 1 : 1, all.length - 1);
    return { levels, colours: levels.map((_, i) => all[Math.round(i * (all.length - 1) / (levels.length - 1))]) };
  }
  const scales = {};
  const scale = () => scales[state.layer] ??= scaleOf(state.layer);
  function shown(layer, day, cell) {
    return layer === "pm25" ? estimate(day, cell) : bound("pm25_upper", day, cell) - bound("pm25_lower", day, cell);
  }
  const INK = 0xff444444, packRgb = (c) => (255 << 24 | c[2] << 16 | c[1] << 8 | c[0]) >>> 0;
  const fade = (c, share) => c.map((v) => Math.round(v * (1 - share) + 255 * share));
  function isInk(flag, x, y) {  // hatches as on the printed maps
    if (flag === 1) return x % 9 < 2 && (y + (x % 18 < 2 ? 0 : 4)) % 9 < 2;
    if (flag === 2) return (x + y) % 11 < 1;
    return flag === 3 && ((x + y) % 9 < 1 || (x - y + 9000) % 9 < 1);
  }
  function draw() {
    const { levels, colours } = scale(), { width, height } = canvas, image = context.createImageData(width, height);
    const rgb = colours.map(toRgb), shades = [0, 0, 0.4, 0.75, 0].map((share) => rgb.map((c) => packRgb(fade(c, share))));
    const pixels = new Uint32Array(image.data.buffer), colour = new Uint32Array(data.cells);
    for (let cell = 0; cell < data.cells; cell++) {
      const value = shown(state.layer, state.day, cell);
      let i = 0;
      while (i < levels.length - 1 && value >= levels[i + 1]) i++;
      colour[cell] = Number.isFinite(value) ? shades[flagOf(state.day, cell)][i] : 0xffffffff;
    }
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (!lookup[i]) continue;
        const flag = flagOf(state.day, lookup[i] - 1);
        pixels[i] = flag && isInk(flag, x, y) ? INK : colour[lookup[i] - 1];
      }
    }
    context.putImageData(image, 0, 0);
  }
  function drawScale() {
    const { levels, colours } = scale(), box = byId("scale");
    box.replaceChildren();
    const bar = html("div", "", "swatches"), ticks = html("div", "", "ticks"), n = levels.length - 1;
    for (let i = 0; i < n; i++) bar.append(swatch(colours[i]));
    const over = swatch(colours[n]);
    over.className = "over";
    bar.append(over);
    levels.forEach((level, i) => {
      if (n > 8 && i % 2 && i < n || n > 8 && i === n && n % 2) return;
      const tick = html("span", String(level));
      tick.style.left = `${100 * i / n}%`;
      ticks.append(tick);
    });
    const what = state.layer === "pm25" ? "PM2.5" : "Width of the 90 % interval";
    box.append(html("p", `${what}, ${UNIT}; at the end: above ${levels[n]}`), bar, ticks);
  }
  function swatch(colour) {
    const made = html("span");
    made.style.background = colour;
    return made;
  }
  const dots = (places) => places.map(([lon, lat]) => `M${lon} ${-lat}h0`).join("");
  function drawLines() {
    byId("ground").append(svg("path", { d: about.lines.land, class: "land" }));
    for (const kind of ["provinces", "borders", "coast"]) byId("overlay").append(svg("path", { d: about.lines[kind], class: "line " + kind }));
    const { lat, lon } = about.stations;
    byId("overlay").append(svg("path", { d: dots(lon.map((x, i) => [x, lat[i]])), class: "station", id: "stations" }),
      svg("path", { class: "chosen-halo", id: "chosen-halo" }), svg("path", { class: "chosen", id: "chosen" }),
      svg("path", { class: "chosen-station", id: "chosen-station" }));
    about.cities.forEach(([name, cityLat, cityLon]) => {
      const label = html("span", name, "city");
      label.style.left = `${100 * (cityLon - west) / (east - west)}%`;
      label.style.top = `${100 * (north - cityLat) / (north - south)}%`;
      byId("cities").append(label);
    });
  }

  function thinOutCities() {  // the first has the right to its place
    const frame = map.getBoundingClientRect(), taken = [];
    for (const label of byId("cities").children) {
      label.style.display = "";
      const box = label.getBoundingClientRect();
      const free = taken.every((t) => box.right < t.left - 8 || box.left > t.right + 8 || box.bottom < t.top || box.top > t.bottom);
      if (free && box.right < frame.right) taken.push(box);
      else label.style.display = "none";
    }
  }

  // --- a cell and a day are chosen

  function chooseDay(day) {
    state.day = Math.min(Math.max(day, 0), days - 1);
    byId("day").value = String(state.day);
    byId("day").setAttribute("aria-valuetext", dayText(state.day));
    byId("day-text").textContent = dayText(state.day);
    draw();
    tell();
    moveCursor();
  }
  function chooseCell(cell) {
    state.cell = cell;
    const [station, away] = nearest(latOf(cell), lonOf(cell), about.stations.lat, about.stations.lon);
    Object.assign(state, { station, away });
    const outline = grid.kind === "points" ? dots([[lonOf(cell), latOf(cell)]])
      : "M" + cornersOf(cell).map(([lon, lat]) => `${lon} ${-lat}`).join("L") + "Z";
    byId("chosen").setAttribute("d", outline);
    byId("chosen-halo").setAttribute("d", outline);
    byId("chosen-station").setAttribute("d", station < 0 ? "" : dots([[about.stations.lon[station], about.stations.lat[station]]]));
    tell();
    drawSeries();
    if (byId("table").open) fillTable();
  }
  const cellName = (cell) => (grid.ids && grid.ids[cell] ? `${grid.ids[cell]}, ` : "") +
    `${Math.abs(latOf(cell)).toFixed(2)}° ${latOf(cell) < 0 ? "S" : "N"}, ${Math.abs(lonOf(cell)).toFixed(2)}° ${lonOf(cell) < 0 ? "W" : "E"}`;
  const stationName = (i) => [about.stations.id[i], about.stations.name[i], about.stations.city[i]].filter(Boolean).join(" ");
  const CLASS_WORDS = { supported: "supported by stations nearby", weak_support: "few stations nearby",
    extrapolated: "extrapolated, far from stations", no_observations: "no observations", sea: "sea" };
  function mean(of) {
    let sum = 0, n = 0;
    for (let day = 0; day < days; day++) {
      const value = of(day);
      if (Number.isFinite(value)) { sum += value; n++; }
    }
    return [n ? sum / n : NaN, n];
  }
  function tell() {
    if (state.cell < 0) return;
    const { day, cell, station, away } = state, value = estimate(day, cell);
    const range = data.pm25_lower && Number.isFinite(value)
      ? `${written(bound("pm25_lower", day, cell), about.steps / 2)} to ${written(bound("pm25_upper", day, cell), about.steps / 2)}` : "–";
    const [average, n] = mean((d) => estimate(d, cell));
    const facts = [["Cell", cellName(cell)], ["Day", dayText(day)], ["PM2.5", `${written(value, about.steps)} ${UNIT}`],
      ["90 % interval", data.pm25_lower ? `${range} ${UNIT}` : "none: this product has no bounds"],
      ["Quality", CLASS_WORDS[about.classes[flagOf(day, cell)]]],
      ["Mean of the days", `${written(average, about.steps)} ${UNIT} (${n} of ${days} days)`]];
    if (station >= 0) {
      facts.push(["Nearest station", `${stationName(station)}, ${away.toFixed(away < 10 ? 1 : 0)} km away`]);
      if (data.observed) {
        const [observed, m] = mean((d) => observation(d, station));
        facts.push(["Observed there", `${written(observation(day, station), about.stations.steps)} ${UNIT}` +
          (m ? `; mean ${written(observed, about.stations.steps)} (${m} days)` : "; no whole day")]);
      }
    }
    byId("reading").replaceChildren(...facts.flatMap(([name, text]) => [html("dt", name), html("dd", text)]));
    byId("spoken").textContent = `${facts[0][1]}, ${dayText(day)}: ${facts[2][1]}, 90 % interval ${facts[3][1]}, ${facts[4][1]}`;
  }

  // --- its series

  let chart;
  function drawSeries() {
    const box = byId("series"), { cell, station } = state;
    if (cell < 0) return;
    const width = Math.max(280, box.clientWidth), height = 240, left = 40, right = 10, top = 10, bottom = 26;
    const series = Array.from({ length: days }, (_, d) => estimate(d, cell));
    const low = series.map((_, d) => bound("pm25_lower", d, cell)), high = series.map((_, d) => bound("pm25_upper", d, cell));
    const seen = station < 0 ? [] : series.map((_, d) => observation(d, station));
    const most = Math.max(10, ...[...series, ...high, ...seen].filter(Number.isFinite)), ticks = stepsUpTo(most, 6);
    const x = (d) => left + (days > 1 ? d / (days - 1) : 0.5) * (width - left - right);
    const y = (v) => height - bottom - v / ticks[ticks.length - 1] * (height - top - bottom);
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": "series-title" });
    for (const tick of ticks) {
      plot.append(svg("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "gridline" }), label(left - 6, y(tick) + 4, String(tick), "end"));
    }
    for (const d of dayTicks(width)) {
      plot.append(svg("line", { x1: x(d), x2: x(d), y1: height - bottom, y2: height - bottom + 4, class: "axis" }),
        label(x(d), height - 8, days > 92 ? dayText(d).slice(0, 7) : dayText(d).slice(5), d === 0 ? "start" : x(d) > width - 30 ? "end" : "middle"));
    }
    for (const [a, b] of stretches(high)) {
      const edge = (values, d) => `${x(d).toFixed(1)} ${y(values[d]).toFixed(1)}`, there = range(a, b);
      const path = [...there.map((d) => edge(high, d)), ...there.reverse().map((d) => edge(low, d))];
      if (a === b) plot.append(svg("line", { x1: x(a), x2: x(a), y1: y(low[a]), y2: y(high[a]), class: "band-line" }));
      else plot.append(svg("path", { d: "M" + path.join("L") + "Z", class: "band" }));
    }
    for (const [a, b] of stretches(series)) {
      plot.append(svg("path", { d: "M" + range(a, b).map((d) => `${x(d).toFixed(1)} ${y(series[d]).toFixed(1)}`).join("L") + (a === b ? "h0" : ""), class: "estimate" }));
    }
    plot.append(svg("path", { d: seen.map((v, d) => Number.isFinite(v) ? `M${x(d).toFixed(1)} ${y(v).toFixed(1)}h0` : "").join(""), class: days > 92 ? "observed small" : "observed" }),
      svg("line", { id: "cursor", y1: top, y2: height - bottom, class: "cursor" }));
    box.replaceChildren(plot);
    chart = { x, width, left, right };
    byId("series-title").textContent = `Daily PM2.5, ${UNIT}, at ${cellName(cell)}` + (station < 0 ? "" : `; dots: observed at ${stationName(station)}, ${state.away.toFixed(0)} km away`);
    moveCursor();
  }
  function label(x, y, text, anchor) {
    const made = svg("text", { x, y, "text-anchor": anchor });
    made.textContent = text;
    return made;
  }
  const range = (a, b) => Array.from({ length: b - a + 1 }, (_, i) => a + i);
  function stretches(values) {
    const found = [];
    values.forEach((v, d) => {
      if (!Number.isFinite(v)) return;
      if (found.length && found[found.length - 1][1] === d - 1) found[found.length - 1][1] = d;
      else found.push([d, d]);
    });
    return found;
  }
  function dayTicks(width) {
    const most = Math.max(2, Math.floor(width / 90));
    if (days <= 92) return range(0, days - 1).filter((d) => d % Math.ceil(days / most) === 0);
    const firsts = range(0, days - 1).filter((d) => dayText(d).endsWith("-01"));
    return firsts.filter((_, i) => i % Math.ceil(firsts.length / most) === 0);
  }
  function moveCursor() {
    const line = byId("cursor");
    if (!line) return;
    line.setAttribute("x1", chart.x(state.day));
    line.setAttribute("x2", chart.x(state.day));
  }
  function rowsOfTable() {
    return range(0, days - 1).map((d) => [dayText(d), written(estimate(d, state.cell), about.steps),
      written(bound("pm25_lower", d, state.cell), about.steps / 2), written(bound("pm25_upper", d, state.cell), about.steps / 2),
      about.classes[flagOf(d, state.cell)], state.station < 0 ? "–" : written(observation(d, state.station), about.stations.steps)]);
  }
  function fillTable() {
    const head = ["day (UTC+8)", "PM2.5", "lower", "upper", "quality", "observed"], table = html("table"), line = html("tr");
    head.forEach((text) => { const cell = html("th", text); cell.scope = "col"; line.append(cell); });
    table.append(line);
    for (const row of rowsOfTable()) {
      const made = html("tr");
      row.forEach((text, i) => { const cell = html(i ? "td" : "th", text, i ? "number" : ""); if (!i) cell.scope = "row"; made.append(cell); });
      table.append(made);
    }
    byId("table-box").replaceChildren(table);
  }
  function saveCsv() {
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`, clean = (text) => text === "–" ? "" : text;
    const lines = [`# ${document.title.replace(/\s+/g, " ")}; ${cellName(state.cell)}; ug m-3; rounded as report.html says`,
      "day,pm25,pm25_lower,pm25_upper,quality,observed_at_nearest_station", ...rowsOfTable().map((row) => row.map(clean).map(quoted).join(","))];
    const link = html("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = `${about.simulated ? "simulated_" : ""}pm25_${latOf(state.cell)}_${lonOf(state.cell)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // --- hands

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * canvas.width);
    const y = Math.floor((event.clientY - box.top) / box.height * canvas.height);
    for (let radius = 0; radius <= 12; radius += 4) {  // a finger is thick
      for (const [dx, dy] of [[0, 0], [radius, 0], [-radius, 0], [0, radius], [0, -radius]]) {
        const at = (y + dy) * canvas.width + x + dx;
        if (x + dx >= 0 && x + dx < canvas.width && lookup[at]) return lookup[at] - 1;
      }
    }
    return -1;
  }
  function step(key) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    if (grid.kind === "points") return nextPoint(dx, dy);
    const width = columns, start = data.place[state.cell];
    let row = Math.floor(start / width), column = start % width;
    const upwards = latOfRow(rows - 1) >= latOfRow(0) ? 1 : -1;
    do { row += dy * upwards; column += dx; }
    while (row >= 0 && row < rows && column >= 0 && column < columns && !data.number[row * width + column]);
    const inside = row >= 0 && row < rows && column >= 0 && column < columns;
    return inside ? data.number[row * width + column] - 1 : state.cell;
  }
  const latOfRow = (row) => regular ? grid.lat[row] : grid.latEdges[row * (columns + 1)];
  function nextPoint(dx, dy) {
    const lat = latOf(state.cell), lon = lonOf(state.cell);
    let best = state.cell, least = Infinity;
    for (let i = 0; i < data.cells; i++) {
      const east = (lonOf(i) - lon) * squeeze, northwards = latOf(i) - lat, along = dx * east + dy * northwards;
      const cost = along + 3 * Math.abs(dx ? northwards : east);
      if (i !== state.cell && along > 0 && cost < least) { least = cost; best = i; }
    }
    return best;
  }
  function listen() {
    const play = byId("play");
    const stop = () => { clearInterval(state.timer); state.timer = 0; play.textContent = "Play"; play.setAttribute("aria-pressed", "false"); };
    byId("day").addEventListener("input", (event) => { stop(); chooseDay(Number(event.target.value)); });
    byId("before").addEventListener("click", () => { stop(); chooseDay(state.day - 1); });
    byId("after").addEventListener("click", () => { stop(); chooseDay(state.day + 1); });
    play.addEventListener("click", () => {
      if (state.timer) return stop();
      play.textContent = "Stop";
      play.setAttribute("aria-pressed", "true");
      state.timer = setInterval(() => chooseDay((state.day + 1) % days), 250);
    });
    byId("layer").addEventListener("change", (event) => { state.layer = event.target.value; drawScale(); draw(); });
    byId("show-stations").addEventListener("change", (event) => { byId("stations").style.display = event.target.checked ? "" : "none"; });
    map.addEventListener("click", (event) => { const cell = cellAt(event); if (cell >= 0) chooseCell(cell); });
    map.addEventListener("keydown", (event) => {
      if (event.key in { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 0, ArrowDown: 0 }) chooseCell(step(event.key));
      else if (event.key === "n" || event.key === "p") chooseDay(state.day + (event.key === "n" ? 1 : -1));
      else return;
      event.preventDefault();
    });
    byId("series").addEventListener("click", (event) => {
      const box = byId("series").getBoundingClientRect(), share = (event.clientX - box.left - chart.left) / (chart.width - chart.left - chart.right);
      chooseDay(Math.round(share * (days - 1)));
    });
    byId("table").addEventListener("toggle", () => { if (byId("table").open) fillTable(); });
    byId("csv").addEventListener("click", saveCsv);
    new ResizeObserver(() => { if (!chart || Math.abs(chart.width - byId("series").clientWidth) > 2) drawSeries(); }).observe(byId("series"));
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") throw new Error("it lacks DecompressionStream (in Chromium since 80, Safari 16.4, Firefox 113)");
    const mask = Uint8Array.from(atob(grid.mask), (c) => c.charCodeAt(0));
    numberCells(await inflated(mask));
    data.pm25 = unpackCells(await inflate("pm25"));
    data.flag = unpackInTime(await inflate("flag"), data.cells, false);
    if (about.bounds) {
      data.pm25_lower = unpackBound(await inflate("pm25_lower"), -1);
      data.pm25_upper = unpackBound(await inflate("pm25_upper"), 1);
    }
    if (about.stations.days) data.observed = unpackInTime(await inflate("observed"), about.stations.id.length, true);
    byId("layer").querySelector("[value=width]").disabled = !about.bounds;
    prepareCanvas();
    drawLines();
    drawScale();
    listen();
    byId("explorer").hidden = false;
    thinOutCities();
    new ResizeObserver(thinOutCities).observe(map);
    byId("loading").remove();
    state.cell = nearest(...about.start, ...centres())[0];
    chooseDay(0);
    if (state.cell >= 0) chooseCell(state.cell);
    document.documentElement.dataset.ready = "true";
  }
  function centres() {
    const lats = new Float64Array(data.cells), lons = new Float64Array(data.cells);
    for (let i = 0; i < data.cells; i++) { lats[i] = latOf(i); lons[i] = lonOf(i); }
    return [lats, lons];
  }
  start().catch((error) => {
    byId("loading").textContent = `This browser can't show the map: ${error.message}. The numbers and maps below do not need it.`;
    throw error;
  });
})();
