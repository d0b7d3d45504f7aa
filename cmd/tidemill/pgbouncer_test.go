//go:build linux

package main

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/testbouncer"
)

// pgbouncer MODE [NAME=VALUE…] starts a PgBouncer of that pool_mode, with such settings, before the script's database, and
// sets DATABASE_URL to it. DIRECT_URL is the database.
func cmdPgBouncer(ts *testscript.TestScript, args []string) error {
	w := worldOf(ts)
	if ts.Getenv("DIRECT_URL") == "" {
		ts.Setenv("DIRECT_URL", ts.Getenv("DATABASE_URL"))
		w.addVariable("DIRECT_URL")
	}
	opts := testbouncer.Opts{URL: ts.Getenv("DIRECT_URL"), Mode: args[0], Settings: map[string]string{"default_pool_size": "100"}}
	for _, setting := range args[1:] {
		name, value, _ := strings.Cut(setting, "=")
		opts.Settings[name] = value
	}
	ts.Setenv("DATABASE_URL", testbouncer.Start(w.tb, opts))
	return nil
}
