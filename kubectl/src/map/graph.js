// The nodes: a graph with each path where they are few, tiles where they are many.
const FEW = 24;
const WIDE = 190, HIGH = 46;

function drawNodes() {
  if (many <= FEW) return show("nodes", graph());
  const size = many <= 60 ? "" : many <= 240 ? "middle" : "small";
  show("nodes", make("div", { class: size }, data.segments.map((members, place) => make("div", { class: "segment" },
    make("h3", {}, segmentTitle(place, members.length)), make("div", { class: "tiles" }, members.map(tile))))));
}

function tile(place) {
  const node = nodes[place], conditions = (node.conditions || []).length;
  const bad = selected >= 0 && selected !== place && (verdict(selected, place) === "bad" || verdict(place, selected) === "bad");
  const says = node.name + ": " + WORDS[node.state] + (conditions ? ", " + conditions + " conditions" : "");
  return make("button", { type: "button", class: "tile " + node.state + (selected === place ? " selected" : "") + (bad ? " badpath" : "")
    + (matches(place) ? "" : " dim"), title: says, "aria-label": says, "data-node": node.name, onclick: () => select(place) },
    make("b", {}, node.name), make("span", {}, conditions ? WORDS[node.state] + " \u00b7 " + conditions + (conditions === 1 ? " condition" : " conditions")
      : node.state === "well" ? (node.podCIDRs || []).join(", ") : WORDS[node.state]));
}

// Each segment is a circle of nodes; segments stand side by side, in as many rows as they need.
const ROOM = 1000;
const spot = (i, count, radius) => { const turn = -Math.PI / 2 + (2 * Math.PI * i) / count; return { x: 1.5 * radius * Math.cos(turn), y: radius * Math.sin(turn) }; };

// The smallest circle on which no two nodes overlap.
function circle(count) {
  const overlap = radius => { const all = Array.from({ length: count }, (_, i) => spot(i, count, radius));
    return all.some((a, i) => all.some((b, k) => k < i && Math.abs(a.x - b.x) < WIDE + 16 && Math.abs(a.y - b.y) < HIGH + 26)); };
  let radius = count === 1 ? 0 : 86;
  while (count > 1 && overlap(radius)) radius += 6;
  return radius;
}

function graph() {
  const at = [], groups = [];
  let left = 2, top = 2, row = 0, right = 0;
  data.segments.forEach((members, place) => {
    const radius = circle(members.length), spots = members.map((_, i) => spot(i, members.length, radius));
    const width = 2 * Math.max(...spots.map(one => one.x)) + WIDE + 56, low = Math.max(...spots.map(one => one.y)), height = radius + low + HIGH + 62;
    if (left > 2 && left + width > ROOM) { left = 2; top += row + 18; row = 0; }
    members.forEach((node, i) => { at[node] = { x: left + width / 2 + spots[i].x, y: top + 38 + HIGH / 2 + radius + spots[i].y }; });
    groups.push(make("rect", { class: "group", x: left, y: top, width, height, rx: 14 }),
      make("text", { class: "grouptitle", x: left + 14, y: top + 22 }, segmentTitle(place, members.length)));
    left += width + 18; row = Math.max(row, height); right = Math.max(right, left - 18);
  });
  const width = right + 2;
  const edges = [], labels = [];
  for (let one = 0; one < many; one++) for (let other = one + 1; other < many; other++) edge(at[one], at[other], one, other, edges, labels);
  const head = make("marker", { id: "head-bad", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto" }, make("path", { d: "M0 0L8 4L0 8z" }));
  const box = [0, 0, width, top + row + 2];
  const svg = make("svg", { viewBox: box.join(" "), role: "group", "aria-label": "Nodes and the paths between them", style: "max-width:" + Math.round(width * 1.15) + "px;margin:0 auto" },
    make("defs", {}, head), groups, edges, labels, nodes.map((node, place) => pill(node, place, at[place])));
  return svg;
}

function edge(a, b, one, other, edges, labels) {
  const there = verdict(one, other), back = verdict(other, one);
  const faded = selected >= 0 && selected !== one && selected !== other ? " faded" : "";
  if (nodes[one].state === "not-expected" || nodes[other].state === "not-expected") return;
  if (there === back && there !== "bad") {
    edges.push(make("path", { class: "edge " + there + faded, d: "M" + a.x + " " + a.y + "L" + b.x + " " + b.y }));
    return;
  }
  for (const [from, to, state, p, q] of [[one, other, there, a, b], [other, one, back, b, a]]) {
    const dx = q.x - p.x, dy = q.y - p.y, length = Math.hypot(dx, dy) || 1, bend = 26;
    const mx = (p.x + q.x) / 2 - (dy / length) * bend, my = (p.y + q.y) / 2 + (dx / length) * bend;
    const end = border(q, mx, my);
    edges.push(make("path", { class: "edge " + state + faded, d: "M" + p.x + " " + p.y + "Q" + mx + " " + my + " " + end.x + " " + end.y,
      "marker-end": state === "bad" ? "url(#head-bad)" : undefined }));
    if (state === "bad" && !faded && many <= 12) {
      // The node at which packets begin knows best what becomes of them.
      const all = losses(from, to), own = all.filter(path => path.from === from), words = [...new Set((own.length ? own : all).map(path => path.state))].join(", ");
      labels.push(make("text", { class: "edgelabel", x: (p.x + q.x) / 4 + mx / 2, y: (p.y + q.y) / 4 + my / 2 + 4 }, words));
    }
  }
}

// Where a line from (x, y) to the middle of a node meets its border.
function border(node, x, y) {
  const dx = x - node.x, dy = y - node.y;
  const scale = Math.min((WIDE / 2 + 3) / (Math.abs(dx) || 1e-9), (HIGH / 2 + 3) / (Math.abs(dy) || 1e-9), 1);
  return { x: node.x + dx * scale, y: node.y + dy * scale };
}

function pill(node, place, at) {
  const x = at.x - WIDE / 2, y = at.y - HIGH / 2, conditions = (node.conditions || []).length;
  const sub = conditions ? conditions + (conditions === 1 ? " condition" : " conditions") : node.state === "well" ? (node.podCIDRs || [])[0] || "" : WORDS[node.state];
  const says = node.name + ": " + WORDS[node.state] + (conditions ? ", " + sub : "");
  const press = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(place); } };
  return make("g", { class: "pill " + node.state + (selected === place ? " selected" : "") + (matches(place) ? "" : " dim"), tabindex: 0, role: "button",
    "aria-label": says, "aria-pressed": selected === place, "data-node": node.name, onclick: () => select(place), onkeydown: press },
    make("title", {}, says), make("rect", { class: "body", x, y, width: WIDE, height: HIGH, rx: 10 }),
    make("circle", { class: "mark", cx: x + 22, cy: at.y, r: 10 }), make("text", { class: "sign", x: x + 22, y: at.y + 4 }, SIGNS[node.state] || "?"),
    make("text", { class: "name", x: x + 40, y: sub ? at.y - 2 : at.y + 4 }, cut(node.name, 17)), make("text", { class: "sub", x: x + 40, y: at.y + 13 }, cut(sub, 24)));
}
