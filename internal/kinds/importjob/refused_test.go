package importjob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/batch"
)

// An upload may be deleted only if no run can name it.
func TestRefusedIsCertain(t *testing.T) {
	t.Parallel()

	tests := []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("start: %w", &batch.LiveError{Job: "x", ID: 1}), true},
		{fmt.Errorf("start: %w", &pgconn.PgError{Code: "42P01"}), true},  // no such table
		{fmt.Errorf("start: %w", &pgconn.PgError{Code: "57P01"}), false}, // the server ended the session, perhaps in COMMIT
		{fmt.Errorf("commit: %w", io.ErrUnexpectedEOF), false},
		{fmt.Errorf("commit: %w", context.Canceled), false},
		{fmt.Errorf("commit: %w", context.DeadlineExceeded), false},
		{errors.New("something else"), false},
	}
	for _, tt := range tests {
		if got := refused(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
