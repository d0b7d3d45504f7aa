package rescue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/session"
)

// maxGap is how far apart two sweeps may be and still count as one stretch of watching. A longer gap means that this
// process was away itself, or the database was, and nobody is judged by it.
const maxGap = 7 * time.Second

// sighting is what this process has seen of another by its own clock: only its own successful sweeps count, so that a
// database that was away for a minute kills nobody.
type sighting struct {
	beat   time.Time // as written by the other; compared for equality only
	still  time.Time // since when, on our clock, beat has not moved
	cutOff time.Time // since when its session is missing; zero while it is there
}

type watcher struct {
	seen    map[string]*sighting
	last    time.Time
	decides time.Time // when a process whose session has ended will be taken for dead; zero: there is none
}

type peer struct {
	id     string
	beat   time.Time
	fenced bool
	// connected: the session that beats is there.
	connected bool
}

func (p *Process) sweepLoop(ctx context.Context) {
	config := p.opts.Conn.Copy()
	TagSessions(config, p.id)
	keeper, done := session.Share(p.opts.Session, config)
	defer done()
	w, o := &watcher{seen: map[string]*sighting{}}, &orphans{}
	session.Loop(ctx, func(ctx context.Context) time.Duration {
		began := time.Now()
		sweeping, cancel := context.WithTimeout(ctx, sweepTimeout)
		defer cancel()
		err := keeper.Use(sweeping, func(ctx context.Context, conn *pgx.Conn) error { return p.sweep(ctx, conn, w, o) })
		if err != nil && ctx.Err() == nil {
			p.opts.Logger.WarnContext(ctx, "sweep", "process", p.id, "error", err)
		}
		wait := p.opts.Sweep - time.Since(began)
		if !w.decides.IsZero() { // not up to a sweep later
			wait = min(wait, max(time.Until(w.decides), p.opts.Sweep/20))
		}
		return wait
	})
}

// sweepTimeout bounds a sweep: on a connection that does not answer any more no death would be found.
const sweepTimeout = 10 * time.Second

func (p *Process) sweep(ctx context.Context, conn *pgx.Conn, w *watcher, o *orphans) error {
	seen, err := p.look(ctx, conn)
	if err != nil {
		return err
	}
	if seen.cancels {
		if err := p.followCancels(ctx, conn); err != nil {
			return err
		}
	}
	dead := w.judge(seen.peers, time.Now(), *p.sessionSince.Load(), p.opts)
	fenced := false
	for _, peer := range dead {
		ok, err := p.fence(ctx, conn, peer)
		if err != nil {
			return err
		}
		fenced = fenced || ok
	}
	for _, peer := range seen.peers {
		fenced = fenced || peer.fenced
	}
	if fenced {
		if err := p.clean(ctx, conn); err != nil {
			return err
		}
	} else if seen.ends {
		if err := p.settle(ctx, conn); err != nil {
			return err
		}
	}
	if fenced || seen.suspects {
		if err := p.passTurns(ctx, conn); err != nil {
			return err
		}
	}
	return p.adoptOrphans(ctx, conn, o, time.Now())
}

// view is what a sweep finds.
type view struct {
	peers    []peer
	suspects bool // whether jobs are to be tried one at a time
	ends     bool // whether ends of jobs wait to be stored
	cancels  bool // whether running jobs are to be cancelled
}

