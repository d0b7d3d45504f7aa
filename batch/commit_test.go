package batch_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

// cutter is a TCP proxy before the server that can end a connection around a COMMIT.
type cutter struct {
	listener net.Listener
	network  string
	address  string
	// cut is asked at every COMMIT that passes: "" lets it pass, "before" ends the connection instead of sending it,
	// "after" sends it and ends the connection before the answer.
	cut  func() string
	cuts atomic.Int64
}

func newCutter(t *testing.T, databaseURL string, cut func() string) (*cutter, string) {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, cut: cut}
	c.network, c.address = "tcp", net.JoinHostPort(config.Host, "5432")
	if strings.HasPrefix(config.Host, "/") {
		c.network, c.address = "unix", config.Host+"/.s.PGSQL."+itoa(config.Port)
	} else {
		c.address = net.JoinHostPort(config.Host, itoa(config.Port))
	}
	go c.serve()
	t.Cleanup(func() { _ = listener.Close() })
	through := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: listener.Addr().String(), Path: "/" + config.Database,
		RawQuery: "sslmode=disable",
	}
	return c, through.String()
}

func itoa(port uint16) string {
	_, s, _ := strings.Cut((&net.TCPAddr{Port: int(port)}).String(), ":")
	return s
}

func (c *cutter) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(c.network, c.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		var mute atomic.Bool // nothing goes back to the client any more
		go func() {
			_, _ = io.Copy(&muted{client, &mute}, server)
			_ = client.Close()
		}()
		go c.forward(client, server, &mute)
	}
}

type muted struct {
	net.Conn
	mute *atomic.Bool
}

func (m *muted) Write(p []byte) (int, error) {
	if m.mute.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// forward relies on a COMMIT being a message of its own, which it is with pgx: a simple query.
func (c *cutter) forward(client, server net.Conn, mute *atomic.Bool) {
	defer client.Close()
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit\x00")) {
			switch c.cut() {
			case "before":
				c.cuts.Add(1)
				return
			case "after":
				c.cuts.Add(1)
				mute.Store(true)
				_, _ = server.Write(buf[:n])
				// The answer shows that the commit has landed; it is swallowed.
				<-time.After(100 * time.Millisecond)
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A connection that dies in COMMIT leaves open whether the chunk landed. Each row must count once in either case.
func TestConnectionDiesInCommit(t *testing.T) {
	t.Parallel()

	for _, how := range []string{"before", "after", "both"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			direct := testengine.URL(t)
			var commits atomic.Int64
			proxy, through := newCutter(t, direct, func() string {
				n := commits.Add(1)
				switch {
				case n%5 != 0:
					return ""
				case how == "both" && n%2 == 0:
					return "before"
				case how == "both":
					return "after"
				}
				return how
			})
			pool := testdb.Pool(t, direct)
			if _, err := pool.Exec(ctx, `CREATE TABLE public.users (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0)`); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(ctx, `INSERT INTO public.users SELECT generate_series(1, 300)`); err != nil {
				t.Fatal(err)
			}

			// Only the chunks go through the proxy; River itself has a direct line.
			cutPool, err := pgxpool.New(ctx, through)
			if err != nil {
				t.Fatal(err)
			}
			defer cutPool.Close()
			engine := batch.New(batch.Opts{Pool: cutPool, Logger: slog.New(slog.DiscardHandler)})
			workers := river.NewWorkers()
			river.AddWorker(workers, batch.Each(batch.EachOpts[scoreArgs, int64]{
				Query: `SELECT id FROM public.users`, OrderBy: []string{"id"}, Size: 10,
				Do: func(ctx context.Context, tx pgx.Tx, c *batch.Chunk[int64]) error {
					_, err := tx.Exec(ctx, `UPDATE public.users SET n = n + 1 WHERE id = ANY($1)`, c.Rows)
					return err
				},
			}))
			client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
				Logger: slog.New(slog.DiscardHandler), Plugins: []rivertype.Plugin{engine}, Schema: migrations.DefaultSchema,
				Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1}}, Workers: workers,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := client.StopAndCancel(ctx); err != nil {
					t.Error(err)
				}
			}()
			e := &testengine.Engine{Pool: pool, Client: client, Ledger: batch.NewLedger(pool, migrations.Schema{}, client)}
			started, err := e.Ledger.Start(ctx, scoreArgs{}, batch.StartOpts{})
			if err != nil {
				t.Fatal(err)
			}
			info := e.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
			if info.Status != batch.Succeeded || info.Counters.Processed != 300 {
				t.Errorf("%s: %v, %+v", info.Status, info.Error, info.Counters)
			}
			var least, most int
			if err := pool.QueryRow(ctx, `SELECT min(n), max(n) FROM public.users`).Scan(&least, &most); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int{1, 1}, []int{least, most}); diff != "" {
				t.Errorf("rows were counted %d to %d times", least, most)
			}
			if proxy.cuts.Load() < 3 {
				t.Errorf("only %d commits were cut", proxy.cuts.Load())
			}
		})
	}
}
