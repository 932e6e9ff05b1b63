package store_test

import (
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// A mailing for another day: its mails were submitted before all others.
const putOffMails = `
WITH mails AS (
    SELECT '00000000-0000-0000-0000-000000000000'::uuid AS organization_id, gen_random_uuid() AS id, now() - interval '1 day' AS at, now() + interval '7 days' AS run_at
    FROM generate_series(1, $1::int)
    UNION ALL SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), now() - interval '5 min', now() - interval '5 min'
), made AS (
    INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, run_at, created_at, event_id)
    SELECT organization_id, id, 'mail.send', 'mail', 5, '{}', run_at, at, id FROM mails
)
INSERT INTO mail_messages (organization_id, id, state, stream, created_at)
SELECT organization_id, id, 'queued', 'transactional', at FROM mails`

// Who put off a few mails hides nobody's that waits, and who put off very many costs no more than a few.
func TestOldestDueMail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		putOff int
		found  bool
	}{{300, true}, {2_100, false}} {
		url := newDatabase(t)
		conn := connect(t, url)
		if _, err := conn.Exec(t.Context(), putOffMails, c.putOff); err != nil {
			t.Fatal(err)
		}
		db := open(t, url, store.System)
		s, err := db.Scrape(t.Context(), []string{"mail"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := db.MailMetrics(t.Context(), time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if found := s.OldestDue > 4*time.Minute && s.OldestDue < 10*time.Minute; found != c.found || (m.OldestQueued != nil) != c.found {
			t.Errorf("behind %d that are put off: %s, %v", c.putOff, s.OldestDue, m.OldestQueued)
		}
	}
}
