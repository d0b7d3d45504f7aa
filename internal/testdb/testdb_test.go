package testdb

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestURLIsEmptyAndOwn(t *testing.T) {
	t.Parallel()
	a, b := URL(t), URL(t)
	if a == b {
		t.Fatalf("two databases have one URL %s", a)
	}
	poolA, poolB := Pool(t, a), Pool(t, b)
	if _, err := poolA.Exec(t.Context(), "CREATE TABLE mark (x int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := poolB.Exec(t.Context(), "CREATE TABLE mark (x int)"); err != nil {
		t.Fatal(err)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	calls := 0
	prepare := func(ctx context.Context, url string) error {
		calls++
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE TABLE mark (x int); INSERT INTO mark VALUES (7)")
		return err
	}
	for range 3 {
		url := Template(t, "mark", prepare)
		var x int
		if err := Pool(t, url).QueryRow(t.Context(), "DELETE FROM mark RETURNING x").Scan(&x); err != nil {
			t.Fatal(err)
		}
		if x != 7 {
			t.Errorf("x = %d, want 7", x)
		}
	}
	if calls != 1 {
		t.Errorf("the template was prepared %d times", calls)
	}
}
