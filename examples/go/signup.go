package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill"
)

type signUp struct {
	Email string `json:"email"`
	Plan  string `json:"plan"`
}

const (
	insertUser         = `INSERT INTO app.users (email) VALUES ($1) RETURNING id`
	insertSubscription = `INSERT INTO app.subscriptions (user_id, plan) VALUES ($1, $2)`
)

// start starts the job welcome of tidemill.yaml, which gives it a run in the ledger.
func (s signUp) start(ctx context.Context, app *tidemill.App) (int64, error) {
	return s.inTx(ctx, app, func(tx pgx.Tx, user int64) error {
		_, err := app.StartTx(ctx, tx, "welcome", tidemill.Params{"user_id": user})
		return err
	})
}

// insert inserts a plain job of River.
func (s signUp) insert(ctx context.Context, app *tidemill.App) (int64, error) {
	return s.inTx(ctx, app, func(tx pgx.Tx, user int64) error {
		_, err := app.Client.InsertTx(ctx, tx, WelcomeArgs{UserID: user}, nil)
		return err
	})
}

// inTx writes user, job and subscription in one transaction: there is never one without the others.
func (s signUp) inTx(ctx context.Context, app *tidemill.App, enqueue func(tx pgx.Tx, user int64) error) (user int64, err error) {
	err = pgx.BeginFunc(ctx, app.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, insertUser, s.Email).Scan(&user); err != nil {
			return err
		}
		if err := enqueue(tx, user); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertSubscription, user, s.Plan)
		return err
	})
	return user, err
}

// signUpHandler answers with what do returns.
func signUpHandler(do func(context.Context, signUp) (int64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var form signUp
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&form); err != nil {
			http.Error(w, "the body is not the JSON of a sign-up", http.StatusBadRequest)
			return
		}
		user, err := do(r.Context(), form)
		var pg *pgconn.PgError
		switch {
		case errors.As(err, &pg) && pg.Code == "23503": // foreign_key_violation
			http.Error(w, "there is no such plan", http.StatusUnprocessableEntity) // no user, and no job
		case err != nil:
			slog.ErrorContext(r.Context(), "sign-up", "error", err)
			http.Error(w, "this did not work", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]int64{"id": user})
		}
	}
}
