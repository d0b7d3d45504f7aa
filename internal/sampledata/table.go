package sampledata

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PeopleTable is the table of the demo, in the schema tidemill_demo.
const PeopleTable = "tidemill_demo.people"

const makePeople = `
DROP TABLE IF EXISTS ` + PeopleTable + `;
CREATE TABLE ` + PeopleTable + ` (
    id          bigint NOT NULL,
    email       text PRIMARY KEY,
    full_name   text NOT NULL,
    country     text,
    signup_date date,
    age         integer,
    balance     numeric(12, 2),
    notes       text,
    created_at  timestamptz NOT NULL
)`

// Querier is the part of a pool, connection or transaction that the demo's table needs.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// MakePeopleTable makes an empty PeopleTable, in place of the one of an earlier demo.
func MakePeopleTable(ctx context.Context, db Querier) error {
	if _, err := db.Exec(ctx, makePeople); err != nil {
		return fmt.Errorf("make the demo table: %w", err)
	}
	return nil
}

// CountPeople returns how many rows PeopleTable has, and how many e-mails.
func CountPeople(ctx context.Context, db Querier) (rows, emails int64, err error) {
	if err := db.QueryRow(ctx, "SELECT count(*), count(DISTINCT email) FROM "+PeopleTable).Scan(&rows, &emails); err != nil {
		return 0, 0, fmt.Errorf("count the demo's table: %w", err)
	}
	return rows, emails, nil
}
