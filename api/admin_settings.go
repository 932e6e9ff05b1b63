package api

import (
	"context"
	"runtime"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type settingsOutput struct{ Body operator.InstallationSettings }

// adminSettings shows what this process was started with.
func (s *Server) adminSettings(ctx context.Context, _ *struct{}) (*settingsOutput, error) {
	out := &settingsOutput{operator.InstallationSettings{Version: s.Version, Go: runtime.Version(), StartedAt: s.started.UTC(), Data: s.Settings}}
	if out.Body.Data == nil {
		out.Body.Data = []operator.Setting{}
	}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		out.Body.Postgres, err = store.ServerVersion(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
