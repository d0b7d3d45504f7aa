package main

import (
	"context"
	"database/sql"
	"encoding/json"
)

// enqueue needs neither Tidemill nor River, only database/sql with any driver, and a role that deploy/grant-enqueue.sql
// was run for.
func (s signUp) enqueue(ctx context.Context, db *sql.DB) (user int64, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // after Commit it does nothing

	if err := tx.QueryRowContext(ctx, insertUser, s.Email).Scan(&user); err != nil {
		return 0, err
	}
	args, err := json.Marshal(map[string]int64{"user_id": user})
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, `SELECT tidemill.enqueue('welcome', $1)`, string(args)); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, insertSubscription, user, s.Plan); err != nil {
		return 0, err
	}
	return user, tx.Commit()
}
