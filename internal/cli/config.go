package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

func (m *Main) configCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "config", Short: "Check, show and apply the configuration file"})
	var offline bool
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Check the configuration, also against the live database", Args: args(0, 1),
		Long: `Checks the file, then checks each job against the live database: tables, columns, a unique index on
match, statements.

--offline skips the database, and the variables of ${NAME} need not be set.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				m.configPath = args[0]
			}
			return m.checkConfig(cmd.Context(), offline)
		},
	}
	check.Flags().BoolVar(&offline, "offline", false, "without the database and without secrets")
	cmd.AddCommand(check, m.applyCmd(), m.configShowCmd(), &cobra.Command{
		Use: "reference", Short: "Print the description of all fields, in Markdown: docs/CONFIG.md, with the kinds that this program brings", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := m.Stdout.Write(config.Reference(tidemill.Kinds(m.Kinds...)))
			return err
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print a JSON Schema of tidemill.yaml for editors", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := m.Stdout.Write(config.Schema(tidemill.Kinds(m.Kinds...)))
			return err
		},
	})
	return cmd
}

func (m *Main) checkConfig(ctx context.Context, offline bool) error {
	cfg, problems, notes, err := m.findProblems(ctx, offline)
	var list field.Errors
	switch {
	case errors.As(err, &list):
		problems = list
	case err != nil:
		return err
	}
	if m.json {
		return m.problemsJSON(cfg, problems, notes)
	}
	if len(problems) > 0 {
		return problems
	}
	asked := ""
	if offline {
		asked = " (database not asked)"
	}
	for _, note := range notes {
		fmt.Fprintf(m.Stdout, "note: %s\n", note)
	}
	_, err = fmt.Fprintf(m.Stdout, "%s: %s, no problem found%s\n", cmp.Or(cfg.File, "no file"), count(int64(len(cfg.Jobs)), "job", "jobs"), asked)
	return err
}

// findProblems returns those of the live database, and notes, which are not problems but worth knowing; those of the file itself
// are an error of type config.Errors.
func (m *Main) findProblems(ctx context.Context, offline bool) (_ *config.Config, problems field.Errors, notes []string, _ error) {
	if offline {
		cfg, err := config.Load(cmp.Or(m.configFile(), defaultConfigFile), &config.Opts{Kinds: tidemill.Kinds(m.Kinds...), Offline: true})
		return cfg, nil, nil, err
	}
	app, err := m.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	defer app.Close()
	for _, name := range slices.Sorted(maps.Keys(app.Config.Jobs)) {
		job := app.Config.Jobs[name]
		found, lines, err := checkLive(ctx, app, job)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("check job %s: %w", job.Name, err)
		}
		problems, notes = append(problems, found...), append(notes, lines...)
	}
	slices.SortStableFunc(problems, func(a, b *field.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return app.Config, problems, notes, nil
}

func checkLive(ctx context.Context, app *tidemill.App, job *config.Job) (problems field.Errors, notes []string, err error) {
	k := kindOf(app, job)
	if k.CheckLive != nil {
		problems, err = k.CheckLive(ctx, app.Pool, app.Config, job)
	}
	if err == nil && len(problems) == 0 && k.NotesLive != nil {
		notes, err = k.NotesLive(ctx, app.Pool, job)
	}
	return problems, notes, err
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Text    string `json:"text,omitempty"` // the value at fault
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (m *Main) problemsJSON(cfg *config.Config, problems field.Errors, notes []string) error {
	out := struct {
		OK       bool          `json:"ok"`
		Jobs     int           `json:"jobs"`
		Problems []problemJSON `json:"problems"`
		Notes    []string      `json:"notes"`
	}{OK: len(problems) == 0, Problems: []problemJSON{}, Notes: append([]string{}, notes...)}
	if cfg != nil {
		out.Jobs = len(cfg.Jobs)
	}
	for _, p := range problems {
		out.Problems = append(out.Problems, problemJSON{p.File, p.Line, p.Column, p.Path, p.Text, p.Message, p.Hint})
	}
	if err := m.printJSON(out); err != nil {
		return err
	}
	if !out.OK {
		return &exitError{code: exitFailed}
	}
	return nil
}
