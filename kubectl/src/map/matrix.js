// The paths as a matrix: rows are where packets begin, columns where they go. The nodes stand in the order of the segments.
const order = data.segments.flat();
let cell = 0, margin = 0;

function drawMatrix() {
  const canvas = document.createElement("canvas"), room = document.getElementById("matrix").clientWidth || 900;
  const labelled = many <= 40;
  const style = getComputedStyle(document.documentElement), color = name => style.getPropertyValue("--" + name).trim();
  const pen = canvas.getContext("2d"), font = "12px system-ui, 'DejaVu Sans', sans-serif";
  pen.font = font;
  margin = labelled ? Math.min(180, Math.ceil(Math.max(...nodes.map(node => pen.measureText(cut(node.name, 24)).width))) + 12) : 0;
  cell = Math.max(1, Math.min(many <= 8 ? 64 : many <= 16 ? 44 : 30, Math.floor((Math.min(room, 1000) - margin) / Math.max(1, many))));
  const turned = margin - 12 > cell - 4, top = !labelled ? 0 : turned ? margin : 22, side = cell * many, ratio = window.devicePixelRatio || 1;
  canvas.width = (margin + side + 1) * ratio; canvas.height = (top + side + 1) * ratio;
  canvas.style.width = margin + side + 1 + "px"; canvas.style.height = top + side + 1 + "px";
  pen.scale(ratio, ratio);
  pen.font = font; pen.textBaseline = "middle";
  const gap = cell > 6 ? 1 : 0, colors = { open: color("open"), bad: color("critical"), unknown: color("unknown") };
  const place = new Map(order.map((node, i) => [node, i]));
  order.forEach((from, row) => {
    // What a row is where nothing else is said; then what is named in it.
    pen.fillStyle = colors[rowVerdict(from)];
    if (gap) order.forEach((to, column) => { pen.fillStyle = from === to ? color("page") : colors[verdict(from, to)]; pen.fillRect(margin + column * cell, top + row * cell, cell - gap, cell - gap); });
    else pen.fillRect(margin, top + row * cell, side, cell);
  });
  const dot = (from, to, grow) => pen.fillRect(margin + place.get(to) * cell - grow, top + place.get(from) * cell - grow, cell + 2 * grow, cell + 2 * grow);
  const shown = path => !gap && (!family || path.family === family);
  pen.fillStyle = colors.unknown;
  for (const path of data.paths) if (shown(path) && !path.bad && !isOpen(path)) dot(path.from, path.to, 0);
  pen.fillStyle = colors.bad;
  for (const path of data.paths) if (shown(path) && path.bad) for (const [from, to] of directions(path)) dot(from, to, cell < 3 ? 1 : 0);
  if (labelled) {
    pen.fillStyle = color("soft");
    order.forEach((node, i) => {
      const middle = i * cell + cell / 2, name = cut(nodes[node].name, 24);
      pen.textAlign = "right"; pen.fillText(name, margin - 7, top + middle);
      pen.save(); pen.translate(margin + middle, top - 7);
      if (turned) { pen.rotate(-Math.PI / 2); pen.textAlign = "left"; } else pen.textAlign = "center";
      pen.fillText(name, 0, 0); pen.restore();
    });
  }
  if (selected >= 0) {
    pen.strokeStyle = color("accent"); pen.lineWidth = 2;
    const at = place.get(selected) * cell;
    pen.strokeRect(margin, top + at - .5, side, cell); pen.strokeRect(margin + at - .5, top, cell, side);
  }
  const spot = event => {
    const box = canvas.getBoundingClientRect(), column = Math.floor((event.clientX - box.left - margin) / cell), row = Math.floor((event.clientY - box.top - top) / cell);
    return [order[row], order[column]];
  };
  canvas.addEventListener("mousemove", event => { const [from, to] = spot(event); show("hover", hint(from, to)); });
  canvas.addEventListener("mouseleave", () => show("hover", hint()));
  canvas.addEventListener("click", event => { const [from] = spot(event); if (from !== undefined && from !== selected) select(from); });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Matrix of the paths between " + many + " nodes; the paths that are bad are listed below");
  show("matrix", canvas); show("hover", hint()); show("worst", worst());
}

function rowVerdict(from) {
  const others = nodes[from].others || {}, words = (family ? [family] : families).map(one => others[one]).filter(Boolean);
  return words.length && words.every(word => word === "open" || word === "no-agent") ? "open" : "unknown";
}

function hint(from, to) {
  if (from === undefined || to === undefined) return "Rows are where packets begin, columns where they go. Point at a cell, click a row.";
  if (from === to) return nodes[from].name;
  // Where the other end finds the loss, what it says is shown too.
  const other = losses(from, to).filter(path => path.from !== from).map(path => nodes[path.from].name + " says " + TITLES[path.family] + " " + path.state);
  return nodes[from].name + " \u2192 " + nodes[to].name + ": " + between(from, to).map(path => TITLES[path.family] + " " + path.state + (path.text ? " (" + path.text + ")" : "")).concat(other).join("; ");
}

const SHOWN = 50;
function worst() {
  const bad = data.paths.filter(path => path.bad && (!family || path.family === family));
  if (!bad.length) return make("p", { class: "empty" }, data.paths.length || families.length ? "No path is known to be bad." : "No path is probed.");
  const row = path => make("tr", {}, make("td", {}, link(path.from)), make("td", {}, link(path.to)), make("td", {}, TITLES[path.family] || path.family),
    make("td", {}, make("span", { class: "badge critical" }, path.state)), make("td", {}, ago(path.since)), make("td", {}, path.text));
  return [make("table", {}, make("thead", {}, make("tr", {}, ["From", "To", "Family", "State", "For", "What it means"].map(text => make("th", {}, text)))),
    make("tbody", {}, bad.slice(0, SHOWN).map(row))), bad.length > SHOWN ? make("p", { class: "empty" }, "and " + (bad.length - SHOWN) + " more: kubectl podlan paths --all") : null];
}
