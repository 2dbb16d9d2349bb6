"use strict";
// The page of a fleet's judgement. All that machines say is put in as text, never as markup. A row of the matrix is made
// when it comes into view of the filters, its details when it is opened: 1,000 machines stay quick.

const page = JSON.parse(document.getElementById("data").textContent);
const STEP = { rows: 100, machines: 100, differences: 20 };
const VERDICTS = { different: "Different", explained: "Explained", equal: "Equal", unjudged: "Not judged" };
const [SECTION, KEY, WHAT, A, B, REASON] = [0, 1, 2, 3, 4, 5];
const at = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

function make(tag, about, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...inside.filter((each) => each !== null));
  return node;
}

// What is searched: lower case, each difference once however many states have it.
const text = page.differences.map((row) =>
  [...row.slice(SECTION, REASON), page.lines[row[REASON]] ?? ""].join("\n").toLowerCase());

const unexplained = (row) => row.causes.reduce((sum, [, those]) => sum + those.length, 0);
const rows = [
  ...page.states.map((state, number) => ({
    ...state, number,
    causes: state.causes.map(([line, those]) => [page.lines[line], those]),
    differences: [...state.causes.flatMap(([, those]) => those), ...state.explained],
    verdict: state.causes.length ? "different" : state.explained.length ? "explained" : "equal",
  })),
  ...page.unread.map(([name, why], number) => ({
    machines: [name], why, differences: [], causes: [], left_out: [], notes: [], verdict: "unjudged",
    number: page.states.length + number,
  })),
];
const order = Object.keys(VERDICTS);
rows.sort((one, other) => order.indexOf(one.verdict) - order.indexOf(other.verdict)
  || unexplained(other) - unexplained(one) || other.machines.length - one.machines.length);
const total = rows.reduce((sum, row) => sum + row.machines.length, 0);

const chosen = { verdict: "", section: "", words: [] };
const opened = new Set();
let found = [];
let shown = 0;

// What of a row the filters leave: null, or its machines and differences.
function filtered(row, hits) {
  if (chosen.verdict && row.verdict !== chosen.verdict) return null;
  let { machines, differences } = row;
  if (chosen.words.length) {
    const named = machines.filter((name) => chosen.words.every((word) => name.toLowerCase().includes(word)));
    const why = row.why && chosen.words.every((word) => row.why.toLowerCase().includes(word));
    const hit = differences.filter((each) => hits[each]);
    if (named.length) machines = named;
    else if (hit.length) differences = hit;
    else if (!why) return null;
  }
  if (chosen.section) {
    differences = differences.filter((each) => page.differences[each][SECTION] === chosen.section);
    if (!differences.length) return null;
  }
  return { row, machines, differences };
}

function update() {
  const hits = text.map((each) => chosen.words.every((word) => each.includes(word)));
  found = rows.map((row) => filtered(row, hits)).filter((each) => each);
  shown = 0;
  at("rows").replaceChildren();
  if (found.length) showMore();
  else {
    at("rows").append(make("tr", { class: "empty", role: "row" },
      make("td", { role: "cell", colspan: page.sections.length + 3 }, "No machine fits these filters. Escape in the search clears it.")));
    at("more").replaceChildren();
  }
  const machines = found.reduce((sum, each) => sum + each.machines.length, 0);
  at("status").textContent = `${count(machines)} of ${many(total, "machine")}, in ${many(found.length, "state")}`;
}

function showMore(step = STEP.rows) {
  const next = found.slice(shown, shown + step);
  shown += next.length;
  const first = next.map(rowOf)[0];
  const left = found.length - shown;
  at("more").replaceChildren();
  if (left) {
    at("more").append(make("button", { type: "button", onclick: () => showMore().focus() },
      moreOf(left, STEP.rows)));
  }
  return first;
}

const moreOf = (left, step) =>
  left > step ? `Show ${count(step)} more of the other ${count(left)}` : `Show the other ${count(left)}`;

