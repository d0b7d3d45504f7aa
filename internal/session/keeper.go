package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// patience is how long a loop waits for the shared session before it is given another one. It is about what opening one takes.
const patience = 50 * time.Millisecond

// grace is how long a statement may continue when its loop is to end.
const grace = 250 * time.Millisecond

// vigilance lets the server notice within 10 s that the other end of the session is gone, and free what that holds. A statement that
// waits for somebody's lock is ended by the server before the time of its step is over, which would cost the session.
const vigilance = `SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET statement_timeout = '9s'`

// Keeper has one session that several loops share. It is opened when it is first used, and again after it was lost. A loop that
// finds it in use for longer than a moment uses a further one, so that nobody waits for a long statement of somebody else.
type Keeper struct {
	config   *pgx.ConnConfig
	settings func() map[string]string
	free     chan *slot // has the shared session while nobody uses it
}

// slot is a place for a session.
type slot struct {
	conn     *pgx.Conn
	ended    chan struct{} // closed when conn is
	settings map[string]string
}

// NewKeeper returns a Keeper of sessions that are made from config. Settings, unless nil, are asked for at each use: sessions take
// them as they are at that time, such as the name of a process that has begun again.
func NewKeeper(config *pgx.ConnConfig, settings func() map[string]string) *Keeper {
	k := &Keeper{config: config.Copy(), settings: settings, free: make(chan *slot, 1)}
	k.free <- &slot{}
	return k
}

// Share returns the Keeper that somebody else closes, or if that is nil one of its own that is made from config; call done
// at the end.
func Share(keeper *Keeper, config *pgx.ConnConfig) (k *Keeper, done func()) {
	if keeper != nil {
		return keeper, func() {}
	}
	k = NewKeeper(config, nil)
	return k, k.Close
}

// Use has do use a session that nobody else uses meanwhile. do must leave no transaction open and no settings changed.
func (k *Keeper) Use(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	moment := time.NewTimer(patience)
	defer moment.Stop()
	select {
	case s := <-k.free:
		defer func() { k.free <- s }()
		return k.use(ctx, s, do)
	case <-moment.C:
		s := &slot{}
		defer s.close()
		return k.use(ctx, s, do)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the session as soon as nobody uses it. Close it when all loops have ended.
func (k *Keeper) Close() {
	s := <-k.free
	s.close()
	k.free <- s
}

func (k *Keeper) use(ctx context.Context, s *slot, do func(context.Context, *pgx.Conn) error) error {
	if err := k.open(ctx, s); err != nil {
		s.close()
		return err
	}
	unhurried, cancel := unhurried(ctx)
	defer cancel()
	err := do(unhurried, s.conn)
	if !s.usable(err) {
		s.close()
	}
	return err
}

// unhurried ends at the deadline of ctx, but a little after it was cancelled: a statement that is cut costs the session, and others
// what that leads.
func unhurried(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if deadline, ok := ctx.Deadline(); ok {
		cancel()
		out, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
	}
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return out, func() { stop(); cancel() }
}

func (k *Keeper) open(ctx context.Context, s *slot) error {
	if s.conn == nil || s.conn.IsClosed() {
		s.close()
		conn, err := pgx.ConnectConfig(ctx, k.config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		s.conn, s.ended, s.settings = conn, make(chan struct{}), nil
		if _, err := conn.Exec(ctx, vigilance); err != nil {
			return fmt.Errorf("set up the session: %w", err)
		}
	}
	if k.settings == nil {
		return nil
	}
	settings := k.settings()
	if maps.Equal(settings, s.settings) {
		return nil
	}
	if err := Apply(ctx, s.conn.PgConn(), settings); err != nil {
		return err
	}
	s.settings = settings
	return nil
}

// look finds out whether the shared session has ended, unless somebody uses it and will find out as well.
func (k *Keeper) look(ctx context.Context) {
	select {
	case s := <-k.free:
		defer func() { k.free <- s }()
		if s.conn == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		// Nothing is listened to, so all that can come is the end.
		if _, err := s.conn.WaitForNotification(ctx); err != nil && !s.usable(nil) {
			s.close()
		}
	default:
	}
}

// usable reports whether the session can be used after err. One that may write nothing cannot: another server may be the primary.
func (s *slot) usable(err error) bool {
	var pg *pgconn.PgError
	readOnly := errors.As(err, &pg) && pg.Code == "25006"
	return !readOnly && !s.conn.IsClosed() && s.conn.PgConn().TxStatus() == 'I'
}

func (s *slot) close() {
	if s.conn == nil {
		return
	}
	close(s.ended)
	ctx, cancel := context.WithTimeout(context.Background(), closeBound)
	defer cancel()
	_ = s.conn.Close(ctx) // the server notices by itself at the latest when it next writes
	s.conn, s.ended = nil, nil
}
