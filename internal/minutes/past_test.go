package minutes

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

// worker is a recorder of a process that works.
func worker(t *testing.T, r *Recorder) *Recorder {
	t.Helper()
	r.process.Role = "worker"
	return r
}

// at makes it a moment by the clock of the board, for all.
func at(t *testing.T, shift time.Duration, all ...*Recorder) {
	t.Helper()
	for _, r := range all {
		r.board.shift = func() time.Duration { return shift }
		r.leave(t.Context())
		r.leave(t.Context()) // by the clock that the first has read
	}
}

// What two processes counted in a minute is summed up, by queue and by kind, once the minute is over and not before.
func TestMinutesThatAreOver(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := worker(t, recorder(t, o, "a")), worker(t, recorder(t, o, "b"))
	at(t, 0, a, b)
	for _, r := range []*Recorder{a, b} {
		r.Job(Job{Queue: "mail", Kind: "mail.send", Outcome: "succeeded", Wait: time.Second, Took: 2 * time.Second})
		r.Job(Job{Queue: "mail", Kind: "mail.send", Outcome: "lost", Took: -1})
		r.leave(t.Context())
	}
	b.Job(Job{Queue: "mail", Outcome: "failed", Took: time.Second}) // as a process counts that knows of no kinds
	b.leave(t.Context())
	begun := b.minuteAt(time.Since(b.began))
	if list, err := a.Past(t.Context(), 3); err != nil || len(list) != 3 || len(list[2].Queues) != 0 || list[2].At.Unix()/60 >= begun {
		t.Fatalf("before the minute is over: got %+v, %v", list, err)
	}
	at(t, 2*time.Minute, a, b)
	list, err := a.Past(t.Context(), 5)
	if err != nil || len(list) != 5 {
		t.Fatalf("got %d minutes, %v", len(list), err)
	}
	var found int
	for _, m := range list {
		if m.At.Unix()/60 != begun {
			if len(m.Queues) != 0 {
				t.Errorf("%s has %+v", m.At, m.Counts)
			}
			continue
		}
		found++
		mail, send := m.Queues["mail"], m.Kinds["mail.send"]
		if mail.Outcomes["succeeded"] != 2 || mail.Outcomes["lost"] != 2 || mail.Outcomes["failed"] != 1 || mail.Waits.Count != 3 {
			t.Errorf("of the queue got %+v", mail)
		}
		if send.Queue != "mail" || send.Outcomes["succeeded"] != 2 || send.Outcomes["failed"] != 0 || send.Times.Count != 2 {
			t.Errorf("of the kind got %+v", send)
		}
	}
	if found != 1 {
		t.Errorf("the minute is there %d times", found)
	}
	// Reading must not add to what is remembered.
	if again, _ := a.Past(t.Context(), 5); again[len(again)-1].Counts.Queues["mail"].Outcomes["lost"] > 2 {
		t.Error("what was read was counted again")
	}
}

// A minute in which no worker is known to have lived is not one in which nothing happened.
func TestMinutesThatNobodyWorked(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a := recorder(t, o, "a") // of an api: it works nothing
	at(t, 0, a)
	now := time.Now().Truncate(time.Minute)
	lived := Process{ID: "w", Role: "worker", StartedAt: now.Add(-5*time.Minute - time.Second), At: now.Add(-3*time.Minute + time.Second)}
	sign, err := json.Marshal(lived)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.board.client.HSet(t.Context(), keyOfProcesses, "w", sign).Err(); err != nil {
		t.Fatal(err)
	}
	list, err := a.Past(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	var worked []time.Duration
	for _, m := range list {
		if m.Worked {
			worked = append(worked, m.At.Sub(now))
		}
	}
	want := []time.Duration{-6 * time.Minute, -5 * time.Minute, -4 * time.Minute, -3 * time.Minute}
	if !slices.Equal(worked, want) {
		t.Errorf("worked in minutes %v, want %v", worked, want)
	}
	alone := recorder(t, nil, "c")
	if _, err := alone.Past(t.Context(), 5); !errors.Is(err, ErrAlone) {
		t.Errorf("without redis got %v", err)
	}
	var none *Recorder
	if _, err := none.Past(t.Context(), 5); !errors.Is(err, ErrAlone) {
		t.Errorf("of nobody got %v", err)
	}
}
