// Draws the map of China's provinces that the dashboards fill in, from the map
// data of Apache ECharts 4.9.0, into src/web/assets/provinces.json:
//
//   node map.mjs           write the file
//   node map.mjs --check   exit 1 when the committed file is not what this gives
//
// Every path is made of `M x y`, `l dx dy dx dy ...` and `z` alone, in whole
// numbers, so that a few lines of code can read it back.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { feature } from "topojson-client";
import { topology } from "topojson-server";
import { presimplify, simplify } from "topojson-simplify";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "../../src/web/assets/provinces.json");
const echarts = (path) => readFileSync(join(here, "node_modules/echarts", path), "utf8");

const WIDTH = 1000;
const MARGIN = 6;
const DETAIL = 1.2; // a bend smaller than this area, in square units, is left out
const SPECK = 2.5; // and so is an island smaller than this
const MARK = 3; // the side of the square that stands for a place too small to draw

const PROVINCES = {
  北京: ["CN-BJ", "Beijing"], 天津: ["CN-TJ", "Tianjin"], 河北: ["CN-HE", "Hebei"], 山西: ["CN-SX", "Shanxi"],
  内蒙古: ["CN-NM", "Inner Mongolia"], 辽宁: ["CN-LN", "Liaoning"], 吉林: ["CN-JL", "Jilin"],
  黑龙江: ["CN-HL", "Heilongjiang"], 上海: ["CN-SH", "Shanghai"], 江苏: ["CN-JS", "Jiangsu"],
  浙江: ["CN-ZJ", "Zhejiang"], 安徽: ["CN-AH", "Anhui"], 福建: ["CN-FJ", "Fujian"], 江西: ["CN-JX", "Jiangxi"],
  山东: ["CN-SD", "Shandong"], 河南: ["CN-HA", "Henan"], 湖北: ["CN-HB", "Hubei"], 湖南: ["CN-HN", "Hunan"],
  广东: ["CN-GD", "Guangdong"], 广西: ["CN-GX", "Guangxi"], 海南: ["CN-HI", "Hainan"], 重庆: ["CN-CQ", "Chongqing"],
  四川: ["CN-SC", "Sichuan"], 贵州: ["CN-GZ", "Guizhou"], 云南: ["CN-YN", "Yunnan"], 西藏: ["CN-XZ", "Xizang"],
  陕西: ["CN-SN", "Shaanxi"], 甘肃: ["CN-GS", "Gansu"], 青海: ["CN-QH", "Qinghai"], 宁夏: ["CN-NX", "Ningxia"],
  新疆: ["CN-XJ", "Xinjiang"], 台湾: ["CN-TW", "Taiwan"], 香港: ["CN-HK", "Hong Kong"], 澳门: ["CN-MO", "Macao"],
};

// --- Reading the data -------------------------------------------------------

// ECharts writes a ring as a string: two characters a point, each the zigzag
// difference from the point before, in 1/1024 of a degree.
function decodeRing(text, [x, y]) {
  const unzigzag = (i) => ((v) => (v >> 1) ^ -(v & 1))(text.charCodeAt(i) - 64);
  const ring = [];
  for (let i = 0; i < text.length; i += 2) {
    x += unzigzag(i);
    y += unzigzag(i + 1);
    ring.push([x / 1024, y / 1024]);
  }
  const [first, last] = [ring[0], ring.at(-1)];
  if (first[0] !== last[0] || first[1] !== last[1]) ring.push([...first]); // Inner Mongolia's is left open
  return ring;
}

// The rings of every feature by its name. No feature has a hole: every ring is a
// piece of land, and a path of them needs no fill rule.
function readRings(path) {
  const rings = {};
  for (const { geometry, properties } of JSON.parse(echarts(path)).features) {
    const { type, coordinates, encodeOffsets } = geometry;
    if ((type === "Polygon" ? [coordinates] : coordinates).some((part) => part.length > 1)) {
      throw new Error(`${path}: ${properties.name} has a hole, which is not drawn`);
    }
    rings[properties.name] = coordinates.flatMap((part, i) =>
      type === "Polygon" ? [decodeRing(part, encodeOffsets[i])]
        : part.map((text, j) => decodeRing(text, encodeOffsets[i][j])));
  }
  return rings;
}

