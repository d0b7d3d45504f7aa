package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgloader loads a file as its manual says for CSV, with its defaults; Debian has it as a package.
func pgloader(ctx context.Context, ib *importBench, file string) (time.Duration, error) {
	binary, err := exec.LookPath("pgloader")
	if err != nil {
		return 0, fmt.Errorf("install the package pgloader: %w", err)
	}
	config, err := pgx.ParseConfig(ib.db.URL())
	if err != nil {
		return 0, err
	}
	load := filepath.Join(ib.dir, "people.load")
	err = os.WriteFile(load, fmt.Appendf(nil, `LOAD CSV
     FROM '%s' WITH ENCODING UTF-8 (id, email, full_name, country, signup_date, age, balance, notes)
     INTO postgresql://%s@unix:%s:%d/%s
     TARGET TABLE public.people (id, email, full_name, country, signup_date, age, balance, notes)
     WITH skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote, fields terminated by ',';
`, file, config.User, config.Host, config.Port, config.Database), 0o600)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, binary, "--quiet", "--root-dir", filepath.Join(ib.dir, "pgloader"), load)
	started := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgloader: %w: %s", err, out)
	}
	return time.Since(started), nil
}
