"use strict";
// What pages can do besides being read and sending forms: live updates, keys, selections, copying. Everything here is an
// addition; pages work without it.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- Times: how long ago, kept true; and in the reader's own zone.

const localTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

function rough(s) {
	if (s < 60) return Math.floor(s) + " s";
	if (s < 3600) return Math.floor(s / 60) + " min";
	if (s < 172800) return Math.floor(s / 3600) + " h";
	return Math.floor(s / 86400) + " d";
}

function tellTimes(root) {
	for (const t of $$("time.when:not([data-told])", root)) {
		const at = new Date(t.dateTime);
		t.textContent = localTime.format(at);
		t.title = at.toISOString();
		t.dataset.told = "";
	}
	for (const t of $$("time.ago", root)) {
		const at = new Date(t.dateTime);
		const s = (Date.now() - at) / 1000;
		const text = s < -1 ? "in " + rough(-s) : s < 1 ? "now" : rough(s) + " ago";
		if (t.textContent !== text) t.textContent = text;
		if (!t.dataset.told) { t.title = localTime.format(at) + " · " + at.toISOString(); t.dataset.told = "1"; }
	}
}
setInterval(() => { if (!document.hidden) tellTimes(document); }, 1000);

// ---- Selections: check boxes named id in a table, with a box for all and a range by shift.

const boxes = (root = document) => $$("input[type=checkbox][name=id]", root);
const selected = () => boxes().filter((b) => b.checked);
let lastBox = null;

function tellSelection() {
	const n = selected().length;
	for (const e of $$("[data-selected]")) e.textContent = n;
	for (const e of $$("[data-when-selected]")) e.hidden = n === 0;
	for (const all of $$("input[type=checkbox][data-all]")) {
		const of = boxes(all.closest("table"));
		all.checked = of.length > 0 && of.every((b) => b.checked);
		all.indeterminate = !all.checked && of.some((b) => b.checked);
	}
	tellLive();
}

document.addEventListener("click", (e) => {
	const box = e.target.closest("input[type=checkbox]");
	if (!box) return;
	if (box.matches("[data-all]")) for (const b of boxes(box.closest("table"))) b.checked = box.checked;
	if (box.name === "id") {
		const list = boxes(box.closest("table"));
		const from = list.indexOf(lastBox), to = list.indexOf(box);
		if (e.shiftKey && from >= 0) for (const b of list.slice(Math.min(from, to), Math.max(from, to) + 1)) b.checked = box.checked;
		lastBox = box;
	}
	tellSelection();
});

// ---- Copying.

document.addEventListener("click", async (e) => {
	const button = e.target.closest("button[data-copy]");
	if (!button) return;
	const text = button.dataset.copy || button.parentElement.innerText.trim();
	try {
		await navigator.clipboard.writeText(text);
		button.classList.add("done");
		button.title = "Copied";
	} catch {
		button.title = "The browser does not allow it";
	}
});

// ---- Live updates: the server says what changed, and the part of the page with id "live" is fetched again if it shows
// such things. Nothing moves under the hands of who selects, reads a box or marks text.

const liveButton = $("#livestate");
const live = { source: null, wanted: liveButton?.dataset.choice === "on", since: Date.now(), open: false, pending: false, busy: false, wait: 1000, timer: 0 };
const livePart = () => $("#live[data-live]");

const held = () => {
	const part = livePart();
	const marked = getSelection();
	return selected().length > 0 || $("dialog[open], details.confirm[open]") !== null ||
		(part !== null && marked && !marked.isCollapsed && part.contains(marked.anchorNode)) ||
		(part !== null && $$("input:not([type=hidden]):not([type=checkbox]):not([type=radio]), textarea", part).some((i) => i.value !== i.defaultValue)) ||
		(part !== null && document.activeElement?.matches("input:not([type=checkbox]), textarea, select") && part.contains(document.activeElement));
};

function tellLive() {
	if (!liveButton) return;
	liveButton.hidden = livePart() === null;
	let state = "live", text = "Live";
	if (!live.wanted) [state, text] = ["paused", "Paused"];
	else if (held()) [state, text] = ["paused", "Paused meanwhile"];
	else if (!live.open && Date.now() - live.since > 5000) [state, text] = ["stale", "Stale since " + new Date(live.since).toLocaleTimeString()];
	if (liveButton.dataset.state !== state) liveButton.dataset.state = state;
	if ($("#livetext").textContent !== text) $("#livetext").textContent = text;
}

function listen() {
	clearTimeout(live.timer);
	if (live.source || !live.wanted || document.hidden || livePart() === null) return;
	const source = live.source = new EventSource("/admin/live");
	source.addEventListener("open", () => { live.open = true; live.wait = 1000; tellLive(); });
	source.addEventListener("changed", (e) => {
		live.since = Date.now();
		const { what } = JSON.parse(e.data);
		const shown = (livePart()?.dataset.live || "").split(" ");
		if (what.some((w) => shown.includes(w))) live.pending = true;
		refresh();
	});
	// The server says so every few seconds, whether or not anything changed.
	source.addEventListener("beat", () => { live.since = Date.now(); refresh(); });
	source.addEventListener("error", () => {
		hush();
		// A stream doesn't say why it ended. Where it was the session, the page finds out when it is fetched.
		live.timer = setTimeout(() => { live.pending = true; refresh(); listen(); }, live.wait + Math.random() * 500);
		live.wait = Math.min(live.wait * 2, 30000);
		tellLive();
	});
}

