// What a click on a node tells, what is shown before one, the head of the page; and the start.
function drawPanel() {
  if (selected < 0) return show("panel", overview());
  const node = nodes[selected], conditions = node.conditions || [];
  const facts = [["agent", node.release], ["pod CIDRs", (node.podCIDRs || []).join(", ")], ["addresses", (node.addresses || []).join(", ")],
    ...["v4", "v6"].map(one => ["routes " + one.replace("v", "IPv"), node[one] && node[one].installed + " of " + node[one].desired + " installed" + (node[one].failed ? ", " + node[one].failed + " failed" : "")]),
    ["round trip", node.medianRttMicros && (node.medianRttMicros / 1000).toFixed(2) + " ms (median)"], ["not probed", (node.notProbed || []).join("; ")]];
  show("panel", make("div", { class: "titleline" }, make("h2", {}, node.name), badge(node.state)),
    make("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    (node.reasons || []).length ? [make("h3", {}, node.state === "silent" ? "Why it did not answer" : node.state === "not-expected" ? "Why there is no agent" : "Why it is not ready"), node.reasons.map(text => make("p", { class: "condition " + node.state }, text))] : null,
    conditions.length ? [make("h3", {}, "What is wrong"), conditions.map(condition)] : node.state === "well" ? make("p", { class: "empty", style: "margin-top:12px" }, "Nothing is wrong on this node.") : null,
    (node.peers || []).length ? [make("h3", {}, "Routes that are not as wanted"), node.peers.map(peer => make("p", { class: "pathrow" }, peer.node + " " + peer.cidr, make("span", { class: "what" }, peer.text + (peer.found ? " \u00b7 found: " + peer.found : ""))))] : null,
    pathsOf("Paths from it that are not open", path => path.from === selected, path => path.to), pathsOf("Paths to it that are not open", path => path.to === selected, path => path.from));
  document.getElementById("panel").scrollTop = 0;
}

function condition(one) {
  const since = ago(one.since);
  return make("div", { class: "condition " + (one.severity === "info" ? "well" : one.severity) }, make("b", {}, one.kind), " ", make("span", { class: "badge" }, one.severity + (since ? ", for " + since : "")),
    make("p", {}, one.wrong), make("p", { class: "why" }, one.why), make("p", {}, "Fix: ", one.command === one.cure ? make("code", {}, one.cure) : one.cure), one.command && one.command !== one.cure ? make("p", {}, make("code", {}, one.command)) : null);
}

function pathsOf(title, wanted, peer) {
  const paths = data.paths.filter(wanted);
  if (!paths.length) return null;
  return [make("h3", {}, title), paths.slice(0, SHOWN).map(path => make("div", { class: "pathrow" }, link(peer(path)), TITLES[path.family] || path.family,
    make("span", { class: "badge " + (path.bad ? "critical" : "silent") }, path.state + (ago(path.since) ? ", for " + ago(path.since) : "")), make("span", { class: "what" }, path.text))),
    paths.length > SHOWN ? make("p", { class: "empty" }, "and " + (paths.length - SHOWN) + " more") : null];
}

function overview() {
  const wanted = ["critical", "silent", "warning"].flatMap(state => nodes.map((node, place) => [node, place]).filter(([node]) => node.state === state));
  const row = ([node, place]) => make("div", { class: "pathrow" }, link(place), badge(node.state), make("span", { class: "what" }, ((node.conditions || [])[0] || {}).wrong || (node.reasons || [])[0] || ""));
  return [make("h2", {}, wanted.length ? "Look at these first" : "Nothing is wrong"), make("p", { class: "empty", style: "margin:4px 0 10px" }, "Click a node to see its conditions and paths."),
    wanted.slice(0, SHOWN).map(row), wanted.length > SHOWN ? make("p", { class: "empty" }, "and " + (wanted.length - SHOWN) + " more") : null];
}

function drawHead() {
  const count = state => nodes.filter(node => node.state === state).length, bad = data.paths.filter(path => path.bad).length;
  const verdict = document.getElementById("verdict"), silent = data.unreachable.length;
  verdict.className = count("critical") || bad ? "critical" : silent || count("warning") || data.nodesUnreadable ? "warning" : "";
  verdict.textContent = count("critical") || bad ? "Something is wrong" : silent || data.nodesUnreadable ? "Not everything could be asked" : count("warning") ? "There are warnings" : "All is well";
  const fact = (value, text) => make("li", {}, make("b", {}, String(value)), " " + text);
  show("facts", fact(many, many === 1 ? "node" : "nodes"), silent ? fact(silent, "without an answer") : null, count("critical") ? fact(count("critical"), "critical") : null, count("warning") ? fact(count("warning"), "with warnings") : null,
    fact(bad, bad === 1 ? "bad path" : "bad paths"), data.versions.map(one => fact(one.release.split(" ")[0], data.versions.length > 1 ? "on " + one.nodes.length : "")), data.skew ? make("li", {}, "releases differ; this map by ", make("b", {}, data.client)) : null,
    make("li", {}, new Date(data.made * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC"));
  const present = Object.keys(WORDS).filter(state => count(state));
  show("node-legend", present.map(state => make("li", { class: state }, make("i"), WORDS[state])));
  show("path-legend", [["open", "open"], ["critical", "bad"], ["unknown", "not known"]].map(([color, text]) => make("li", { style: "--c:var(--" + color + ")" }, make("i"), text)));
  show("family", families.length > 1 ? [["", "both"], ...families.map(one => [one, TITLES[one]])].map(([value, text]) =>
    make("button", { type: "button", "aria-pressed": family === value, onclick: () => { family = value; drawAll(); } }, text)) : null);
  document.getElementById("family").hidden = families.length < 2;
}

function drawAll() { drawHead(); drawNodes(); drawMatrix(); drawPanel(); }
document.getElementById("search").addEventListener("input", drawNodes);
document.addEventListener("keydown", event => { if (event.key === "Escape" && selected >= 0) select(selected); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let resized;
window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(drawMatrix, 150); });
drawAll();
