package api

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type revealOutput struct{ Body operator.JobContent }

// adminRevealJob shows what of a job is hidden, and notes who asked.
func (s *Server) adminRevealJob(ctx context.Context, in *adminJobInput) (*revealOutput, error) {
	out := &revealOutput{}
	err := s.act(ctx, act{Action: "job.reveal", Target: "job", ID: in.ID}, func(tx pgx.Tx, note *act) error {
		d, err := findAdminJob(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		line := lineOfDetail(d)
		note.ID, note.OrganizationID = line.ID, deref(line.OrganizationID)
		out.Body = jobContentOf(d)
		return nil
	})
	return out, err
}

func jobContentOf(d store.AdminJobDetail) operator.JobContent {
	c := operator.JobContent{ID: lineOfDetail(d).ID, Receipts: []operator.JobReceipt{}}
	if d.River != nil {
		c.Args = operator.Object(d.River.Args)
	}
	if j := d.Job; j != nil {
		c.Input, c.Output, c.Metadata, c.CallbackURL = operator.Object(j.Input), operator.Object(j.Output), operator.Object(j.Metadata), j.CallbackURL
	} else {
		c.Metadata = operator.Object(d.River.Metadata)
	}
	for _, e := range d.Effects {
		c.Receipts = append(c.Receipts, operator.JobReceipt{Key: e.Key, Receipt: operator.Object(e.Receipt)})
	}
	return c
}

// adminFollowJob is the stream of any organization's job. What it says is the job's content, so only who may reveal
// may listen.
func (s *Server) adminFollowJob(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	var organizationID string
	// Also who says to come back: what they have seen is for them to say.
	err = s.act(r.Context(), act{Action: "job.follow", Target: "job", ID: id}, func(tx pgx.Tx, note *act) (err error) {
		organizationID, err = store.OrganizationOfJob(r.Context(), tx, id)
		note.OrganizationID = organizationID
		return err
	})
	if err != nil {
		return err
	}
	return s.follow(w, r, x.caller.KeyID, organizationID, id)
}
