package tidemill

import (
	"errors"
	"testing"

	"github.com/tidemill/tidemill/config"
)

// PostgreSQL stores no NUL. A start says which param has one, whatever the kind of job, and starts nothing.
func TestStartRefusesNUL(t *testing.T) {
	t.Parallel()
	app := setupInterface(t)
	for _, tt := range []struct {
		job    string
		params Params
		param  string
	}{
		{"letters", Params{"to": "a\x00b"}, "to"},
		{"letters", Params{"to": []any{map[string]any{"a\x00": 1}}}, "to"},
		{"dated", Params{"n": 1, "note": "\x00"}, "note"},
	} {
		_, err := app.Start(t.Context(), tt.job, tt.params)
		var wrong *config.ParamError
		if !errors.As(err, &wrong) || wrong.Param != tt.param {
			t.Errorf("%s %q: %v", tt.job, tt.params, err)
		}
	}
	if n := must(ask[int](t, app, `SELECT count(*)::int FROM tidemill.river_job`)); n != 0 {
		t.Errorf("%d jobs", n)
	}
}
