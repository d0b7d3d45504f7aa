package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/kind"
)

// importNew starts a scan for new files in the source of a job, and follows it and the imports that it starts.
func (m *Main) importNew(ctx context.Context, job string, detach bool) error {
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()
	var input *kind.Input
	if def, ok := app.Config.Jobs[job]; ok {
		switch input = kindOf(app, def).Input; {
		case input == nil:
			return takesNoFile(def)
		case def.NeedsFile() != nil:
			return &usageError{err: fmt.Errorf("job %s has no %s, so it needs a file", job, def.NeedsFile().Unless), hint: fmt.Sprintf("tidemill import %s FILE", job)}
		}
	}
	started, err := startRun(ctx, app, job, tidemill.StartOpts{})
	if err != nil {
		return m.explainStart(app, job, err)
	}
	if detach {
		return m.printStarted(started)
	}
	bar := newProgress(m.Stderr)
	scan, err := m.await(ctx, app, started.ID, bar)
	if err != nil {
		return err
	}
	if !m.json {
		m.summary(m.Stdout, app, scan)
	}
	ids, more, err := input.Found(scan)
	if err != nil {
		return err
	}
	runs, worst := []*batch.Info{}, exitOf(scan)
	for _, id := range ids {
		info, err := m.await(ctx, app, id, bar)
		if err != nil {
			return err
		}
		runs = append(runs, info)
		worst = worse(worst, exitOf(info))
		if !m.json {
			fmt.Fprintln(m.Stdout, printable(fileOf(info)))
			m.summary(m.Stdout, app, info)
		}
	}
	if m.json {
		if err := m.printJSON(map[string]any{"scan": scan, "runs": runs}); err != nil {
			return err
		}
	} else if more > 0 {
		fmt.Fprintf(m.Stdout, "and %s: tidemill runs list --job %s\n", count(more, "run", "runs"), job)
	}
	return worst
}

func takesNoFile(job *config.Job) error {
	return withHint(fmt.Errorf("job %s is of kind %s, which takes no file", job.Name, job.Kind), startHint(job))
}

// worse returns which of two ends of runs is the worse one.
func worse(a, b error) error {
	if one, ok := errors.AsType[*exitError](a); ok && one.code == exitFailed || b == nil {
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