function hush() {
	live.source?.close();
	live.source = null;
	live.open = false;
}

function refresh() {
	tellLive();
	if (!live.pending || live.busy || !live.wanted || document.hidden || held()) return;
	live.pending = false;
	live.busy = true;
	htmx.ajax("GET", location.pathname + location.search, { source: "#live", target: "#live", select: "#live", swap: "outerHTML" })
		.catch(() => {}).finally(() => { live.busy = false; });
}

function pauseOrGoOn() {
	live.wanted = !live.wanted;
	document.cookie = "payaid_live=" + (live.wanted ? "on" : "off") + "; path=/admin; max-age=31536000; samesite=strict";
	if (live.wanted) { live.since = Date.now(); live.pending = true; listen(); refresh(); } else hush();
	tellLive();
}
liveButton?.addEventListener("click", pauseOrGoOn);

document.addEventListener("visibilitychange", () => {
	if (document.hidden) return hush();
	live.pending = live.wanted;
	tellTimes(document);
	listen();
	refresh();
});
// A page that waits in the browser's history must not hold a connection.
addEventListener("pagehide", hush);
addEventListener("pageshow", (e) => { if (e.persisted) listen(); });
setInterval(tellLive, 1000);

// What was open stays open, and the row that one is at stays it.
let remembered = null;
document.addEventListener("htmx:beforeSwap", (e) => {
	if (e.detail.target.id !== "live") return;
	if (e.detail.xhr.status >= 400) return;
	if (held()) { // since it was asked for
		e.detail.shouldSwap = false;
		live.pending = true;
		return;
	}
	remembered = { open: new Map($$("details[id]", e.detail.target).map((d) => [d.id, d.open])), at: rows().findIndex((r) => r.classList.contains("at")) };
});
document.addEventListener("htmx:afterSettle", () => {
	for (const [id, open] of remembered?.open ?? []) { const d = document.getElementById(id); if (d) d.open = open; }
	if (remembered && remembered.at >= 0) rows()[remembered.at]?.classList.add("at");
	remembered = null;
	enhance($("#main"));
});

// ---- Keys.

const rows = () => $$("[data-list] tbody tr, [data-list] > li");

function move(by) {
	const list = rows();
	if (list.length === 0) return;
	const from = list.findIndex((r) => r.classList.contains("at"));
	const to = from < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(from + by, 0), list.length - 1);
	for (const r of list) r.classList.toggle("at", r === list[to]);
	list[to].scrollIntoView({ block: "nearest" });
	$("a[href]", list[to])?.focus({ preventScroll: true });
}

const here = () => rows().find((r) => r.classList.contains("at"));

const keys = {
	"/": () => { $("#find")?.focus(); $("#find")?.select(); },
	"?": () => $("#help")?.showModal(),
	".": () => { if (livePart()) pauseOrGoOn(); },
	j: () => move(1),
	k: () => move(-1),
	x: () => { const box = here() && $("input[name=id]", here()); if (box) { box.checked = !box.checked; lastBox = box; tellSelection(); } },
	n: () => $(".pager a[rel=next]")?.click(),
	p: () => $(".pager a:not([rel])")?.click(),
};

let after = ""; // the key before, if it was g
document.addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || e.defaultPrevented) return;
	if (e.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]")) {
		if (e.key === "Escape") e.target.blur();
		return;
	}
	if ($("dialog[open]")) return;
	const before = after;
	after = "";
	if (before === "g") {
		const link = $(`[data-go="${CSS.escape(e.key)}"]`);
		if (link) { e.preventDefault(); link.click(); }
		return;
	}
	if (e.key === "g") { after = "g"; setTimeout(() => { after = ""; }, 1500); return; }
	if (e.key === "Enter" && here() && e.target === document.body) { $("a[href]", here())?.click(); return; }
	if (e.key === "Escape") { for (const d of $$("details.confirm[open]")) d.open = false; tellLive(); return; }
	if (keys[e.key]) { e.preventDefault(); keys[e.key](); return; }
	const marked = e.key.length === 1 ? $(`[data-key="${CSS.escape(e.key)}"]`) : null;
	if (marked) { e.preventDefault(); marked.click(); $("button", marked.parentElement.querySelector(".box") ?? marked)?.focus(); }
});

// ---- All of it, for a page or a part that came later.

function enhance(root) {
	for (const b of $$("button[data-copy]", root)) b.hidden = false;
	tellTimes(root);
	tellSelection();
	charts.all(root);
}

document.addEventListener("DOMContentLoaded", () => { enhance(document); listen(); });
document.addEventListener("toggle", tellLive, true);
