package jobs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// lines are what is kept of what the attempts of a job said, oldest first.
func (s *site) lines(id string) (list []string) {
	s.t.Helper()
	s.scan(&list, `SELECT coalesce(array_agg(line ->> 'level' || ' ' || (line ->> 'message') || ' ' || (line ->> 'attrs') ORDER BY a.id, n), '{}')
		FROM job_attempts a, jsonb_array_elements(a.log) WITH ORDINALITY AS l (line, n) WHERE a.job_id = $1`, id)
	return list
}

// wantLines wants lines that have all of the given words each, and none that has a secret.
func (s *site) wantLines(id string, secrets []string, want ...[]string) {
	s.t.Helper()
	got := s.lines(id)
	if len(got) != len(want) {
		s.t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, words := range want {
		for _, word := range words {
			if !strings.Contains(got[i], word) {
				s.t.Errorf("line %d lacks %q: %s", i, word, got[i])
			}
		}
	}
	for _, secret := range secrets {
		if all := strings.ToLower(strings.Join(got, "\n")); strings.Contains(all, secret) {
			s.t.Errorf("%q is kept:\n%s", secret, all)
		}
	}
}

// Of an answer is kept who was asked and what came of it, and nothing of what was asked and answered.
func TestAnswersSayWhoWasAsked(t *testing.T) {
	t.Parallel()
	secrets := []string{"secretprompt", "secretanswer", "gsk_secret"}
	s := working(t, func(c *inference.Config, d *jobs.Deps) { answering(c, d) })
	s.ollama.Only("/api/chat").Next(faults.Status(500, "secretprompt"), faults.OllamaSays("Here it is: ```{\"n\":1,}``` secretanswer", "stop"))
	s.groq.Only("/chat/completions").Next(faults.GroqSays("secretanswer", "stop"))
	const input = `{"prompt":"secretprompt"}`
	first := s.submit("ai.completion", input)
	s.ends(first, store.Succeeded)
	s.wantLines(first, secrets,
		[]string{"WARN a model did not answer", `"provider": "ollama"`, `"class": "server"`, `"status_code": 500`, `"ms": `},
		[]string{"INFO a model answered", `"provider": "groq"`, `"instead_for": "server"`, `"completion_tokens": `, `"mended": false`})
	again := s.submit("ai.completion", input)
	s.ends(again, store.Succeeded)
	s.wantLines(again, secrets, []string{"INFO the answer was kept from before", `"by": "groq"`, `"model": `})
	mended := s.submit("ai.completion", `{"prompt":"secretprompt","cache":"no-store",`+shape+`}`)
	s.ends(mended, store.Succeeded)
	s.wantLines(mended, secrets, []string{"INFO a model answered", `"provider": "ollama"`, `"mended": true`})
	var rows int
	if s.scan(&rows, `SELECT count(*) FROM job_attempts`); rows != 3 {
		t.Errorf("three answers left %d rows", rows)
	}
}

// Of a mail is kept what the server said about each recipient, who is a number there.
func TestMailSaysWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	m := &postman{answer: func(to string, try int) error {
		switch to {
		case "nobody@example.org":
			return refusal(mail.Rejected, 550, "5.1.1", "<nobody@example.org>: there is no Nobody here")
		case "login@example.org":
			return &mail.Refusal{Class: mail.Channel, Step: mail.StepAuth, Code: 535, Reply: "secret-login", Cause: fmt.Errorf("secret-login")}
		}
		return answers(to, try)
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["asha@example.org","nobody@example.org","grey@example.org","login@example.org"],"subject":"secret-subject","text":"secret-text"}`)
	p.waits(id)
	p.wantLines(id, []string{"@", "asha", "nobody", "secret-"},
		[]string{"INFO the mail server took the mail", `"recipient": 1`, `"code": 250`, `"reply": "2.0.0 Ok: queued as Qa"`, `"queue_id": "Qa"`, `"ms": `},
		[]string{"WARN the mail server refused the mail", `"recipient": 2`, `"class": "`, `"code": 550`, `"status": "5.1.1"`, "there is no [recipient] here"},
		[]string{"INFO the mail server put the mail off", `"recipient": 3`, `"code": 450`, "Greylisted"},
		[]string{"WARN the mail server can't be used", `"recipient": 4`, `"step": "auth"`, `"code": 535`})
}