func (p *Process) look(ctx context.Context, conn *pgx.Conn) (*view, error) {
	found := &view{}
	rows, err := conn.Query(ctx, p.sql(`
		SELECT p.id, p.beat_at, p.fenced_at IS NOT NULL,
		       EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = p.session_pid AND a.application_name = 'tidemill:' || p.id
		                AND coalesce(a.backend_start = p.session_since, true)),
		       EXISTS (SELECT FROM {tidemill}.job_end), EXISTS (SELECT FROM {tidemill}.run_intent WHERE intent = 'cancel'),
		       EXISTS (SELECT FROM {tidemill}.suspect)
		  FROM {tidemill}.process p`))
	if err != nil {
		return nil, fmt.Errorf("look at the processes: %w", err)
	}
	var x peer
	_, err = pgx.ForEachRow(rows, []any{&x.id, &x.beat, &x.fenced, &x.connected, &found.ends, &found.cancels, &found.suspects}, func() error {
		if x.id != p.id {
			found.peers = append(found.peers, x)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the processes: %w", err)
	}
	return found, nil
}

// settle stores the ends of jobs that could not be stored when the jobs ended, whosever they are.
func (p *Process) settle(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, p.sql(`SELECT job, tries, problem FROM {tidemill}.settle_ends()`))
	if err != nil {
		return fmt.Errorf("store how jobs ended: %w", err)
	}
	var job, tries int64
	var problem string
	_, err = pgx.ForEachRow(rows, []any{&job, &tries, &problem}, func() error {
		if tries%60 == 0 { // once a minute
			p.opts.Logger.WarnContext(ctx, "how a job ended cannot be stored yet; until then it shows as running and is not run again",
				"job_id", job, "tries", tries, "reason", problem)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store how jobs ended: %w", err)
	}
	return nil
}

// followCancels ends the jobs of this process that somebody has asked to cancel, unless a notification has already, and
// those that have stopped running before anybody followed.
func (p *Process) followCancels(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, p.sql(`
		SELECT i.run FROM {tidemill}.run_intent i JOIN {river}.river_job j ON j.id = i.run
		 WHERE i.intent = 'cancel' AND i.run = ANY ($1) AND j.state = 'running' AND i.at >= j.attempted_at`), p.jobs.ids())
	if err != nil {
		return fmt.Errorf("look for cancelled jobs: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("look for cancelled jobs: %w", err)
	}
	for _, id := range ids {
		p.jobs.cancel(id, errCancelled)
	}
	if _, err := conn.Exec(ctx, p.sql(`SELECT {tidemill}.settle_cancels()`)); err != nil {
		return fmt.Errorf("cancel jobs: %w", err)
	}
	return nil
}

// judge takes one look at the others and returns those found dead.
func (w *watcher) judge(peers []peer, now, ownSince time.Time, opts Opts) []peer {
	if now.Sub(w.last) > maxGap {
		clear(w.seen)
	}
	w.last, w.decides = now, time.Time{}
	present := make(map[string]bool, len(peers))
	var dead []peer
	for _, peer := range peers {
		present[peer.id] = true
		if peer.fenced {
			delete(w.seen, peer.id)
			continue
		}
		s := w.seen[peer.id]
		if s == nil || !s.beat.Equal(peer.beat) {
			s = &sighting{beat: peer.beat, still: now}
			w.seen[peer.id] = s
		}
		switch {
		case peer.connected:
			s.cutOff = time.Time{}
		case s.cutOff.IsZero():
			s.cutOff = now
		}
		// A restarted database ends every session, ours too; that says nothing about the others.
		lostSession := !s.cutOff.IsZero() && ownSince.Before(s.cutOff) && now.Sub(s.cutOff) >= opts.DeadAfterLostSession
		still := now.Sub(s.still)
		if at := s.cutOff.Add(opts.DeadAfterLostSession); !s.cutOff.IsZero() && at.After(now) && (w.decides.IsZero() || at.Before(w.decides)) {
			w.decides = at
		}
		if still >= opts.DeadAfter || lostSession && still >= opts.DeadAfterLostSession {
			dead = append(dead, peer)
		}
	}
	for id := range w.seen {
		if !present[id] {
			delete(w.seen, id)
		}
	}
	return dead
}

// fence marks a process dead unless it has moved since it was judged.
func (p *Process) fence(ctx context.Context, conn *pgx.Conn, dead peer) (bool, error) {
	tag, err := conn.Exec(ctx, p.sql(`UPDATE {tidemill}.process SET fenced_at = now() WHERE id = $1 AND fenced_at IS NULL AND beat_at = $2`),
		dead.id, dead.beat)
	if err != nil {
		return false, fmt.Errorf("fence process %s: %w", dead.id, err)
	}
	if tag.RowsAffected() > 0 {
		if p.opts.OnFenced != nil {
			p.opts.OnFenced(dead.id)
		}
		p.opts.Logger.WarnContext(ctx, "process is dead; its jobs go back to their queues", "dead", dead.id, "found_by", p.id)
	}
	return tag.RowsAffected() > 0, nil
}

// clean ends what fenced processes still hold and moves their jobs. It is repeated at every sweep, since a job can be
// locked at the moment, and a reconnecting client can open new sessions.
func (p *Process) clean(ctx context.Context, conn *pgx.Conn) error {
	if err := p.endSessions(ctx, conn); err != nil {
		return err
	}
	// Nobody of the dead can add to these any more.
	if err := p.settle(ctx, conn); err != nil {
		return err
	}
	moved, err := p.moveJobs(ctx, conn, p.opts.GiveUpAfter, ofFenced)
	if err != nil {
		return err
	}
	if moved > 0 {
		p.opts.Logger.InfoContext(ctx, "jobs rescued", "count", moved, "found_by", p.id)
	}
	_, err = conn.Exec(ctx, p.sql(`
		DELETE FROM {tidemill}.process p WHERE fenced_at < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM {river}.river_job j
			WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = p.id)`))
	if err != nil {
		return fmt.Errorf("forget old processes: %w", err)
	}
	return nil
}

// endSessions terminates the sessions of fenced processes and waits until they are gone: only then are their locks. A session of
// another role is none of theirs, whatever it calls itself; one that must not be ended would keep the jobs from being moved.
func (p *Process) endSessions(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var left int
		err := conn.QueryRow(ctx, p.sql(`
			SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid) IS NOT NULL)
			  FROM pg_stat_activity a JOIN {tidemill}.process p ON a.application_name = 'tidemill:' || p.id AND a.usename = coalesce(p.role, a.usename)
			 WHERE p.fenced_at IS NOT NULL AND a.datname = current_database() AND a.pid <> pg_backend_pid()`)).Scan(&left)
		if err != nil {
			return fmt.Errorf("end the sessions of dead processes (the role needs pg_signal_backend for those of other roles): %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d sessions of dead processes do not end: %w", left, ctx.Err())
		}
	}
}
