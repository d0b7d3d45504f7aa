package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/migrations"
)

// A deployment migrates once; each process checks at its start.
func ExampleUp() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	schema := migrations.Schema{Name: "jobs"} // our tables and River's; both are in schema tidemill by default
	fmt.Println("pending:", errors.Is(migrations.Check(ctx, pool, schema), migrations.ErrPending))
	if _, err := migrations.Up(ctx, pool, schema, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("check:", migrations.Check(ctx, pool, schema))

	// Output:
	// pending: true
	// check: <nil>
}
