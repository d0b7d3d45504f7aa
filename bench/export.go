package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sampledata"
)

const exportQuery = "SELECT id, email, full_name, country, signup_date, age, balance, notes FROM public.people"

const exportConfig = `
  keyset: {kind: export, query: "` + exportQuery + `", order_by: [id], consistency: keyset}
  snapshot: {kind: export, query: "` + exportQuery + `", order_by: [id], consistency: snapshot, ranges: 2}
`

// benchExport writes a table with psql's \copy and with exports, in turn.
func benchExport(ctx context.Context, b *bench) error {
	if b.rounds == 0 {
		b.rounds = 5
	}
	ib, err := startImportBench(ctx, b)
	if err != nil {
		return err
	}
	defer ib.close()
	if err := ib.reset(ctx); err != nil {
		return err
	}
	file, stats, err := b.people("export", sampledata.PeopleOpts{Rows: b.rows, Seed: 1})
	if err != nil {
		return err
	}
	if _, err := ib.timePSQL(ctx, []string{`\copy people FROM '%s' CSV HEADER`}, file); err != nil {
		return err
	}
	if _, err := ib.pool.Exec(ctx, "CREATE UNIQUE INDEX ON public.people (id)"); err != nil {
		return err
	}
	if _, err := ib.pool.Exec(ctx, "VACUUM ANALYZE public.people"); err != nil {
		return err
	}
	idle, err := ib.memory("VmRSS")
	if err != nil {
		return err
	}
	fmt.Printf("%d rows, %d MB; seconds, median (least–most) of %d rounds\n\n", stats.Rows, stats.Bytes/1e6, b.rounds)
	fmt.Printf("| consistency | psql | tidemill export -o FILE | the run itself | psql / export | psql / run |\n|---|---|---|---|---|---|\n")
	for _, job := range []string{"keyset", "snapshot"} {
		var psql, whole, own, ratio, ownRatio []float64
		for round := range b.rounds + 1 {
			out := filepath.Join(b.dir, "psql.csv")
			p, err := ib.timePSQL(ctx, []string{`\copy (` + exportQuery + `) TO '%s' CSV HEADER`}, out)
			if err != nil {
				return err
			}
			w, o, err := ib.timeExport(ctx, job, filepath.Join(b.dir, "export.csv"), int64(stats.Rows))
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s, round %d: psql %.2f s, export %.2f s (run %.2f s)\n", job, round, p.Seconds(), w.Seconds(), o.Seconds())
			if round == 0 {
				continue // warms caches on both sides
			}
			psql, whole, own = append(psql, p.Seconds()), append(whole, w.Seconds()), append(own, o.Seconds())
			ratio, ownRatio = append(ratio, p.Seconds()/w.Seconds()), append(ownRatio, p.Seconds()/o.Seconds())
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", job, spreadOf(psql), spreadOf(whole), spreadOf(own), spreadOf(ratio), spreadOf(ownRatio))
	}
	peak, err := ib.memory("VmHWM")
	if err != nil {
		return err
	}
	fmt.Printf("\nworker: idle %d MiB, peak %d MiB, %d MiB above idle\n", idle>>10, peak>>10, (peak-idle)>>10)
	return nil
}

// timeExport returns how long the command took, and how long the run within it.
func (ib *importBench) timeExport(ctx context.Context, job, out string, rows int64) (whole, own time.Duration, err error) {
	began := time.Now()
	output, err := ib.command(ctx, "export", job, "-o", out, "--json").Output()
	whole = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("export: %w: %s", err, output)
	}
	var run struct {
		StartedAt, FinishedAt time.Time
		Result                struct{ Rows int64 }
	}
	text := strings.NewReplacer(`"started_at"`, `"StartedAt"`, `"finished_at"`, `"FinishedAt"`).Replace(string(output))
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		return 0, 0, err
	}
	if run.Result.Rows != rows {
		return 0, 0, errors.New("exported " + strconv.FormatInt(run.Result.Rows, 10) + " rows")
	}
	return whole, run.FinishedAt.Sub(run.StartedAt), nil
}
