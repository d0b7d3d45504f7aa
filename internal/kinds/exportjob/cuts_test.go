package exportjob

import (
	"context"
	"testing"

	"github.com/tidemill/tidemill/internal/testkind"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
)

// A snapshot of a large table must not begin by reading and sorting all of it.
func TestCutsAreASample(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	pool := testdb.Pool(t, testdb.URL(t))
	if _, err := pool.Exec(ctx, `
		CREATE TABLE plain (id int PRIMARY KEY, filler text);
		ALTER TABLE plain ALTER filler SET STORAGE PLAIN;
		INSERT INTO plain SELECT i, repeat('x', 3000) FROM generate_series(1, 8000) i;
		CREATE TABLE parted (id int PRIMARY KEY, filler text) PARTITION BY RANGE (id);
		CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (4001);
		CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (4001) TO (10000);
		ALTER TABLE parted_1 ALTER filler SET STORAGE PLAIN;
		ALTER TABLE parted_2 ALTER filler SET STORAGE PLAIN;
		INSERT INTO parted SELECT * FROM plain`); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"plain", "parted"} {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			column := exportColumn{Name: "id", number: 1}
			if err := tx.QueryRow(ctx, `SELECT $1::regclass::oid`, table).Scan(&column.table); err != nil {
				return err
			}
			before, err := testkind.RowsRead(ctx, tx, table)
			if err != nil {
				return err
			}
			cuts, err := sampleCuts(ctx, tx, column, 10)
			if err != nil {
				return err
			}
			after, err := testkind.RowsRead(ctx, tx, table)
			if err != nil {
				return err
			}
			if read := after - before; len(cuts) != 9 || read == 0 || read > 2000 {
				t.Errorf("%s: %d cuts of %d rows", table, len(cuts), read)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
