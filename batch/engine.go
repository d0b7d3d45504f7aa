package batch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/dbtext"
	"github.com/tidemill/tidemill/migrations"
)

// Opts configures an Engine. Only Pool is required.
type Opts struct {
	// Pool runs the chunk transactions. It must reach PostgreSQL directly or through a session pooler.
	Pool *pgxpool.Pool
	// Schema says where the tables are; default tidemill.
	Schema migrations.Schema
	// Logger receives what has no caller to be returned to; default slog.Default().
	Logger *slog.Logger
	// ChunkTimeout bounds each statement of a chunk; default 5 minutes.
	ChunkTimeout time.Duration
	// IdleTimeout bounds how long a chunk's transaction may sit between two statements; default 10 s. It is what frees
	// the locks of a process that was frozen in the middle.
	IdleTimeout time.Duration
	// Clock is what due times of retries are counted from; default time.Now. Where machines disagree about the time, let it be
	// the database's, and River's, too.
	Clock func() time.Time
}

// Engine runs attempts of chunked jobs. Give it to River as a plugin, so that workers find it in their context.
type Engine struct {
	river.PluginDefaults

	opts     Opts
	drain    sync.Once
	draining chan struct{}
	// ahead is taken by each transaction that waits for its turn. They may hold half of the pool: whoever has the turn must
	// be able to get a connection.
	ahead    chan struct{}
	encoding dbtext.Known
}

var (
	_ rivertype.Plugin           = (*Engine)(nil)
	_ rivertype.WorkerMiddleware = (*Engine)(nil)
)

// New returns an Engine. It panics without a pool: that is a mistake in the program, not in its input.
func New(opts Opts) *Engine {
	if opts.Pool == nil {
		panic("batch.New: Opts.Pool is nil")
	}
	opts.Schema = opts.Schema.Defaults()
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	opts.ChunkTimeout = cmp.Or(opts.ChunkTimeout, 5*time.Minute)
	opts.IdleTimeout = cmp.Or(opts.IdleTimeout, 10*time.Second)
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	return &Engine{opts: opts, draining: make(chan struct{}), ahead: make(chan struct{}, opts.Pool.Config().MaxConns/2)}
}

// Drain makes every run stop after its current chunk and go back to its queue, at no cost of an attempt. It cannot be
// taken back. Call it when the process is asked to stop.
func (e *Engine) Drain() { e.drain.Do(func() { close(e.draining) }) }

type engineKey struct{}

// Work puts the engine into the context of each job; River calls it.
func (e *Engine) Work(ctx context.Context, _ *rivertype.JobRow, doInner func(context.Context) error) error {
	return e.storableError(ctx, doInner(context.WithValue(ctx, engineKey{}, e)))
}

// textError has a text that the database takes.
type textError struct {
	error
	text string
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.error }

// storableError keeps a text that PostgreSQL refuses, such as one that quotes a NUL of a file, from River: it stores the ends
// of many jobs in one statement, which would fail again and again, and none of them would ever end.
func (e *Engine) storableError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if text := dbtext.Fit(e.encoding.Of(ctx, e.opts.Pool), storable(err.Error())); text != err.Error() {
		return &textError{err, text}
	}
	return err
}

var errNoEngine = errors.New("batch: no engine in the job's context: add batch.New(…) to river.Config.Plugins")

func fromContext(ctx context.Context) (*Engine, error) {
	e, ok := ctx.Value(engineKey{}).(*Engine)
	if !ok {
		return nil, errNoEngine
	}
	return e, nil
}

// sql fills the schema names into a statement.
func (e *Engine) sql(query string) string { return e.opts.Schema.SQL(query) }
