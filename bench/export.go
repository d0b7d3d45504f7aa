package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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

// benchExport writes a table with psql's \copy, with exports into the storage, and with exports that are fetched into a file,
// in turn.
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
	fmt.Println("| consistency | psql | the run | tidemill export -o FILE | psql / run | psql / export | CPU of psql | CPU of the run |\n|---|---|---|---|---|---|---|---|")
	for _, job := range []string{"keyset", "snapshot"} {
		var psql, run, whole, ratio, wholeRatio, psqlCPU, runCPU []float64
		for round := range b.rounds + 1 {
			p, err := ib.exportByPSQL(ctx, filepath.Join(b.dir, "psql.csv"))
			if err != nil {
				return err
			}
			r, err := ib.timeExport(ctx, job, "", int64(stats.Rows))
			if err != nil {
				return err
			}
			x, err := ib.timeExport(ctx, job, filepath.Join(b.dir, "export.csv"), int64(stats.Rows))
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s, round %d: psql %.2f s, run %.2f s, export %.2f s; CPU of psql %.2f s, of the run %.2f s\n", job, round, p.whole, r.own, x.whole, p.cpu, r.cpu)
			if round == 0 {
				continue // warms caches on both sides
			}
			psql, run, whole = append(psql, p.whole), append(run, r.own), append(whole, x.whole)
			ratio, wholeRatio = append(ratio, p.whole/r.own), append(wholeRatio, p.whole/x.whole)
			psqlCPU, runCPU = append(psqlCPU, p.cpu), append(runCPU, r.cpu)
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", job, spreadOf(psql), spreadOf(run), spreadOf(whole), spreadOf(ratio), spreadOf(wholeRatio),
			spreadOf(psqlCPU), spreadOf(runCPU))
	}
	peak, err := ib.memory("VmHWM")
	if err != nil {
		return err
	}
	fmt.Printf("\nworker: idle %d MiB, peak %d MiB, %d MiB above idle\n", idle>>10, peak>>10, (peak-idle)>>10)
	return nil
}

// exportTime is how long a file took, in seconds.
type exportTime struct {
	whole float64 // of the command
	own   float64 // of the run within it, from its start to the commit of its last chunk
	cpu   float64 // of server, worker and command
}

func (ib *importBench) exportByPSQL(ctx context.Context, out string) (exportTime, error) {
	before, err := ib.cpu()
	if err != nil {
		return exportTime{}, err
	}
	cmd := exec.CommandContext(ctx, ib.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", ib.db.URL(), "-c", `\copy (`+exportQuery+`) TO '`+out+`' CSV HEADER`)
	began := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return exportTime{}, fmt.Errorf("psql: %w: %s", err, output)
	}
	whole := time.Since(began)
	// The time of a session is the server's once it has ended.
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return exportTime{}, err
	}
	after, err := ib.cpu()
	return exportTime{whole: whole.Seconds(), cpu: (after - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}, err
}

func (ib *importBench) timeExport(ctx context.Context, job, out string, rows int64) (exportTime, error) {
	worker, err := ib.workerCPU()
	if err != nil {
		return exportTime{}, err
	}
	before, err := ib.cpu()
	if err != nil {
		return exportTime{}, err
	}
	args := []string{"export", job, "--json"}
	if out != "" {
		args = append(args, "-o", out)
	}
	cmd := ib.command(ctx, args...)
	began := time.Now()
	output, err := cmd.Output()
	whole := time.Since(began)
	if err != nil {
		return exportTime{}, fmt.Errorf("export: %w: %s", err, output)
	}
	var run struct {
		StartedAt  time.Time `json:"started_at"`
		FinishedAt time.Time `json:"finished_at"`
		Result     struct{ Rows int64 }
	}
	if err := json.Unmarshal(output, &run); err != nil {
		return exportTime{}, err
	}
	if run.Result.Rows != rows {
		return exportTime{}, fmt.Errorf("exported %d rows", run.Result.Rows)
	}
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return exportTime{}, err
	}
	after, err := ib.cpu()
	if err != nil {
		return exportTime{}, err
	}
	workerAfter, err := ib.workerCPU()
	cpu := after - before + workerAfter - worker + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return exportTime{whole: whole.Seconds(), own: run.FinishedAt.Sub(run.StartedAt).Seconds(), cpu: cpu.Seconds()}, err
}

// workerCPU is the CPU time of the worker so far.
func (ib *importBench) workerCPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", ib.worker.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time is measured on Linux only: %w", err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, nil // USER_HZ is 100 on Linux
}
