package rescue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// stopGrace is how long after SilentAfter a job may take to end: others have the jobs DeadAfterLostSession after the last beat
// at the earliest, and some of that is left for a machine that is slow at it.
const stopGrace = 1500 * time.Millisecond

// silent is the end of the contexts of jobs when this process must take itself for dead.
type silent struct{ cause error }

func (s *silent) Error() string { return ErrSilent.Error() + ": " + s.cause.Error() }
func (s *silent) Unwrap() []error {
	return []error{ErrSilent, s.cause}
}

// StopWithin says how soon the jobs must have ended. Whoever runs programs for a job asks the cause of its context.
func (s *silent) StopWithin() time.Duration { return stopGrace }

// beatLoop returns ErrFenced or ErrSilent, or nil when ctx has ended.
//
// The others count from the beat itself, which is no earlier than its beginning here. So SilentAfter, on the monotonic
// clock, from the beginning of the last beat that was answered is when the jobs of this process must end: nobody has them
// before DeadAfterLostSession.
func (p *Process) beatLoop(ctx context.Context) error {
	defer func() { p.session.close(ctx) }()
	last := p.registered
	for {
		began := time.Now()
		deadline := last.Add(p.opts.SilentAfter)
		err := p.beat(ctx, deadline)
		switch {
		case err == nil:
			last = began
		case errors.Is(err, ErrFenced):
			p.jobs.lose(err)
			return err
		case ctx.Err() != nil:
			return nil
		case !time.Now().Before(deadline):
			err = &silent{cause: err}
			p.jobs.lose(err)
			return err
		default:
			p.opts.Logger.WarnContext(ctx, "beat", "process", p.id, "error", err)
		}
		pause := time.Until(began.Add(p.opts.Beat))
		if err != nil { // there is no time to lose, and no reason to hammer at a server that refuses
			pause = max(p.opts.Beat/10, min(pause, p.opts.Beat/4))
		}
		select {
		case <-time.After(min(pause, time.Until(deadline))):
		case <-ctx.Done():
			return nil
		}
	}
}

// beat says that the process lives, by deadline at the latest. A session that has not answered for a quarter of the time
// may be dead without a word, so another one is opened beside it; the first answer counts.
func (p *Process) beat(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	type answer struct {
		session *beatSession
		err     error
	}
	answers := make(chan answer, 2)
	ask := func(s *beatSession) {
		var err error
		if s == nil {
			s, err = p.connect(ctx)
		}
		if err == nil {
			err = p.beatOn(ctx, s)
		}
		answers <- answer{s, err}
	}
	old := p.session
	go ask(old)
	asked := 1
	hedge := time.NewTimer(p.opts.SilentAfter / 4)
	defer hedge.Stop()
	var failed error
	for asked > 0 {
		select {
		case <-hedge.C:
			if old != nil {
				asked++
				go ask(nil)
			}
		case a := <-answers:
			asked--
			if a.err != nil {
				if !errors.Is(failed, ErrFenced) {
					failed = a.err
				}
				a.session.close(ctx)
				if a.session == old {
					p.session = nil
				}
				if errors.Is(a.err, ErrFenced) {
					cancel()
				}
				continue
			}
			cancel() // whoever else was asked ends
			for ; asked > 0; asked-- {
				other := <-answers
				other.session.close(ctx)
			}
			if a.session != old {
				p.session = a.session
				p.sessionSince.Store(&a.session.since)
				p.reconnected(ctx)
			}
			return nil
		}
	}
	return failed
}

func (p *Process) reconnected(ctx context.Context) {
	p.opts.Logger.InfoContext(ctx, "connected again", "process", p.id)
	if p.opts.OnReconnect != nil {
		p.opts.OnReconnect()
	}
}

// beatSession is a connection that beats.
type beatSession struct {
	conn  *pgx.Conn
	since time.Time
}

// close does not wait for a server that may be away.
func (s *beatSession) close(ctx context.Context) {
	if s == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
	}()
}

// connect opens a session for beats.
func (p *Process) connect(ctx context.Context) (*beatSession, error) {
	config := p.opts.Conn.Copy()
	TagSessions(config, p.id)
	since := time.Now()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &beatSession{conn: conn, since: since}, nil
}

// beatOn also says which session it is that beats. Of another role's session only the number is to be seen.
func (p *Process) beatOn(ctx context.Context, s *beatSession) error {
	err := p.askClock(ctx, s, `
		UPDATE {tidemill}.process p SET beat_at = clock_timestamp(), session_pid = pg_backend_pid(), session_since = CASE
			WHEN p.session_pid = pg_backend_pid() THEN p.session_since
			ELSE (SELECT a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) a) END
		 WHERE p.id = $1 AND p.fenced_at IS NULL
		RETURNING clock_timestamp()`, p.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	return err
}

// askClock runs a statement that returns the database's clock, and passes that on.
func (p *Process) askClock(ctx context.Context, s *beatSession, query string, args ...any) error {
	var db time.Time
	sent := time.Now()
	if err := s.conn.QueryRow(ctx, p.sql(query), args...).Scan(&db); err != nil {
		return err
	}
	received := time.Now()
	p.clock.Learn(db, sent, received)
	if p.opts.OnClock != nil {
		p.opts.OnClock(db, sent, received)
	}
	return nil
}