// --- Projecting it ----------------------------------------------------------

const PARALLELS = [25, 47];
const MERIDIAN = 105;
const ORIGIN = 35;
const FORMULA =
  "Albers equal-area conic on a sphere of radius 1, angles in radians (lat, lon: the place; p1, p2: parallels): " +
  "n = (sin p1 + sin p2) / 2; c = cos(p1)^2 + 2 n sin p1; rho(lat) = sqrt(c - 2 n sin lat) / n; " +
  "theta = n (lon - meridian); x = dx + scale rho(lat) sin theta; " +
  "y = dy - scale (rho(origin) - rho(lat) cos theta)";

const rad = (degrees) => (degrees * Math.PI) / 180;
const [p1, p2] = PARALLELS.map(rad);
const n = (Math.sin(p1) + Math.sin(p2)) / 2;
const rho = (lat) => Math.sqrt(Math.cos(p1) ** 2 + 2 * n * Math.sin(p1) - 2 * n * Math.sin(lat)) / n;
function albers([lon, lat]) {
  const theta = n * rad(lon - MERIDIAN);
  return [rho(rad(lat)) * Math.sin(theta), rho(rad(ORIGIN)) - rho(rad(lat)) * Math.cos(theta)];
}

// Whole numbers for scale and shift, so that others redo the very same map.
function fit(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const scale = Math.floor((WIDTH - 2 * MARGIN) / (right - left));
  const dx = Math.round(WIDTH / 2 - (scale * (left + right)) / 2);
  const dy = Math.ceil(MARGIN + scale * Math.max(...ys));
  return { scale, dx, dy, height: Math.ceil(dy - scale * Math.min(...ys) + MARGIN) };
}

// --- Drawing it -------------------------------------------------------------

const area = (ring) =>
  Math.abs(ring.reduce((sum, [x, y], i) => {
    const [px, py] = ring[(i || ring.length) - 1];
    return sum + px * y - x * py;
  }, 0)) / 2;

function toWhole(ring) {
  const whole = ring.map((point) => point.map(Math.round));
  return whole.filter(([x, y], i) => i > 0 && (x !== whole[i - 1][0] || y !== whole[i - 1][1]));
}

// A square about the middle of a ring that is too small to keep its own shape.
function mark(ring) {
  const middle = (k) => (Math.min(...ring.map((p) => p[k])) + Math.max(...ring.map((p) => p[k]))) / 2;
  return square(middle(0), middle(1), MARK);
}

function square(x, y, side) {
  const [left, top] = [Math.round(x - side / 2), Math.round(y - side / 2)];
  return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]];
}

function path(rings) {
  const join = (numbers) => numbers.join(" ").replaceAll(" -", "-");
  return rings.map((ring) => {
    const steps = ring.slice(1).flatMap(([x, y], i) => [x - ring[i][0], y - ring[i][1]]);
    return `M${join(ring[0])}l${join(steps)}z`;
  }).join("");
}

// How far a point is inside a ring: the distance to its border, negative outside.
function depth(ring, [x, y]) {
  let inside = false, nearest = Infinity;
  ring.forEach(([bx, by], i) => {
    const [ax, ay] = ring[(i || ring.length) - 1];
    if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) inside = !inside;
    const t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
    const k = Math.max(0, Math.min(1, t));
    nearest = Math.min(nearest, Math.hypot(x - ax - k * (bx - ax), y - ay - k * (by - ay)));
  });
  return inside ? nearest : -nearest;
}

