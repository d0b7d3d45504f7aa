package tidemill

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

// wire lies between a worker and its database. While it is stalled it takes connections and passes nothing on.
type wire struct {
	far     func() (net.Conn, error)
	refuses atomic.Bool
	stalled atomic.Pointer[chan struct{}] // closed when it passes bytes again

	mu        sync.Mutex
	conns     []net.Conn // near, far, near, far, …
	forgotten map[net.Conn]bool
}

// newWire returns a wire, and the database's URL at its near end.
func newWire(t *testing.T, database string) (*wire, string) {
	t.Helper()
	far, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{forgotten: map[net.Conn]bool{}, far: func() (net.Conn, error) {
		if strings.HasPrefix(far.Host, "/") {
			return net.Dial("unix", filepath.Join(far.Host, ".s.PGSQL."+strconv.Itoa(int(far.Port))))
		}
		return net.Dial("tcp", net.JoinHostPort(far.Host, strconv.Itoa(int(far.Port))))
	}}
	w.flow()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(near)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); w.cut() })
	return w, fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&connect_timeout=2", url.PathEscape(far.User), listener.Addr(), far.Database)
}

func (w *wire) serve(near net.Conn) {
	if w.refuses.Load() {
		_ = near.Close()
		return
	}
	far, err := w.far()
	if err != nil {
		_ = near.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, near, far)
	w.mu.Unlock()
	pass := func(to, from net.Conn) {
		defer func() {
			if !w.isForgotten(near) {
				_, _ = near.Close(), far.Close()
			}
		}()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			<-*w.stalled.Load()
			if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil && !w.isForgotten(near) {
				return
			}
		}
	}
	go pass(far, near)
	pass(near, far)
}

func (w *wire) stall() { ch := make(chan struct{}); w.stalled.Store(&ch) }

// flow lets bytes pass, those that wait first.
func (w *wire) flow() {
	ch := make(chan struct{})
	close(ch)
	if old := w.stalled.Swap(&ch); old != nil && *old != nil {
		select {
		case <-*old:
		default:
			close(*old)
		}
	}
}

// forget closes the far ends of all connections, and leaves the near ones open and silent. New connections pass.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 0; i < len(w.conns); i += 2 {
		near, far := w.conns[i], w.conns[i+1]
		w.forgotten[near] = true
		_ = far.Close()
	}
	w.conns = nil
}

func (w *wire) isForgotten(near net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forgotten[near]
}

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// A worker that has begun to work ends when its caller says so, and for no trouble of the database.
func TestWorkerNeverEndsByItself(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	tests := []struct {
		name    string
		trouble func(t *testing.T, w *wire, database string) (over func())
	}{
		{"nothing passes, and connect_timeout is set", func(_ *testing.T, w *wire, _ string) func() {
			w.stall()
			return func() { w.flow(); w.cut() }
		}},
		{"the server has become read-only", func(t *testing.T, _ *wire, database string) func() {
			setReadOnly(t, database, "on")
			return func() { setReadOnly(t, database, "off") }
		}},
		{"nobody can connect", func(_ *testing.T, w *wire, _ string) func() {
			w.refuses.Store(true)
			w.cut()
			return func() { w.refuses.Store(false) }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			database := testengine.URL(t)
			w, near := newWire(t, database)
			cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\njobs: {second: {kind: second}}\n"),
				&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return near, true }})
			if err != nil {
				t.Fatal(err)
			}
			app, err := New(ctx, cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(app.Close)
			second := &secondWorker{worked: make(chan time.Time, 10)}
			river.AddWorker(app.Workers, second)
			running, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- app.Run(running, nil) }()
			t.Cleanup(func() { stop(); <-ended })
			insert := func() {
				conn, err := pgx.Connect(ctx, database)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close(ctx) }()
				if _, err := conn.Exec(ctx, `SELECT tidemill.enqueue('second')`); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(what string, within time.Duration) {
				t.Helper()
				select {
				case <-second.worked:
				case err := <-ended:
					ended <- err
					t.Fatalf("%s: the worker has ended: %v", what, err)
				case <-time.After(within):
					t.Fatalf("%s: the job was not worked within %s", what, within)
				}
			}
			waitKnown(t, database)
			insert()
			expect("before", 30*time.Second)

			over := tt.trouble(t, w, database)
			select { // longer than a process may be silent, so that it starts over in the trouble, more than once
			case err := <-ended:
				ended <- err
				t.Fatalf("the worker ended in the trouble: %v", err)
			case <-time.After(15 * time.Second):
			}
			over()
			insert()
			expect("after", 30*time.Second)
		})
	}
}

// sleepArgs is a job that waits inside the database.
type sleepArgs struct {
	Seconds int `json:"seconds"`
}

func (sleepArgs) Kind() string { return "sleep" }

type sleepWorker struct {
	river.WorkerDefaults[sleepArgs]
	pool  *pgxpool.Pool
	begun chan struct{}
	ended chan error
}

func (*sleepWorker) Timeout(*river.Job[sleepArgs]) time.Duration { return -1 }

func (w *sleepWorker) Work(ctx context.Context, job *river.Job[sleepArgs]) error {
	w.begun <- struct{}{}
	_, err := w.pool.Exec(ctx, `SELECT pg_sleep($1)`, job.Args.Seconds)
	w.ended <- err
	return nil
}

// A network that loses connections without a word to the worker does not keep a job waiting for an answer that never
// comes, although the worker itself finds another way and lives on.
func TestLostConnectionsAreClosed(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	database := testengine.URL(t)
	w, near := newWire(t, database)
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\njobs: {sleep: {kind: sleep}}\n"),
		&config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return near, true }})
	if err != nil {
		t.Fatal(err)
	}
	app, err := New(ctx, cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	worker := &sleepWorker{pool: app.Pool, begun: make(chan struct{}, 1), ended: make(chan error, 1)}
	river.AddWorker(app.Workers, worker)
	work(t, app)
	if _, err := app.Start(ctx, "sleep", Params{"seconds": 300}); err != nil {
		t.Fatal(err)
	}
	<-worker.begun
	admin := testdb.Pool(t, database)
	for asleep := false; !asleep; {
		err := admin.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep($1)%' AND state = 'active' AND pid <> pg_backend_pid())`).Scan(&asleep)
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	w.forget()
	select {
	case err := <-worker.ended:
		if err == nil {
			t.Error("the statement ended well")
		}
		t.Logf("after %s: %v", time.Since(began).Round(100*time.Millisecond), err)
	case <-time.After(time.Minute):
		t.Fatal("the job still waits for an answer on a connection that the server does not have")
	}
}

// setReadOnly makes all sessions of the database begin again, as after a failover.
func setReadOnly(t *testing.T, database, to string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{
		"SET default_transaction_read_only = off",
		"ALTER DATABASE " + pgx.Identifier{conn.Config().Database}.Sanitize() + " SET default_transaction_read_only = " + to,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
}

// waitKnown waits until a worker has made the kind known.
func waitKnown(t *testing.T, database string) {
	t.Helper()
	pool := testdb.Pool(t, database)
	for n := 0; n == 0; {
		if err := pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.kind WHERE kind = 'second'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	pool.Close()
}
