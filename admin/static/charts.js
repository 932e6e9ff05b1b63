"use strict";
// Draws the figures of <figure data-chart> with uPlot, in the colours of the theme. Times are the reader's own; the tip
// at the pointer also says UTC.

const charts = (() => {
	const drawn = new Map(); // figure → uPlot
	const dashes = [[], [6, 3], [2, 3], [10, 4, 2, 4], [4, 4], [1, 2]];
	const numbers = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 2 });
	const local = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
	const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

	const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
	const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

	// Hours of a day, or days where there are several.
	const moments = (_, splits, __, ___, step) => splits.map((s) => (step >= 86400 ? day : clock).format(new Date(s * 1000)));

	const colour = (element) => getComputedStyle(element).color;

	// Each value on top of those before it; what is shown at the pointer stays the value itself.
	function stack(values) {
		const sums = values[0].map(() => 0);
		return values.map((line) => line.map((v, i) => (v === null ? null : (sums[i] += v))));
	}

	function tip(plot, data, raw) {
		const box = document.createElement("div");
		box.className = "tip";
		box.hidden = true;
		plot.append(box);
		return (u) => {
			const i = u.cursor.idx;
			box.hidden = i === null || i === undefined || u.cursor.left < 0;
			if (box.hidden) return;
			const at = new Date(data.at[i] * 1000);
			const utc = document.createElement("small");
			utc.textContent = at.toISOString().slice(0, 19).replace("T", " ") + " UTC";
			box.replaceChildren(local.format(at), utc, ...data.series.map((s, n) => {
				const line = document.createElement("div");
				const v = raw[n][i];
				line.textContent = s.name + ": " + (v === null ? "–" : numbers.format(v) + (data.unit ? " " + data.unit : ""));
				return line;
			}));
			const right = u.cursor.left > u.over.clientWidth / 2;
			box.style.left = right ? "60px" : "auto";
			box.style.right = right ? "auto" : "12px";
		};
	}

	function draw(figure) {
		const data = JSON.parse(figure.dataset.chart);
		const plot = figure.querySelector(".plot");
		if (!data.series || data.at.length === 0) return;
		plot.hidden = false;
		plot.replaceChildren();
		const raw = data.series.map((s) => s.values);
		const shown = data.stacked ? stack(raw) : raw;
		const muted = colour(figure.querySelector("summary"));
		const grid = getComputedStyle(figure).borderTopColor;
		const legend = figure.querySelectorAll(".legend li");
		const lines = data.series.map((s, n) => {
			const stroke = colour(legend[n]);
			const bars = s.bars ? { paths: uPlot.paths.bars({ size: [0.7, 40] }), fill: stroke } : {};
			return { label: s.name, stroke, width: 1.75, dash: dashes[n % dashes.length], points: { show: data.at.length === 1 }, spanGaps: false, ...bars };
		});
		const axis = { stroke: muted, font: "11px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false } };
		const u = new uPlot({
			width: plot.clientWidth, height: 150, padding: [8, 8, 0, 0],
			legend: { show: false },
			cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
			scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
			axes: [{ ...axis, grid: { show: false }, size: 26, values: moments }, { ...axis, size: 48, values: (_, vs) => vs.map((v) => short.format(v)) }],
			series: [{}, ...lines],
			hooks: { setCursor: [tip(plot, data, raw)] },
		}, [data.at, ...shown], plot);
		drawn.set(figure, u);
	}

	function forgetGone() {
		for (const [figure, u] of drawn) {
			if (!figure.isConnected) { u.destroy(); drawn.delete(figure); }
		}
	}

	return {
		// all draws those charts of an element that are not drawn yet.
		all(root) {
			forgetGone();
			for (const figure of root.querySelectorAll("figure[data-chart]")) if (!drawn.has(figure)) draw(figure);
		},
		// again draws everything in the colours and the width of now.
		again() {
			for (const [figure, u] of drawn) { u.destroy(); drawn.delete(figure); }
			charts.all(document);
		},
	};
})();

let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(charts.again, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts.again);
