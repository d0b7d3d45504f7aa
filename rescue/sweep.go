package rescue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxGap is how far apart two sweeps may be and still count as one stretch of watching. A longer gap means that this
// process was away itself, or the database was, and nobody is judged by it.
const maxGap = 7 * time.Second

// sighting is what this process has seen of another by its own clock: only its own successful sweeps count, so that a
// database that was away for a minute kills nobody.
type sighting struct {
	beat     time.Time // as written by the other; compared for equality only
	still    time.Time // since when, on our clock, beat has not moved
	lockless time.Time // since when its lock session is missing; zero while it is there
}

type watcher struct {
	seen map[string]*sighting
	last time.Time
}

type peer struct {
	id     string
	beat   time.Time
	fenced bool
	locked bool
}

func (p *Process) sweepLoop(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	w, o := &watcher{seen: map[string]*sighting{}}, &orphans{}
	tick := time.NewTicker(p.opts.Sweep)
	defer tick.Stop()
	for {
		if err := p.sweep(ctx, &conn, w, o); err != nil && ctx.Err() == nil {
			p.opts.Logger.WarnContext(ctx, "sweep", "process", p.id, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Process) sweep(ctx context.Context, conn **pgx.Conn, w *watcher, o *orphans) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if *conn == nil || (*conn).IsClosed() {
		config := p.opts.Conn.Copy()
		TagSessions(config, p.id)
		c, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		*conn = c
	}
	peers, err := p.peers(ctx, *conn)
	if err != nil {
		return err
	}
	dead := w.judge(peers, time.Now(), time.Unix(0, p.lockSince.Load()), p.opts)
	fenced := false
	for _, peer := range dead {
		ok, err := p.fence(ctx, *conn, peer)
		if err != nil {
			return err
		}
		fenced = fenced || ok
	}
	for _, peer := range peers {
		fenced = fenced || peer.fenced
	}
	if fenced {
		if err := p.clean(ctx, *conn); err != nil {
			return err
		}
	}
	return p.adoptOrphans(ctx, *conn, o, time.Now())
}

func (p *Process) peers(ctx context.Context, conn *pgx.Conn) ([]peer, error) {
	rows, err := conn.Query(ctx, p.sql(`
		SELECT p.id, p.beat_at, p.fenced_at IS NOT NULL,
		       EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
		                WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
		                  AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('tidemill process ' || p.id, 0))
		  FROM {tidemill}.process p WHERE p.id <> $1`), p.id)
	if err != nil {
		return nil, fmt.Errorf("look at the processes: %w", err)
	}
	peers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (peer, error) {
		var x peer
		err := row.Scan(&x.id, &x.beat, &x.fenced, &x.locked)
		return x, err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the processes: %w", err)
	}
	return peers, nil
}

// judge takes one look at the others and returns those found dead.
func (w *watcher) judge(peers []peer, now, ownLockSince time.Time, opts Opts) []peer {
	if now.Sub(w.last) > maxGap {
		clear(w.seen)
	}
	w.last = now
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
		case peer.locked:
			s.lockless = time.Time{}
		case s.lockless.IsZero():
			s.lockless = now
		}
		// A restarted database ends every lock session, ours too; that says nothing about the others.
		lostLock := !s.lockless.IsZero() && ownLockSince.Before(s.lockless) && now.Sub(s.lockless) >= opts.DeadAfterLostLock
		still := now.Sub(s.still)
		if still >= opts.DeadAfter || lostLock && still >= opts.DeadAfterLostLock {
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