// One row of the matrix; returns its button.
function rowOf({ row, machines, differences }) {
  const id = `state-${row.number}`;
  const others = machines.length - 1;
  const open = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": id },
    make("span", { class: "name" }, machines[0]),
    others ? make("small", {}, `and ${many(others, "other")}`) : null);
  const line = make("tr", { class: "state", role: "row" },
    make("th", { role: "rowheader", scope: "row" }, open),
    make("td", { class: "number", role: "cell" }, count(machines.length)),
    make("td", { class: "verdict", role: "cell" }, badge(row.verdict)));
  const detail = make("tr", { class: "detail", role: "row", id, hidden: true });
  const set = (wanted) => {
    if (wanted && !detail.firstChild) detail.append(detailOf({ row, machines, differences }));
    detail.hidden = !wanted;
    open.setAttribute("aria-expanded", wanted);
    opened[wanted ? "add" : "delete"](row.number);
  };
  open.addEventListener("click", () => set(detail.hidden));
  detail.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    set(false);
    open.focus();
  });
  open.addEventListener("keydown", (event) => {
    if (event.key === "Escape") set(false);
  });

  const counts = new Map();
  for (const each of differences) {
    const [section, reason] = [page.differences[each][SECTION], page.differences[each][REASON]];
    const both = counts.get(section) ?? [0, 0];
    both[reason < 0 ? 0 : 1] += 1;
    counts.set(section, both);
  }
  const leftOut = new Map(row.left_out);
  for (const section of page.sections) {
    const [bad, good] = counts.get(section) ?? [0, 0];
    const cell = make("td", { class: `cell${bad + good ? "" : " blank"}`, role: "cell" });
    if (bad + good) {
      const said = [bad ? `${bad} unexplained` : "", good ? `${good} explained` : ""].filter((each) => each).join(", ");
      cell.append(make("button", { type: "button", tabindex: "-1", "aria-label": `${section}: ${said}`,
        onclick: () => { set(true); goTo(detail, section); } },
        make("span", { class: "label" }, section), bad ? make("b", {}, count(bad)) : null,
        good ? make("i", {}, `+${count(good)}`) : null));
    } else if (leftOut.has(section) || row.why) {
      cell.append(make("span", { class: "none", title: leftOut.get(section) ?? row.why }, "–",
        make("span", { class: "unseen" }, "not compared")));
    }
    line.append(cell);
  }
  at("rows").append(line, detail);
  if (opened.has(row.number) || rows.length === 1) set(true);
  return open;
}

const badge = (verdict) => make("span", { class: `badge ${verdict}` }, VERDICTS[verdict]);

// To the first differences of a section: those with one cause, else those with one reason.
function goTo(detail, section) {
  const group = [...detail.querySelectorAll("details")].find((each) => each.sections.has(section));
  group.unfold();
  const row = [...group.querySelectorAll("[data-section]")].find((each) => each.dataset.section === section);
  (row ?? group.firstChild).focus();
  group.scrollIntoView({ block: "center" });
}

// All that is said of a state: its machines, its differences by section, explained ones by reason, notes.
function detailOf({ row, machines, differences }) {
  const inside = make("div", { class: "inside" });
  if (row.why) inside.append(make("p", {}, row.why));
  else {
    inside.append(make("p", { class: "meta" }, `${row.scope === "rest" ? "at rest" : row.scope} · `,
      make("span", { class: "mono" }, row.digest), ` · ${many(row.facts, "fact")} compared`));
  }
  if (machines.length > 1) {
    const list = make("ul", { class: "hosts" });
    inside.append(make("div", {}, make("h3", {}, many(machines.length, "equal machine")), list));
    byAndBy(list, machines, STEP.machines, (name) => make("li", {}, name), inList);
  }
  const names = [page.reference.name, machines.length > 1 ? "these machines" : machines[0]];
  const bad = differences.filter((each) => page.differences[each][REASON] < 0);
  const good = differences.filter((each) => page.differences[each][REASON] >= 0);
  const filteredOut = differences.length < row.differences.length;
  if (filteredOut) {
    inside.append(make("p", { class: "meta" },
      `Filtered: ${count(differences.length)} of ${many(row.differences.length, "difference")}`));
  }
  if (bad.length) {
    const wanted = new Set(bad);
    const causes = row.causes.map(([cause, those]) => [cause, those.filter((each) => wanted.has(each))])
      .filter(([, those]) => those.length);
    inside.append(make("div", {}, make("h3", {}, `${many(bad.length, "unexplained difference")}, ${many(causes.length, "cause")}`),
      ...causes.map(([cause, those]) => folded("cause", [cause], those, names, filteredOut || causes.length === 1))));
  }
  if (good.length) {
    const reasons = grouped(good, (each) => `${page.differences[each][SECTION]} ${page.differences[each][REASON]}`);
    inside.append(make("div", {}, make("h3", {}, `${many(good.length, "difference")} explained by policy`),
      ...[...reasons.values()].map((those) => {
        const [section, reason] = [page.differences[those[0]][SECTION], page.differences[those[0]][REASON]];
        return folded("reason", [make("b", {}, count(those.length)), " ", make("small", {}, section), ` ${page.lines[reason]}`],
          those, names, false);
      })));
  }
  if (!differences.length && !row.why) inside.append(make("p", {}, "No difference at all."));
  const notes = [...row.left_out.map(([section, why]) => `Not compared: ${section}: ${why}`),
    ...row.notes];
  if (notes.length) {
    const list = make("ul", {});
    inside.append(make("div", { class: "notes" }, list));
    byAndBy(list, notes, STEP.machines, (note) => make("li", {}, note), inList);
  }
  return make("td", { role: "cell", colspan: page.sections.length + 3 }, inside);
}

