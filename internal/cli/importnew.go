package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/workers/importjob"
)

// importNew starts a look for new files in the source of a job, and follows it and the imports that it starts.
func (m *Main) importNew(ctx context.Context, job string, detach bool) error {
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()
	if def, ok := app.Config.Jobs[job]; ok && (def.Kind != "import" || def.Spec.(*importjob.Config).Source.URL == "") {
		if def.Kind != "import" {
			return fmt.Errorf("job %s is of kind %s, not import", job, def.Kind)
		}
		return &usageError{err: fmt.Errorf("job %s has no source, so it needs a file", job), hint: fmt.Sprintf("tidemill import %s FILE", job)}
	}
	id, existing, err := app.Start(ctx, job, StartOpts{})
	if err != nil {
		return m.explainStart(app, job, err)
	}
	if detach {
		if m.json {
			return m.printJSON(map[string]any{"id": id, "existing": existing})
		}
		_, err := fmt.Fprintln(m.Stdout, id)
		return err
	}
	bar := newProgress(m.Stderr)
	scan, err := m.await(ctx, app, id, bar)
	if err != nil {
		return err
	}
	if !m.json {
		m.summary(m.Stdout, scan)
	}
	var result importjob.ScanResult
	if len(scan.Result) > 0 {
		if err := json.Unmarshal(scan.Result, &result); err != nil {
			return fmt.Errorf("result of run %d: %w", id, err)
		}
	}
	runs, worst := []*batch.Info{}, exitOf(scan)
	for _, id := range result.Runs {
		info, err := m.await(ctx, app, id, bar)
		if err != nil {
			return err
		}
		runs = append(runs, info)
		worst = worse(worst, exitOf(info))
		if !m.json {
			fmt.Fprintln(m.Stdout, printable(fileOf(info)))
			m.summary(m.Stdout, info)
		}
	}
	if m.json {
		if err := m.printJSON(map[string]any{"scan": scan, "runs": runs}); err != nil {
			return err
		}
	} else if more := result.New - result.Same - int64(len(runs)); more > 0 {
		fmt.Fprintf(m.Stdout, "and %s: tidemill runs list --job %s\n", count(more, "run", "runs"), job)
	}
	return worst
}

// worse returns which of two ends of runs is the worse one.
func worse(a, b error) error {
	var one *exitError
	if errors.As(a, &one) && one.code == exitFailed || b == nil {
		return a
	}
	return b
}

// fileOf names the file of an import.
func fileOf(info *batch.Info) string {
	var params struct {
		File   string `json:"file"`
		Source string `json:"source"`
	}
	_ = json.Unmarshal(info.Params, &params)
	if params.Source != "" {
		return params.Source
	}
	return params.File
}
