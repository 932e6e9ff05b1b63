package admin

import (
	"html/template"
	"strings"
)

// A look is how a state is shown: the tone gives the colour, the mark its shape, so that neither is needed alone.
type look struct{ tone, mark string }

var looks = map[string]look{
	"queued": {"idle", "dot"}, "waiting": {"warn", "pause"}, "scheduled": {"plan", "clock"}, "running": {"busy", "play"},
	"succeeded": {"good", "check"}, "failed": {"bad", "cross"}, "cancelled": {"idle", "slash"},

	// River's own
	"available": {"idle", "dot"}, "pending": {"idle", "dot"}, "retryable": {"warn", "pause"}, "completed": {"good", "check"}, "discarded": {"bad", "cross"},

	"published": {"good", "check"}, "stated": {"idle", "dot"}, "retried": {"bad", "cross"}, "returned": {"warn", "pause"},
	"accepted": {"good", "check"}, "delivered": {"good", "check"}, "verified": {"good", "check"}, "done": {"good", "check"},
	"ok": {"good", "check"}, "enabled": {"good", "check"}, "closed": {"good", "check"}, "online": {"good", "check"}, "active": {"good", "check"}, "admin": {"plan", "dot"},
	"sending": {"busy", "play"}, "deferred": {"warn", "pause"}, "unknown": {"warn", "question"}, "half_open": {"warn", "pause"},
	"paused": {"warn", "pause"}, "late": {"warn", "clock"}, "refused": {"warn", "slash"}, "stale": {"warn", "clock"}, "degraded": {"warn", "question"}, "warning": {"warn", "question"},
	"bounced": {"bad", "cross"}, "complained": {"bad", "cross"}, "suppressed": {"warn", "slash"}, "error": {"bad", "cross"}, "open": {"bad", "cross"},
	"dead": {"bad", "cross"}, "lost": {"bad", "cross"}, "invalid": {"bad", "cross"}, "missing": {"bad", "question"},
	"disabled": {"idle", "slash"}, "away": {"bad", "cross"}, "stopped": {"idle", "slash"}, "orphan": {"warn", "question"}, "read_only": {"idle", "dot"},
}

// badge shows a state. One that is not known looks like nothing in particular.
func badge(v any) template.HTML {
	state := plain(v)
	if state == "" {
		return dash
	}
	l, ok := looks[strings.ToLower(state)]
	if !ok {
		l = look{"idle", "dot"}
	}
	return drawn(state, l)
}

// outcome shows what became of an attempt: there is one way to succeed, and any number of others.
func outcome(v any) template.HTML {
	state := plain(v)
	if _, ok := looks[strings.ToLower(state)]; ok || state == "" {
		return badge(v)
	}
	return drawn(state, look{"bad", "cross"})
}

func drawn(state string, l look) template.HTML {
	return template.HTML(`<span class="badge `+l.tone+`">`) + icon(l.mark) + template.HTML(template.HTMLEscapeString(strings.ReplaceAll(state, "_", " "))+`</span>`)
}

