package tidemill

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/migrations"
)

// Applying gives up a lock that it does not get, and says who has it, while jobs are started as ever.
func TestApplySaysWhoIsInTheWay(t *testing.T) {
	t.Parallel()

	app := setupInterface(t)
	tx, err := app.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `UPDATE tidemill.setting SET notify = notify`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	gaveUp := make(chan error, 1)
	go func() {
		_, err := app.Apply(ctx)
		gaveUp <- err
	}()
	for ctx.Err() == nil {
		began := time.Now()
		if _, err := ask[int64](t, app, `SELECT tidemill.enqueue('letter', '{"to": "a"}')`); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("an enqueue took %s", took)
		}
	}
	var blocked *migrations.BlockedError
	if err := <-gaveUp; !errors.As(err, &blocked) || !strings.Contains(err.Error(), "holds setting since ") {
		t.Error(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Apply(t.Context()); err != nil {
		t.Error(err)
	}
}
