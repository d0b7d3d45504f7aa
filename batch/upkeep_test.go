package batch_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tidemill/tidemill/batch"
)

// An Upkeep counts children and starts what follows their runs, also after its session was ended.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	b := setupChildren(t, 3)
	config := b.pool.Config().ConnConfig
	config.RuntimeParams["application_name"] = "upkeep"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		batch.NewUpkeep(batch.UpkeepOpts{Conn: config, Logger: slog.New(slog.DiscardHandler), Poll: time.Millisecond}).Run(ctx)
	}()
	finish := func(parent int) {
		b.exec(t, `UPDATE tidemill.river_job SET state = 'completed', finalized_at = now() WHERE metadata->'tidemill'->>'parent' = $1::bigint::text`, parent)
	}
	finish(1)
	b.wait(t, `SELECT count(*) = 1 FROM tidemill.run WHERE job = 'fan' AND metadata->>'after' = '1'`)
	b.wait(t, `SELECT count(pg_terminate_backend(pid, 5000)) = 1 FROM pg_stat_activity WHERE application_name = 'upkeep' AND datname = current_database()`)
	finish(2)
	b.wait(t, `SELECT count(*) = 1 FROM tidemill.run WHERE job = 'fan' AND metadata->>'after' = '2'`)
	stop()
	<-ended
	b.wait(t, `SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'upkeep' AND datname = current_database()`)
	for parent := range int64(2) {
		if got := b.children(t, parent+1); got.Done != 3 || !got.Settled {
			t.Errorf("run %d has %+v", parent+1, got)
		}
	}
}

// wait asks until it is so.
func (b *childBundle) wait(t *testing.T, query string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		var ok bool
		if err := b.pool.QueryRow(t.Context(), query).Scan(&ok); err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never is so: %s", query)
		}
	}
}
