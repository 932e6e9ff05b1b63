package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// demoBackup shows that the data is kept: a backup, and that it can be restored.
type demoBackup struct {
	admin client
	proof string // id of the job that verifies; "": nobody does
}

func (d *demoBackup) steps() []demoStep {
	return []demoStep{{"a backup", d.make}, {"the backup, restored", d.prove}}
}

func (d *demoBackup) make(ctx context.Context) (string, error) {
	j, err := d.admin.submit(ctx, "db.backup", map[string]any{}, nil)
	if err != nil {
		return "", err
	}
	var made struct {
		Name         string
		Bytes, Rows  int64
		Tables       int
		Seconds      float64
		Verification *struct {
			JobID string `json:"job_id"`
		}
	}
	if err := d.ended(ctx, j.ID, &made); err != nil {
		return "", err
	}
	if made.Verification != nil {
		d.proof = made.Verification.JobID
	}
	return fmt.Sprintf("%s: %d tables with %d rows in %s, in %.1f s", made.Name, made.Tables, made.Rows, bytesIn(made.Bytes), made.Seconds), nil
}

// prove waits for the job that the fact of the backup has started.
func (d *demoBackup) prove(ctx context.Context) (string, error) {
	if d.proof == "" {
		return "left off (BACKUP_VERIFY), or there is no backup", nil
	}
	var proven struct {
		State          string
		RestoreSeconds float64 `json:"restore_seconds"`
		Tables         int
		Rows           int64
	}
	if err := d.ended(ctx, d.proof, &proven); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: restored in %.1f s, all %d tables with %d rows are there", proven.State, proven.RestoreSeconds, proven.Tables, proven.Rows), nil
}

// ended waits for a job, which may not be there yet, and reads its output.
func (d *demoBackup) ended(ctx context.Context, id string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for why := ""; ; {
		j, err := d.admin.await(ctx, id, demoPatience)
		var refused *problemView
		switch {
		case errors.As(err, &refused) && refused.Code == "not_found":
		case err != nil:
			return err
		case j.Error != nil:
			return j.Error
		case j.Waiting != nil:
			why = ": " + j.Waiting.Reason // perhaps for what keeps house among the backups
		case j.ended():
			return json.Unmarshal(j.Output, into)
		}
		select {
		case <-ctx.Done():
			return errors.New("it does not end" + why)
		case <-tick.C:
		}
	}
}
