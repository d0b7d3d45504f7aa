package tidemill

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	_ "time/tzdata" // time zones where the machine has none

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/boundlog"
	"github.com/tidemill/tidemill/internal/dbclock"
	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/rescue"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

// App is Tidemill inside a Go program: what it needs to insert jobs, and, when Run is called, a worker process.
type App struct {
	// Config is the loaded tidemill.yaml. It must not be changed.
	Config *config.Config
	// Pool reaches the database of the configuration; it is the application's to use, too.
	Pool *pgxpool.Pool
	// Client inserts jobs. It is insert-only: Run works them through clients of its own.
	Client *river.Client[pgx.Tx]
	// Workers is where a program adds its own workers before Run.
	Workers *river.Workers
	// Schedules is where a program adds schedules of its own, before Migrate, Apply or Run, beside those of the configuration.
	// Every program that applies to the same database must have the same ones: those that it lacks are removed.
	Schedules []periodic.Definition
	// Ledger reads and steers runs.
	Ledger *batch.Ledger

	kindList []kind.Kind
	logger   *slog.Logger
	schema   migrations.Schema
	clock    dbclock.Clock
	// sessions are those of Pool.
	sessions *sessions
	// storage is opened on first use, which may be by many at once.
	storageMu sync.Mutex
	storage   *storage.Bucket
	// process is the id under which this program's sessions run; nil unless Run was called.
	process atomic.Pointer[string]
	// working: each session is held from connect to close, which only Run needs.
	working atomic.Bool
	// pooled: a pooler in between refuses connection parameters.
	pooled bool
}

// Opts configures New. The zero value is ready.
type Opts struct {
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Kinds of job beside those of package workers. A configuration must have been read with them, as Load does.
	Kinds []kind.Kind
	// SharedSessions is for programs that work no jobs and may connect through a pooler that shares sessions: statements are not
	// prepared, so each is planned every time.
	SharedSessions bool
}

// Load reads a configuration file and connects; see New.
func Load(ctx context.Context, path string, opts *Opts) (*App, error) {
	var own []kind.Kind
	if opts != nil {
		own = opts.Kinds
	}
	cfg, err := config.Load(path, &config.Opts{Kinds: Kinds(own...)})
	if err != nil {
		return nil, err
	}
	return New(ctx, cfg, opts)
}

// New connects to the configured database and returns an App whose Close must be called. It does not migrate, and it
// does not need the migrations to be there.
func New(ctx context.Context, cfg *config.Config, opts *Opts) (*App, error) {
	if opts == nil {
		opts = &Opts{}
	}
	app := &App{
		Config:   cfg,
		Workers:  river.NewWorkers(),
		kindList: append(workers.All(), opts.Kinds...),
		sessions: newSessions(),
		logger:   boundlog.New(cmp.Or(opts.Logger, slog.Default())),
		schema:   migrations.Schema{Name: cfg.Database.Schema, River: cfg.Database.RiverSchema}.Defaults(),
	}
	err := app.connect(ctx, opts)
	if session.IsUnknownParameter(err) {
		app.pooled = true
		err = app.connect(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	app.Client, err = river.NewClient(app.driver(app.Pool), &river.Config{
		// It also bounds how often an inserting client wakes the workers; at River's 100 ms most inserts wait for a poll.
		FetchCooldown: fetchCooldown,
		Plugins:       []rivertype.Plugin{riverpg.NewLimit(cfg.MaxArgs)},
		Logger:        app.logger,
		Schema:        app.schema.River,
		Test:          app.byDatabaseClock(),
	})
	if err != nil {
		app.Pool.Close()
		return nil, fmt.Errorf("river: %w", err)
	}
	app.Ledger = batch.NewLedger(app.Pool, app.schema, app.Client)
	return app, nil
}

// connect opens the pool and asks the database what time it is.
func (a *App) connect(ctx context.Context, opts *Opts) error {
	poolConfig, err := a.poolConfig()
	if err != nil {
		return err
	}
	if opts.SharedSessions && poolConfig.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		poolConfig.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	poolConfig.BeforeConnect = a.ownSession
	workers := 0
	for _, queue := range a.Config.Queues {
		workers += queue.Workers
	}
	a.sizePool(poolConfig, workers)
	a.sessions.watch(poolConfig, func() bool { return a.processID() != "" })
	if a.Pool, err = pgxpool.NewWithConfig(ctx, poolConfig); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if _, err := a.clock.Ask(ctx, a.Pool); err != nil {
		a.Pool.Close()
		return fmt.Errorf("database: %w", withoutPassword(err))
	}
	return nil
}

// ownSessions has all sessions from now on pinned, once Check has found that they are this program's own.
func (a *App) ownSessions() {
	if !a.working.Swap(true) {
		a.Pool.Reset()
	}
}

// ownSession pins what a worker's sessions depend on, and makes those of one that died findable, so that what they lock can be
// freed.
func (a *App) ownSession(_ context.Context, c *pgx.ConnConfig) error {
	if a.working.Load() {
		session.Pin(c)
	}
	if id := a.processID(); id != "" {
		rescue.TagSessions(c, id)
	}
	return nil
}

// Close ends the connections.
func (a *App) Close() {
	a.storageMu.Lock()
	defer a.storageMu.Unlock()
	if a.storage != nil {
		if err := a.storage.Close(); err != nil {
			a.logger.Warn("close the storage", "error", err)
		}
	}
	a.Pool.Close()
}

// Schema says where the tables are.
func (a *App) Schema() migrations.Schema { return a.schema }

// Migrate brings the database up to date, applies the configuration (see Apply), and returns the steps of the migration.
func (a *App) Migrate(ctx context.Context) ([]migrations.Step, error) {
	steps, err := migrations.Up(ctx, a.Pool, a.schema, a.logger)
	if err != nil {
		return steps, err
	}
	a.ownSessions()
	_, err = a.Apply(ctx)
	return steps, err
}

// Storage opens the configured storage on first use.
func (a *App) Storage(ctx context.Context) (*storage.Bucket, error) {
	a.storageMu.Lock()
	defer a.storageMu.Unlock()
	if a.storage == nil {
		file, folder := a.Config.Storage.Modes()
		bucket, err := storage.OpenWith(ctx, a.Config.Storage.URL, storage.Modes{File: file, Folder: folder})
		if err != nil {
			return nil, err
		}
		a.storage = bucket
	}
	return a.storage, nil
}
