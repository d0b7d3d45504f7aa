package riverpg_test

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What is stored of a long error is short, and says so.
func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.worker.ends["fail"] = func(context.Context) error {
		return errors.New("begin " + strings.Repeat("é", 2<<20) + " end")
	}
	ids := b.start(t, 1, func(int) string { return "fail" })
	close(b.worker.gate)
	b.until(t, 1, `SELECT count(*) FROM tidemill.river_job WHERE id = $1 AND state = 'retryable'`, ids[0])
	var text string
	if err := b.pool.QueryRow(context.Background(), `SELECT errors[1]->>'error' FROM tidemill.river_job WHERE id = $1`, ids[0]).Scan(&text); err != nil {
		t.Fatal(err)
	}
	if len(text) > 17<<10 || !strings.HasPrefix(text, "begin éé") || !strings.HasSuffix(text, "éé end") ||
		!strings.Contains(text, "é … (4177930 bytes are left out) … é") {
		t.Errorf("%d bytes: %.20s … %s", len(text), text, text[len(text)-40:])
		t.Error(text[8100:8300])
	}
}
