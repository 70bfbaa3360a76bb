"use strict";
// The data, what is derived from it, and the one selected node.
const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.nodes, many = nodes.length;
const WORDS = { well: "well", warning: "warning", critical: "critical", silent: "no answer", "not-expected": "no agent" };
const SIGNS = { well: "\u2713", warning: "!", critical: "\u2715", silent: "?", "not-expected": "\u2013" };
const TITLES = { ipv4: "IPv4", ipv6: "IPv6" };
const families = ["ipv4", "ipv6"].filter(family => nodes.some(node => (node.others || {})[family]) || data.paths.some(path => path.family === family));
let family = "";          // "" is all of them
let selected = -1;

const named = new Map();  // "from to" -> the paths that are not open
for (const path of data.paths) {
  const key = path.from + " " + path.to;
  if (!named.has(key)) named.set(key, []);
  named.get(key).push(path);
}

// The paths from one node to another, one for each shown family: those that are named, and what the others are.
function between(from, to) {
  const known = named.get(from + " " + to) || [];
  const others = nodes[from].others || {};
  return (family ? [family] : families).map(one => known.find(path => path.family === one)
    || { family: one, state: others[one] || "not known", bad: false, text: "" });
}
// A path whose answers are lost on the way back is good in its own direction, and bad in the other.
const isOpen = path => ["open", "no-agent", "lost-back"].includes(path.state);
const lost = new Map();   // "from to" -> what both ends say of packets that are lost, or changed, in that direction
for (const path of data.paths.filter(path => path.bad)) {
  for (const [from, to] of directions(path)) {
    const key = from + " " + to;
    if (!lost.has(key)) lost.set(key, []);
    lost.get(key).push(path);
  }
}
// The directions in which packets are lost: in both where it is not known in which.
function directions(path) {
  const there = [path.from, path.to], back = [path.to, path.from];
  return path.state === "lost-back" ? [back] : ["lost", "peer-dead"].includes(path.state) ? [there, back] : [there];
}
const losses = (from, to) => (lost.get(from + " " + to) || []).filter(path => !family || path.family === family);
// bad, unknown or open: the worst of the families that the pair has.
function verdict(from, to) {
  if (losses(from, to).length) return "bad";
  const known = between(from, to).filter(path => path.state !== "not known");
  return known.length && known.every(isOpen) ? "open" : "unknown";
}
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "circle", "path", "text", "title", "defs", "marker"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  // Texts become text nodes: nothing that a node says is read as HTML.
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}
const show = (id, ...children) => document.getElementById(id).replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
const cut = (text, length) => { const all = [...text]; return all.length > length ? all.slice(0, length - 1).join("") + "\u2026" : text; };
function ago(then) {
  if (!then || then > data.made || then < 1577836800) return "";
  const s = data.made - then, d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? d + "d" + h + "h" : h ? h + "h" + m + "m" : m ? m + "m" + (s % 60) + "s" : s + "s";
}
const badge = state => make("span", { class: "badge " + state }, WORDS[state] || state);
const link = place => make("button", { class: "link", type: "button", onclick: () => select(place) }, nodes[place].name);
const matches = place => { const text = document.getElementById("search").value.trim().toLowerCase(); return !text || nodes[place].name.toLowerCase().includes(text); };
const segmentTitle = (place, count) => "Segment " + (place + 1) + " \u00b7 " + count + (count === 1 ? " node" : " nodes");
function select(place) {
  const focused = document.activeElement && document.activeElement.getAttribute("data-node");
  selected = selected === place ? -1 : place;
  drawNodes(); drawMatrix(); drawPanel();
  // What had the focus was drawn again.
  if (focused !== null) { const again = document.querySelector('[data-node="' + CSS.escape(focused) + '"]'); if (again) again.focus(); }
}