// icons are drawn in 16 by 16, in the colour of the text. They are decoration: a word stands beside each.
var icons = map[string]string{
	"dot":      `<circle cx="8" cy="8" r="3.2" fill="currentColor" stroke="none"/>`,
	"pause":    `<path d="M5.8 4.5v7M10.2 4.5v7"/>`,
	"clock":    `<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3.2l2 1.3"/>`,
	"play":     `<path d="M5.5 4v8l6.5-4z" fill="currentColor"/>`,
	"check":    `<path d="M3.5 8.5l3 3 6-6.5"/>`,
	"cross":    `<path d="M4.5 4.5l7 7M11.5 4.5l-7 7"/>`,
	"slash":    `<circle cx="8" cy="8" r="5.5"/><path d="M4.2 11.8l7.6-7.6"/>`,
	"question": `<path d="M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6"/><path d="M8 12.2v.1"/>`,
	"search":   `<circle cx="7" cy="7" r="4.2"/><path d="M10.2 10.2l3.3 3.3"/>`,
	"menu":     `<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>`,
	"copy":     `<rect x="5.5" y="5.5" width="7.5" height="7.5" rx="1.5"/><path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5"/>`,
	"sun":      `<circle cx="8" cy="8" r="2.8"/><path d="M8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M3.4 12.6l1.1-1.1M11.5 4.5l1.1-1.1"/>`,
	"out":      `<path d="M9.5 3H4.5A1.5 1.5 0 0 0 3 4.5v7A1.5 1.5 0 0 0 4.5 13h5M7 8h6.5M11.2 5.5L13.7 8l-2.5 2.5"/>`,

	"jobs":      `<path d="M5.5 4h8M5.5 8h8M5.5 12h8"/><path d="M2.5 4h.1M2.5 8h.1M2.5 12h.1"/>`,
	"failures":  `<path d="M8 2.5l6 10.8H2z"/><path d="M8 6.5v3M8 11.4v.1"/>`,
	"queues":    `<rect x="2.5" y="3" width="11" height="3" rx="1"/><rect x="2.5" y="8" width="11" height="3" rx="1"/><path d="M4 13.5h8"/>`,
	"kinds":     `<rect x="2.5" y="2.5" width="4.5" height="4.5" rx="1"/><rect x="9" y="2.5" width="4.5" height="4.5" rx="1"/><rect x="2.5" y="9" width="4.5" height="4.5" rx="1"/><rect x="9" y="9" width="4.5" height="4.5" rx="1"/>`,
	"schedules": `<rect x="2.5" y="3.5" width="11" height="10" rx="1.5"/><path d="M2.5 6.8h11M5.5 2v2.5M10.5 2v2.5"/>`,
	"chain":     `<path d="M6.5 9.5l3-3M7 4.5l1.2-1.2a3 3 0 0 1 4.3 4.3L11.2 8.8M9 11.5l-1.2 1.2a3 3 0 0 1-4.3-4.3L4.8 7.2"/>`,
	"events":    `<path d="M9 1.8L3.5 9H8l-1 5.2L12.5 7H8z"/>`,
	"webhooks":  `<path d="M5 10.8a2.6 2.6 0 1 1-1-4.4M8 5l2.4 4.3a2.6 2.6 0 1 1-.6 4M11 10.8H5"/>`,
	"ai":        `<path d="M8 2l1.5 4.5L14 8l-4.5 1.5L8 14l-1.5-4.5L2 8l4.5-1.5z"/>`,
	"mail":      `<rect x="2" y="3.5" width="12" height="9" rx="1.5"/><path d="M2.5 4.5L8 9l5.5-4.5"/>`,
	"backups":   `<ellipse cx="8" cy="4" rx="5" ry="1.8"/><path d="M3 4v8c0 1 2.2 1.8 5 1.8s5-.8 5-1.8V4M3 8c0 1 2.2 1.8 5 1.8S13 9 13 8"/>`,
	"indexes":   `<path d="M2.5 13.5h11M4.5 11V8M8 11V4M11.5 11V6.5"/>`,
	"system":    `<path d="M1.8 8.5h3l1.7-4.7 3 8.4 1.7-3.7h3"/>`,
	"workers":   `<rect x="3.5" y="3.5" width="9" height="9" rx="1.5"/><path d="M6 1.5v2M10 1.5v2M6 12.5v2M10 12.5v2M1.5 6h2M1.5 10h2M12.5 6h2M12.5 10h2"/>`,
	"audit":     `<path d="M4 2.5h6l2.5 2.5v8.5H4z"/><path d="M6 7h4M6 9.5h4"/>`,
	"sessions":  `<circle cx="8" cy="5.5" r="2.6"/><path d="M3 13.5c.5-2.8 2.4-4.2 5-4.2s4.5 1.4 5 4.2"/>`,
	"settings":  `<path d="M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6"/><circle cx="10.2" cy="5" r="1.7"/><circle cx="5.8" cy="11" r="1.7"/>`,
}

func icon(name string) template.HTML {
	drawn, ok := icons[name]
	if !ok {
		drawn = icons["dot"]
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">` + drawn + `</svg>`)
}
