package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/server"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
)

// serveGrace is how long requests may take that are open when the site is closed.
const serveGrace = 10 * time.Second

// site serves HTTP by one configuration after the other. A request ends by the one with which it began.
type site struct {
	m      *Main
	logger *slog.Logger
	failed chan error // what ended a listener

	turn   sync.Mutex // of take and close
	door   *door      // nil: none
	closed bool
	old    sync.WaitGroup     // doors and lives that end with their last request
	over   context.Context    //nolint:containedctx // it ends when old doors are waited for no longer
	cut    context.CancelFunc // ends over

	mu   sync.Mutex
	life *siteLife
}

// siteLife is what one configuration makes of requests.
type siteLife struct {
	app     *tidemill.App
	handler http.Handler
	open    sync.WaitGroup // requests
}

// door is an address at which the site is served.
type door struct {
	asked    string // as it is configured
	listener net.Listener
	server   *http.Server
}

func (m *Main) newSite(logger *slog.Logger) *site {
	s := &site{m: m, logger: logger, failed: make(chan error, 1)}
	s.over, s.cut = context.WithCancel(context.Background())
	return s
}

// ServeHTTP answers by the configuration that is in force when the request comes.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	life := s.life
	life.open.Add(1)
	s.mu.Unlock()
	defer life.open.Done()
	life.handler.ServeHTTP(w, r)
}

// take serves by cfg from now on. If it returns an error, all stays as it was.
func (s *site) take(ctx context.Context, cfg *config.Config) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.closed {
		return http.ErrServerClosed
	}
	app, err := s.m.connect(ctx, cfg, s.logger, false)
	if err != nil {
		return err
	}
	next := s.door
	if next == nil || next.asked != cfg.Server.Listen {
		if next, err = s.listen(cfg.Server.Listen); err != nil {
			app.Close()
			return err
		}
	}
	s.begin(ctx, app)
	if next == s.door {
		if next != nil {
			s.logger.InfoContext(ctx, "serving by the new configuration", "address", next.listener.Addr().String())
		}
		return nil
	}
	if former := s.door; former != nil {
		s.old.Go(func() { _ = former.close(s.over) })
	}
	if s.door = next; next != nil {
		go s.serve(next)
		s.logger.InfoContext(ctx, "serving", "address", next.listener.Addr().String())
	}
	return nil
}

// listen opens an address; nil if it is none.
func (s *site) listen(address string) (*door, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("server.listen: %w", err)
	}
	d := &door{asked: address, listener: listener, server: server.HTTP(s)}
	d.server.ErrorLog = slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug)
	return d, nil
}

// begin answers what comes from now on by app. The former one is closed after its last request.
func (s *site) begin(ctx context.Context, app *tidemill.App) {
	secrets := app.Config.Server.CronSecrets
	if len(secrets) == 0 && app.Config.Server.Listen != "" {
		s.logger.WarnContext(ctx, "server.cron_secret is not set, so /api/cron is closed")
	}
	life := &siteLife{app: app, handler: server.New(server.Opts{
		Schedules: periodic.NewAdmin(app.Pool, app.Schema()), Ledger: app.Ledger, CronSecrets: secrets, Logger: s.logger,
		Ready: func(ctx context.Context) error { return migrations.Check(ctx, app.Pool, app.Schema()) },
	})}
	s.mu.Lock()
	former := s.life
	s.life = life
	s.mu.Unlock()
	if former != nil {
		s.old.Go(former.end)
	}
}

func (l *siteLife) end() {
	l.open.Wait()
	l.app.Close()
}

func (s *site) serve(d *door) {
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		err = fmt.Errorf("serve %s: %w", d.listener.Addr(), err)
		s.logger.ErrorContext(s.over, "the server has ended", "error", err)
		select {
		case s.failed <- err:
		default: // one is enough to end
		}
	}
}

// close takes no more requests, and waits for those that are open until ctx ends.
func (d *door) close(ctx context.Context) error {
	if err := d.server.Shutdown(ctx); err != nil {
		return errors.Join(d.server.Close(), fmt.Errorf("some requests did not end in time: %w", err))
	}
	return nil
}

// close ends the site; open requests have serveGrace.
func (s *site) close() (err error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.closed = true
	defer time.AfterFunc(serveGrace, s.cut).Stop()
	defer s.cut()
	if s.door != nil {
		err = s.door.close(s.over)
	}
	if s.life != nil {
		s.old.Go(s.life.end)
	}
	s.old.Wait()
	return err
}
