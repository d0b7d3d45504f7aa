// Command go is an application with net/http whose sign-up enqueues in its own transaction, in three ways: with Tidemill's
// App, with River's client, and with nothing but database/sql. It works the jobs, too.
//
//	psql "$DATABASE_URL" -f examples/schema.sql
//	cd examples/go && go run .
//	curl -d '{"email": "ada@example.com", "plan": "team"}' localhost:3000/start     # or /insert or /sql
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx of database/sql
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("sign-up", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	app, err := tidemill.Load(ctx, "tidemill.yaml", nil)
	if err != nil {
		return err
	}
	defer app.Close()
	if err := register(app); err != nil {
		return err
	}
	if _, err := app.Migrate(ctx); err != nil { // with several processes, a step of the deployment instead
		return err
	}
	db, err := sql.Open("pgx", app.Config.Database.URL)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer db.Close()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return app.Run(ctx, nil) })
	group.Go(func() error { return serve(ctx, routes(app, db)) })
	return group.Wait()
}

// register adds the application's kinds.
func register(app *tidemill.App) error {
	return river.AddWorkerSafely(app.Workers, &WelcomeWorker{pool: app.Pool})
}

// routes differ in how they enqueue. Only two of them need the App; a program that has the third may be any.
func routes(app *tidemill.App, db *sql.DB) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /start", signUpHandler(func(ctx context.Context, form signUp) (int64, error) { return form.start(ctx, app) }))
	mux.Handle("POST /insert", signUpHandler(func(ctx context.Context, form signUp) (int64, error) { return form.insert(ctx, app) }))
	mux.Handle("POST /sql", signUpHandler(func(ctx context.Context, form signUp) (int64, error) { return form.enqueue(ctx, db) }))
	return mux
}

func serve(ctx context.Context, handler http.Handler) error {
	server := &http.Server{Addr: "127.0.0.1:3000", Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		close(stopped)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen: %w", err)
	}
	<-stopped // the requests that were at work have their answers
	return nil
}
