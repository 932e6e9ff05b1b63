"use strict";
// The live stream of a job: what a model writes, as it writes it. It is content, so it begins when somebody asks for it.
document.addEventListener("click", (e) => {
	const start = e.target.closest("[data-follow-start]");
	if (!start) return;
	const section = start.closest("[data-follow]");
	const text = section.querySelector("[data-follow-text]");
	const provider = section.querySelector("[data-follow-provider]");
	const source = new EventSource(section.dataset.follow);
	const data = (event) => JSON.parse(event.data);
	start.hidden = true;
	text.hidden = false;
	source.addEventListener("token", (event) => { text.textContent += data(event).text; text.scrollTop = text.scrollHeight; });
	source.addEventListener("reset", (event) => { text.textContent = ""; provider.textContent = `Begins anew: ${data(event).reason}`; });
	source.addEventListener("provider", (event) => {
		const p = data(event);
		provider.textContent = `${p.provider} ${p.model}${p.reason ? ` (${p.reason})` : ""}`;
	});
	source.addEventListener("done", (event) => { source.close(); provider.textContent = `Ended: ${data(event).status}`; });
});
for (const section of document.querySelectorAll("[data-follow]")) section.hidden = false;