const inList = (button) => make("li", { class: "bare" }, button);

function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

// Differences with one cause or reason: a line that unfolds. The table is made when it does.
function folded(name, line, numbers, names, open) {
  const node = make("details", { class: name }, make("summary", {}, ...line));
  node.sections = new Set(numbers.map((each) => page.differences[each][SECTION]));
  node.unfold = () => {
    node.open = true;
    if (node.children.length === 1) node.append(listOf(numbers, names));
  };
  node.addEventListener("toggle", () => { if (node.open) node.unfold(); });
  if (open) node.unfold();
  return node;
}

function listOf(numbers, names) {
  const head = [["what", "What"], ["", `A: ${names[0]}`], ["", `B: ${names[1]}`]].map(([name, title]) =>
    make("th", { role: "columnheader", scope: "col", class: name }, title));
  const body = make("tbody", { role: "rowgroup" });
  const table = make("table", { class: "list", role: "table", "aria-label": "Differences" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)), body);
  const side = (name, value) => make("td", { role: "cell" }, make("span", { class: "side" }, `${name}: `),
    make("span", { class: "mono" }, value));
  byAndBy(body, numbers, STEP.differences, (number) => {
    const row = page.differences[number];
    return make("tr", { role: "row", tabindex: "-1", "data-section": row[SECTION] },
      make("td", { class: "what", role: "cell" }, make("small", {}, `${row[SECTION]} `),
        make("span", { class: "mono" }, row[KEY]), row[WHAT] ? make("em", {}, ` ${row[WHAT]}`) : null),
      side(names[0], row[A]), side(names[1], row[B]));
  }, (button) => make("tr", { role: "row" }, make("td", { role: "cell", colspan: 3 }, button)));
  return table;
}

// Some now, the rest when it is asked for, by a button at the end of the list.
function byAndBy(list, items, step, makeOne, wrap) {
  let done = 0;
  const more = make("button", { type: "button", class: "again", onclick: () => add(step * 5).focus(),
    onwhole: () => add(items.length) });
  const holder = wrap(more);
  const add = (number) => {
    const next = items.slice(done, done + number).map(makeOne);
    done += next.length;
    holder.remove();
    list.append(...next);
    const left = items.length - done;
    if (left) {
      more.textContent = moreOf(left, step * 5);
      list.append(holder);
    }
    if (next[0]) next[0].tabIndex = -1;
    return next[0];
  };
  add(step);
}

function fact(name, value, className = "") {
  return value ? make("div", {}, make("dt", {}, name), make("dd", { class: className }, value)) : "";
}