// The point deepest inside a ring, where a label fits: looked for on a coarse
// grid, then on finer ones about the best point so far.
function labelPoint(ring) {
  const xs = ring.map(([x]) => x), ys = ring.map(([, y]) => y);
  let [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  let best = ring[0];
  for (let step = 16; step >= 1; step /= 2) {
    for (let x = left; x <= right; x += step) {
      for (let y = top; y <= bottom; y += step) {
        if (depth(ring, [x, y]) > depth(ring, best)) best = [x, y];
      }
    }
    [left, right, top, bottom] = [best[0] - step, best[0] + step, best[1] - step, best[1] + step];
  }
  return best;
}

// --- The South China Sea ----------------------------------------------------

// ECharts draws the inset from a small table of its own: the coast, Hainan, the
// nine dashes and, last, the frame, on a sheet of 64 by 93 units. Two places on
// that sheet give its scale, 4.12 units a degree, by which the islands of
// Sansha, which the table lacks, are put where they belong.
function southChinaSea(height, islands) {
  const source = echarts("lib/coord/geo/fix/nanhai.js");
  const shapes = JSON.parse(/var points = (\[.*\]);/.exec(source)[1]).slice(0, -1);
  const k = 1.5; // as large as it can be without covering Taiwan
  const [w, h] = [64 * k, Math.ceil(93 * k)];
  const box = [WIDTH - 2 - w, height - 2 - h, w, h];
  const place = ([x, y]) => [box[0] + k * x, box[1] + k * y];
  const dots = new Map(); // reefs that would be drawn on top of each other are one dot
  for (const [lon, lat] of islands) {
    const [x, y] = place([7.5 + (lon - 108.2) * 4.12, 14.7 + (20.1 - lat) * 4.12]);
    const dot = square(x, y, 1);
    dots.set(String(dot[0]), dot);
  }
  return { d: path([...shapes.map((ring) => toWhole(ring.map(place))), ...dots.values()]), box };
}

// --- Putting it together ----------------------------------------------------

const china = readRings("map/json/china.json");
const shape = fit(Object.values(china).flat(2).map(albers));
const { scale, dx, dy } = shape;
const project = (point) => (([x, y]) => [dx + scale * x, dy - scale * y])(albers(point));

// Simplifying the arcs of one topology moves a border for both its provinces.
const geometries = Object.fromEntries(Object.entries(china).map(([name, rings]) =>
  [name, { type: "MultiPolygon", coordinates: rings.map((ring) => [ring.map(project)]) }]));
const simplified = simplify(presimplify(topology(geometries)), DETAIL);

// Dongsha Qundao, and the islands of Taiwan, are on every official map of the
// country, however small they are.
const isDongsha = ([lon, lat]) => lon > 116.5 && lat < 21.2;
const provinces = Object.entries(PROVINCES).map(([zh, [code, en]]) => {
  const full = geometries[zh].coordinates.map(([ring]) => ring);
  const largest = Math.max(...full.map(area));
  const drawn = [];
  feature(simplified, simplified.objects[zh]).geometry.coordinates.forEach(([ring], i) => {
    const kept = area(full[i]) === largest || code === "CN-TW" || isDongsha(china[zh][i][0]);
    if (area(full[i]) < SPECK && !kept) return;
    const whole = toWhole(ring);
    drawn.push(area(whole) < SPECK ? mark(full[i]) : whole);
  });
  const main = drawn.reduce((a, b) => (area(b) > area(a) ? b : a));
  return { code, zh, en, d: path(drawn), label: labelPoint(main) };
});

const hainan = readRings("map/json/province/hainan.json");
const islands = [...hainan["三沙市"].map((ring) => ring[0]), ...china["广东"].map((ring) => ring[0]).filter(isDongsha)];

const head = {
  source: "Apache ECharts 4.9.0, Apache-2.0",
  viewBox: [0, 0, WIDTH, shape.height],
  projection: { scale, dx, dy, parallels: PARALLELS, meridian: MERIDIAN, origin: ORIGIN, formula: FORMULA },
  nanhai: southChinaSea(shape.height, islands),
};
// One province a line, so that a difference can be read.
const json = `${JSON.stringify(head).slice(0, -1)},"provinces":[\n${provinces.map((p) => JSON.stringify(p)).join(",\n")}\n]}\n`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== json) {
    console.error("src/web/assets/provinces.json differs from what map.mjs gives: run `npm ci && node map.mjs` in tools/web");
    process.exit(1);
  }
  console.log("src/web/assets/provinces.json is what map.mjs gives");
} else {
  writeFileSync(target, json);
  console.log(`provinces.json ${Buffer.byteLength(json)} B  gzip ${gzipSync(json, { level: 9 }).length} B`);
}
