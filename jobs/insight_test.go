package jobs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// held has the next question to the model wait, once it was asked, until release.
func (s *site) held(answer faults.Fault) (asked chan struct{}, release func()) {
	asked, open := make(chan struct{}), make(chan struct{})
	s.ollama.Next(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		close(asked)
		<-open
		answer(w, r, pass)
	})
	return asked, func() { close(open) }
}

// saysScore is a model's answer to ai.lead_score.
func saysScore(score int) faults.Fault {
	return faults.OllamaSays(fmt.Sprintf(`{"reason":"x","score":%d,"stage":"warm","nurture_action":"Call.","predicted_mrr":0}`, score), "stop")
}

func (s *site) scoreAnew(contact string) (job string) {
	return s.submit("ai.lead_score", fmt.Sprintf(`{"contact_id":%q,"cache":"no-store"}`, contact))
}

// A job that looked at the records first and ends last gives its answer, and leaves alone what is newer.
func TestOlderLookNeverReplacesNewer(t *testing.T) {
	t.Parallel()
	s := working(t)
	contact := s.contact("Asha Rao", nil)
	asked, release := s.held(saysScore(10))
	older := s.scoreAnew(contact)
	<-asked
	s.ollama.Next(saysScore(90))
	newer := s.scoreAnew(contact)
	s.answer(newer)
	release()
	var said rating
	if err := json.Unmarshal(s.answer(older).JSON, &said); err != nil || said.Score != 10 {
		t.Errorf("the older job says %+v, %v; want its own answer", said, err)
	}
	var score, version, events int
	var by string
	s.scan(&score, `SELECT lead_score FROM contacts WHERE id = $1`, contact)
	s.scan(&version, `SELECT version FROM contacts WHERE id = $1`, contact)
	s.scan(&by, `SELECT job_id::text FROM ai_insights WHERE contact_id = $1`, contact)
	s.scan(&events, `SELECT count(*) FROM outbox WHERE type IN ('insight.updated', 'contact.updated')`)
	if score != 90 || version != 2 || by != newer || events != 2 {
		t.Errorf("score %d in version %d, insight by %s, %d events; want the newer job's %s alone: 90, 2", score, version, by, events, newer)
	}
}

// A contact that is deleted while the model thinks about it: the job has its answer, and nobody keeps it.
func TestContactIsDeletedWhileItIsRated(t *testing.T) {
	t.Parallel()
	s := working(t)
	c := s.client()
	contact := s.contact("Asha Rao", nil)
	asked, release := s.held(saysScore(50))
	job := s.scoreAnew(contact)
	<-asked
	c.ask("DELETE", "/api/contacts/"+contact, "", nil)
	release()
	if j := s.ends(job, store.Succeeded); j.Attempt != 1 {
		t.Errorf("it took %d attempts", j.Attempt)
	}
	var kept, told int
	s.scan(&kept, `SELECT count(*) FROM ai_insights`)
	s.scan(&told, `SELECT count(*) FROM outbox WHERE type IN ('insight.updated', 'contact.updated')`)
	if kept != 0 || told != 0 {
		t.Errorf("%d insights are kept and %d facts told about a contact that is gone", kept, told)
	}
}

// A contact that is deleted afterwards takes its insights along, by a request that may delete none.
func TestDeletedContactTakesItsInsights(t *testing.T) {
	t.Parallel()
	s := working(t)
	c := s.client()
	contact := s.contact("Asha Rao", nil)
	s.answer(s.scoreAnew(contact))
	c.ask("DELETE", "/api/contacts/"+contact, "", nil)
	var list struct{ Data []any }
	if c.ask("GET", "/api/ai/insights", "", &list); len(list.Data) != 0 {
		t.Errorf("left are %v", list.Data)
	}
}

// A model's answer from the cache says whose it is, also where it is the first that is kept about the contact.
func TestInsightFromTheCacheIsItsModels(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	contact := about("contact", s.contact("Asha Rao", nil))
	s.answer(s.submit("ai.churn_risk", contact))
	s.exec(`DELETE FROM ai_insights`)
	if a := s.answer(s.submit("ai.churn_risk", contact)); a.Provider != "cache" {
		t.Fatalf("it is answered by %s", a.Provider)
	}
	var kept, told string
	s.scan(&kept, `SELECT provider FROM ai_insights`)
	s.scan(&told, `SELECT data->>'provider' FROM outbox WHERE type = 'insight.updated' ORDER BY id DESC LIMIT 1`)
	if kept != "ollama" || told != "ollama" {
		t.Errorf("kept as %s's, told as %s's; want ollama's", kept, told)
	}
}

// Rules say what they say, and leave a model's score of the same day alone.
func TestRulesLeaveAModelsScore(t *testing.T) {
	t.Parallel()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	contact := s.contact("Asha Rao", nil)
	s.ollama.Next(saysScore(90))
	s.answer(s.scoreAnew(contact))
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	want := func(score int, by string) {
		t.Helper()
		if a := s.answer(s.scoreAnew(contact)); a.Provider != "rules" {
			t.Fatalf("it is answered by %s", a.Provider)
		}
		var got int
		var provider string
		s.scan(&got, `SELECT lead_score FROM contacts`)
		s.scan(&provider, `SELECT provider FROM ai_insights`)
		if got != score || provider != by {
			t.Errorf("the score is %d by %s, want %d by %s", got, provider, score, by)
		}
	}
	want(90, "ollama")
	s.exec(`UPDATE ai_insights SET facts_at = facts_at - interval '25 hours'`)
	want(0, "rules")
}