function setUp() {
  const { reference } = page;
  at("facts").append(
    fact("Reference (A)", `${reference.name}${reference.scope ? ` (${reference.scope === "rest" ? "at rest" : reference.scope})` : ""}`),
    fact("Digest", reference.digest.replace("sha256:", "").slice(0, 12), "mono"), fact("Policy", page.policy),
    fact("Made", page.made), fact("Goldsmith", page.version));

  const machines = Object.fromEntries(order.map((verdict) => [verdict,
    rows.filter((row) => row.verdict === verdict).reduce((sum, row) => sum + row.machines.length, 0)]));
  for (const verdict of ["", ...order]) {
    const number = verdict ? machines[verdict] : total;
    if (verdict && !number) continue;
    if (verdict) {
      const part = make("span", { class: verdict });
      part.style.flexGrow = number;
      at("bar").append(part);
    }
    const input = make("input", { type: "radio", name: "verdict", value: verdict, checked: !verdict,
      onchange: () => { chosen.verdict = verdict; update(); } });
    at("verdicts").append(make("label", {}, input,
      make("span", { class: verdict }, verdict ? VERDICTS[verdict] : "All", make("b", {}, ` ${count(number)}`))));
  }
  for (const section of page.sections) at("section").append(make("option", { value: section }, section));
  at("section").addEventListener("change", (event) => { chosen.section = event.target.value; update(); });
  at("search").addEventListener("input", search);

  at("head").append(make("tr", { role: "row" },
    ...[["", "Machines of one state"], ["number", "Machines"], ["", "Verdict"]].map(([name, title]) =>
      make("th", { role: "columnheader", scope: "col", class: name }, title)),
    ...page.sections.map((section) => make("th", { role: "columnheader", scope: "col", class: "section" },
      make("span", {}, section)))));
  at("legend").append(make("b", {}, "3"), " unexplained · ", make("i", {}, "+5"), " explained by policy · – not compared ",
    make("span", { class: "keys" }, "· ", make("kbd", {}, "/"),
      " search · arrow keys move in the matrix · Enter opens · Escape closes"));

  const notes = [];
  if (page.alike.length) notes.push(`No difference on any machine: ${page.alike.join(", ")}.`);
  for (const [rule, why] of page.unused) notes.push(`Rule that fitted nothing: ${rule} (${why})`);
  for (const note of notes) at("notes").append(make("p", {}, note));
  at("bar").before(...page.shared.map((each) => make("details", { class: each.reason === null ? "clone" : "" },
    make("summary", {}, make("strong", {}, each.reason === null ? "Cloned identity: " : "Shared identity: "),
      make("code", {}, each.key), ` is the same on ${many(each.machines.length, "machine")}`,
      each.reason === null ? null : `: ${each.reason}`),
    make("p", { class: "meta" }, each.machines.join(", ")))));

  // Headings stay in view while rows scroll, where the matrix needs no scrolling of its own.
  const fit = () => {
    const matrix = at("machines");
    matrix.classList.remove("fits");
    matrix.classList.toggle("fits", at("matrix").scrollWidth <= matrix.clientWidth);
    matrix.tabIndex = matrix.classList.contains("fits") ? -1 : 0;
  };
  addEventListener("resize", fit);
  // Nothing is left out on paper because nobody asked for it on the screen.
  addEventListener("beforeprint", () => {
    showMore(found.length);
    for (const cause of document.querySelectorAll(".detail:not([hidden]) .cause")) cause.unfold();
    for (const button of document.querySelectorAll(".again")) button.dispatchEvent(new Event("whole"));
  });
  update();
  fit();
}

function search() {
  chosen.words = at("search").value.toLowerCase().split(/\s+/).filter((word) => word);
  update();
}

document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "/" && !target.matches("input[type=search], select")) {
    event.preventDefault();
    at("search").focus();
  }
  if (key === "Escape" && target === at("search")) {
    event.preventDefault();
    target.value = "";
    search();
  }
});

// Arrow keys among the buttons of the matrix: of a row left and right, of a column up and down.
at("rows").addEventListener("keydown", (event) => {
  const line = event.target.closest(".state");
  if (!line || !event.key.startsWith("Arrow")) return;
  const cell = event.target.closest("th, td");
  const column = [...line.children].indexOf(cell);
  const step = event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1;
  const inLine = event.key === "ArrowLeft" || event.key === "ArrowRight";
  const buttons = inLine ? [...line.querySelectorAll("button")]
    : [...at("rows").querySelectorAll(`.state > :nth-child(${column + 1}) button`)];
  const next = buttons[buttons.indexOf(event.target) + step];
  event.preventDefault();
  next?.focus();
});

setUp();
