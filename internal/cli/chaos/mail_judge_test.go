package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A sent is a recipient as our tables have it.
type sent struct {
	Mail, Policy, Address, State, Job string
	Unknown, Resent                   int // lines of the timeline
}

const selectSent = `
SELECT m.id::text AS mail, m.on_unknown AS policy, r.address, r.state, j.status AS job,
       (SELECT count(*) FROM mail_events e WHERE e.message_id = m.id AND e.position = r.position AND e.type = 'unknown') AS unknown,
       (SELECT count(*) FROM mail_events e WHERE e.message_id = m.id AND e.position = r.position AND e.type = 'resent') AS resent
FROM mail_messages m JOIN mail_recipients r ON r.message_id = m.id JOIN jobs j ON j.id = m.id ORDER BY m.id, r.position`

// wrong says what is wrong with a recipient whose mail the server has accepted n times.
func (s sent) wrong(n int) string {
	switch {
	case s.Resent > s.Unknown:
		return "sent again though it was known"
	case n > 1+s.Resent:
		return "twice"
	case s.Policy == "hold" && s.Resent > 0:
		return "sent again though it was to be held"
	case s.State == "accepted" && n == 0:
		return "lost: the server doesn't have it"
	case s.State == "accepted" && s.Job != "succeeded":
		return "accepted, and the job did not succeed"
	case s.State == "unknown" && s.Policy == "hold" && s.Unknown > 0:
		return "" // told
	case s.State != "accepted":
		return "lost: it was given up"
	}
	return ""
}

// judge holds the server's log against our tables.
func (p *post) judge(t *testing.T, fought, settled time.Duration) {
	t.Helper()
	ctx := within(t, time.Minute)
	accepted := make(map[string]int)
	for _, m := range p.postfix.Accepted() {
		accepted[m.MessageID+" "+m.To]++
	}
	rows, err := p.pool.Query(ctx, selectSent)
	must(t, "read the mails", err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[sent])
	must(t, "read the mails", err)
	count := make(map[string]int)
	there := make(map[string]bool)
	for _, s := range all {
		key := s.Mail + "@example.com " + s.Address
		n := accepted[key]
		delete(accepted, key)
		there[s.Mail] = true
		if wrong := s.wrong(n); wrong != "" {
			t.Errorf("%s: the server accepted it %d times: %+v", wrong, n, s)
			count["wrong"]++
		}
		count["recipients"]++
		if s.Policy == "hold" {
			count["of which not to be sent again"]++
		}
		count["unknown at a time"] += min(1, s.Unknown)
		count["sent again, by policy"] += s.Resent
		if n > 1 {
			count["which the server has twice or more, each of them told as unknown"]++
		}
		if s.State == "unknown" {
			count[fmt.Sprintf("left unknown; the server has it %d times", n)]++
		}
	}
	for key := range accepted {
		t.Errorf("the server has %s, of which we know nothing", key)
	}
	for id := range p.load.accepted {
		if !there[id] {
			t.Errorf("mail %s is lost", id)
		}
	}
	p.tell(t, count, fought, settled)
}

func (p *post) tell(t *testing.T, count map[string]int, fought, settled time.Duration) {
	t.Helper()
	var table strings.Builder
	row := func(what string, value any) { fmt.Fprintf(&table, "  %-70s %v\n", what, value) }
	for i, b := range boundaries {
		row("kill -9 "+b.name, (*mailKillsFlag+len(boundaries)-1-i)/len(boundaries))
	}
	row("workers killed", p.dead.Load())
	row("mails", len(p.load.accepted))
	for _, what := range []string{"recipients", "of which not to be sent again", "unknown at a time", "sent again, by policy",
		"which the server has twice or more, each of them told as unknown", "left unknown; the server has it 0 times",
		"left unknown; the server has it 1 times", "wrong"} {
		row(what, count[what])
	}
	row("under fire for", fought.Round(time.Second))
	row("all ended after another", settled.Round(time.Second))
	t.Logf("\n%s", table.String())
}
