package session

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// lookEvery is how often a leader that waits looks whether its session is still there.
const lookEvery = 500 * time.Millisecond

var (
	// ErrElsewhere is returned by Lead while another session leads.
	ErrElsewhere = errors.New("another process leads")
	// ErrEnded is returned by Wait when the session that leads has ended.
	ErrEnded = errors.New("the session has ended")
)

// Role is what one session of all does. A session keeps it until it ends, and loses it in no other way. A Role belongs to one
// goroutine.
type Role struct {
	keeper *Keeper
	elect  func(context.Context, *pgx.Conn) (bool, error)
	term   <-chan struct{} // closed when the session that leads has ended; nil: none does, as far as it is known here
}

// Role returns a role of the shared session, which gets it if elect returns true.
func (k *Keeper) Role(elect func(context.Context, *pgx.Conn) (bool, error)) *Role {
	return &Role{keeper: k, elect: elect}
}

// Lead has do use the session that leads. If it does not lead yet it tries to, and the error is ErrElsewhere if another does.
func (r *Role) Lead(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	return r.withShared(ctx, func(s *slot) error {
		return r.keeper.use(ctx, s, func(ctx context.Context, conn *pgx.Conn) error {
			if r.term == nil || r.term != s.ended {
				r.term = nil
				elected, err := r.elect(ctx, conn)
				if err != nil {
					return err
				}
				if !elected {
					return ErrElsewhere
				}
				r.term = s.ended
			}
			return do(ctx, conn)
		})
	})
}

// Leads reports whether the session leads, as far as the last Lead or Wait has seen.
func (r *Role) Leads() bool { return r.term != nil }

// Wait waits for d, or until ctx or the session that leads ends.
func (r *Role) Wait(ctx context.Context, d time.Duration) error {
	timer, look := time.NewTimer(d), time.NewTicker(lookEvery)
	defer timer.Stop()
	defer look.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-r.term:
			r.term = nil
			return ErrEnded
		case <-look.C:
			if r.term != nil {
				r.keeper.look(ctx)
			}
		}
	}
}

// Leave ends the session that leads, so that another may.
func (r *Role) Leave(ctx context.Context) {
	term := r.term
	r.term = nil
	if term == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	_ = r.withShared(ctx, func(s *slot) error {
		if s.ended == term {
			s.close()
		}
		return nil
	})
}

// withShared waits until nobody else uses the shared session.
func (r *Role) withShared(ctx context.Context, do func(*slot) error) error {
	select {
	case s := <-r.keeper.free:
		defer func() { r.keeper.free <- s }()
		return do(s)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
