package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type submittedOutput struct{ Body operator.Submitted }

// submitAsOperator hands over a job of the operator's own organization, and notes who asked for it.
func (s *Server) submitAsOperator(ctx context.Context, a act, kind string, input any) (*submittedOutput, error) {
	j, err := s.operatorsJob(ctx, kind, input)
	if err != nil {
		s.noteVain(ctx, a, err)
		return nil, err
	}
	js := []store.Job{j}
	taken := s.takeShares(ctx, js)
	err = s.act(ctx, a, func(tx pgx.Tx, note *act) error {
		note.After = map[string]any{"job_id": j.ID, "kind": kind, "status": j.Status}
		b := &pgx.Batch{}
		store.QueueJob(b, js[0])
		origin := outbox.Origin{OrganizationID: j.OrganizationID, CorrelationID: *j.RequestID, TraceParent: *j.TraceParent}
		if err := outbox.QueueAs(b, j.EventID, origin, requested(js[0])); err != nil {
			return err
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		s.shares.giveBack(taken)
		return nil, err
	}
	s.Hints.OutboxChanged()
	return &submittedOutput{operator.Submitted{JobID: j.ID, Kind: kind}}, nil
}

// operatorsJob is a job of the operator's organization that is due now, if its input is one of its kind.
func (s *Server) operatorsJob(ctx context.Context, kind string, input any) (store.Job, error) {
	k := s.kinds[kind]
	if k == nil {
		return store.Job{}, refuse("unknown_kind", "this version has no workers for "+kind)
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return store.Job{}, fmt.Errorf("encode the input of %s: %w", kind, err)
	}
	if k.Check != nil {
		if faults := k.Check(raw); len(faults) > 0 {
			return store.Job{}, invalid(faults...)
		}
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	j := newJob(exchangeOf(ctx), submission{kind: k, input: raw, metadata: json.RawMessage("{}"), priority: 2, runAt: now},
		outbox.NewID(), outbox.NewID(), now)
	j.OrganizationID = store.OperatorOrganization
	return j, nil
}

type makeBackupInput struct{ Body operator.MakeBackup }

// makeBackup has a backup made now.
func (s *Server) makeBackup(ctx context.Context, in *makeBackupInput) (*submittedOutput, error) {
	input := map[string]any{}
	if in.Body.Verify != nil {
		input["verify"] = *in.Body.Verify
	}
	return s.submitAsOperator(ctx, act{Action: "backup.make", Target: "backup", ID: "new"}, "db.backup", input)
}

type verifyBackupInput struct {
	Name string `path:"name" pattern:"^payaid_[0-9]{8}_[0-9]{6}$" doc:"Of the backup"`
}

// verifyBackup has a backup restored for a try.
func (s *Server) verifyBackup(ctx context.Context, in *verifyBackupInput) (*submittedOutput, error) {
	a := act{Action: "backup.verify", Target: "backup", ID: in.Name}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		state, err := store.BackupState(ctx, tx, in.Name)
		a.Before = map[string]any{"state": state}
		if err == nil && state != store.BackupCompleted {
			return refuse("invalid_transition", "the backup is "+state+", and one that is complete alone can be restored")
		}
		return err
	})
	if err != nil {
		s.noteVain(ctx, a, err)
		return nil, err
	}
	return s.submitAsOperator(ctx, a, "db.backup_verify", map[string]any{"name": in.Name})
}

type sampleIndexesInput struct{}

// sampleIndexes has the counters of indexes written down now.
func (s *Server) sampleIndexes(ctx context.Context, _ *sampleIndexesInput) (*submittedOutput, error) {
	return s.submitAsOperator(ctx, act{Action: "index.sample", Target: "database", ID: "indexes"}, "db.index_sample", map[string]any{})
}

type pullModelInput struct{ Body operator.PullModel }

// pullModel has the owner's Ollama fetch a model.
func (s *Server) pullModel(ctx context.Context, in *pullModelInput) (*submittedOutput, error) {
	input := map[string]any{"model": in.Body.Model}
	if in.Body.Insecure {
		input["insecure"] = true
	}
	return s.submitAsOperator(ctx, act{Action: "model.pull", Target: "model", ID: cutText(in.Body.Model, 250)}, "ai.pull_model", input)
}
