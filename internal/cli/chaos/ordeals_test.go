package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// ordeals are tried from the first on, as many as a flag says.
var ordeals = []ordeal{
	{"the NATS server that leads the stream is killed", 12 * time.Second, func(ctx context.Context, f *fleet) error {
		leader, _, err := f.leader(ctx)
		if err != nil {
			return err
		}
		return f.without(ctx, 8*time.Second, leader)
	}},
	{"two of three NATS servers are killed", 11 * time.Second, func(ctx context.Context, f *fleet) error {
		leader, follower, err := f.leader(ctx)
		if err != nil {
			return err
		}
		return f.without(ctx, 6*time.Second, leader, follower)
	}},
	{"relay, router and River's leader are killed at once", 8 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.strikeAll(ctx, f.activeRelay, f.activeRouter, f.riverLeader)
	}},
	{"a NATS server that follows is killed", 15 * time.Second, func(ctx context.Context, f *fleet) error {
		_, follower, err := f.leader(ctx)
		if err != nil {
			return err
		}
		return f.without(ctx, 8*time.Second, follower)
	}},
	{"all three NATS servers are killed", 20 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.without(ctx, 3*time.Second, 0, 1, 2)
	}},
	{"the NATS server that leads freezes for 30 s and comes back", 50 * time.Second, func(ctx context.Context, f *fleet) error {
		leader, _, err := f.leader(ctx)
		if err != nil {
			return err
		}
		return f.freeze(ctx, leader, 30*time.Second)
	}},
	{"the NATS server that leads is cut off from the others for 40 s", 60 * time.Second, func(ctx context.Context, f *fleet) error {
		leader, _, err := f.leader(ctx)
		if err != nil {
			return err
		}
		f.cluster.CutOff(leader)
		defer f.cluster.Rejoin(leader)
		return pause(ctx, 40*time.Second)
	}},
	{"the NATS servers are restarted one by one", 20 * time.Second, rolling},
	{"the active relay is killed", 15 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.strikeAll(ctx, f.activeRelay)
	}},
	{"the active router is killed", 15 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.strikeAll(ctx, f.activeRouter)
	}},
	{"River's leader is killed", 15 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.strikeAll(ctx, f.riverLeader)
	}},
	{"one API is killed", 10 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.apis[0].strike(ctx, 3*time.Second)
	}},
	{"the active relay freezes for 30 s and comes back", 50 * time.Second, func(ctx context.Context, f *fleet) error {
		p, err := f.activeRelay(ctx)
		if err != nil {
			return err
		}
		return p.freeze(ctx, 30*time.Second)
	}},
	{"the active router freezes for 30 s and comes back", 50 * time.Second, func(ctx context.Context, f *fleet) error {
		p, err := f.activeRouter(ctx)
		if err == nil {
			err = p.freeze(ctx, 30*time.Second)
		}
		if err != nil {
			return err
		}
		// Its jobs are others' by now: it ends, for whoever keeps it running to start it again.
		if _, err := p.says(ctx, "was silent for too long"); err != nil {
			return err
		}
		l, _ := p.current()
		<-l.exited
		return p.start()
	}},
	{"one API freezes for 30 s and comes back", 50 * time.Second, func(ctx context.Context, f *fleet) error {
		return f.apis[0].freeze(ctx, 30*time.Second)
	}},
	{"Redis is killed", 10 * time.Second, func(_ context.Context, f *fleet) error {
		f.redis.Kill()
		return nil
	}},
	{"Postgres is killed", 20 * time.Second, func(_ context.Context, f *fleet) error {
		f.postgres.Kill()
		return nil
	}},
	{"NATS leader, active relay and one API are killed at once", 20 * time.Second, func(ctx context.Context, f *fleet) error {
		leader, _, err := f.leader(ctx)
		if err != nil {
			return err
		}
		f.cluster.KillServer(leader)
		api := func(context.Context) (*process, error) { return f.apis[1], nil }
		if err := f.strikeAll(ctx, f.activeRelay, api); err != nil {
			return err
		}
		return f.cluster.StartServer(ctx, leader)
	}},
}

// without kills NATS servers and starts them again after a while, one by one.
func (f *fleet) without(ctx context.Context, away time.Duration, servers ...int) error {
	for _, i := range servers {
		f.cluster.KillServer(i)
	}
	if err := pause(ctx, away); err != nil {
		return err
	}
	for _, i := range servers {
		if err := f.cluster.StartServer(ctx, i); err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops a server without ending it: its connections stay, and it doesn't know that time went by.
func (f *fleet) freeze(ctx context.Context, server int, still time.Duration) error {
	if err := f.cluster.Signal(server, syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, still)
	if thawed := f.cluster.Signal(server, syscall.SIGCONT); err == nil {
		err = thawed
	}
	return err
}

// rolling restarts each NATS server when the last one is healthy again, as a deploy does.
func rolling(ctx context.Context, f *fleet) error {
	for i := range f.cluster.Size() {
		if err := f.cluster.StopServer(ctx, i); err != nil {
			return err
		}
		if err := f.cluster.StartServer(ctx, i); err != nil {
			return err
		}
		if err := f.cluster.WaitHealthy(ctx, i); err != nil {
			return err
		}
		if err := eventually(ctx, f.whole); err != nil {
			return fmt.Errorf("wait for all copies after server %d: %w", i+1, err)
		}
	}
	return nil
}

// strikeAll finds processes by their roles, kills them, and starts them again after three seconds. One
// may have several of the roles.
func (f *fleet) strikeAll(ctx context.Context, roles ...func(context.Context) (*process, error)) error {
	victims := make(map[*process]bool)
	for _, role := range roles {
		p, err := role(ctx)
		if err != nil {
			return err
		}
		victims[p] = true
	}
	for p := range victims {
		p.kill()
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	for p := range victims {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the process without ending it.
func (p *process) freeze(ctx context.Context, still time.Duration) error {
	l, _ := p.current()
	if err := l.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, still)
	if thawed := l.cmd.Process.Signal(syscall.SIGCONT); err == nil {
		err = thawed
	}
	return err
}
