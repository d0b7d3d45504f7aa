package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/periodic"
)

func (m *Main) schedulesCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "schedules", Short: "Show and manage schedules"})
	var n int
	next := &cobra.Command{
		Use: "next [SCHEDULE]", Short: "Show when schedules are due next", Args: args(0, 1),
		Example: `  tidemill schedules next -n 5
  tidemill schedules next daily-report -n 10`,
		PreRunE: func(*cobra.Command, []string) error { return checkNumber(n) },
		RunE: m.withSchedules(func(ctx context.Context, schedules *periodic.Admin, args []string) error {
			return m.nextTicks(ctx, schedules, args, n)
		}),
	}
	next.Flags().IntVarP(&n, "number", "n", 10, "how many")
	var h int
	history := &cobra.Command{
		Use: "history [SCHEDULE]", Short: "Show the history of ticks, the newest first", Args: args(0, 1),
		PreRunE: func(*cobra.Command, []string) error { return checkNumber(h) },
		RunE: m.withSchedules(func(ctx context.Context, schedules *periodic.Admin, args []string) error {
			return m.tickHistory(ctx, schedules, first(args), h)
		}),
	}
	history.Flags().IntVarP(&h, "number", "n", 20, "how many")
	var wait bool
	trigger := &cobra.Command{
		Use: "trigger SCHEDULE", Short: "Start the job of a schedule now", Args: args(1, 1),
		Long: `Starts the job of a schedule now, beside its ticks, also while it is paused, and prints the run's id.

Asked again within a minute it prints the same id, unless that run has failed or was cancelled: then it starts another.`,
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, args []string) error {
			id, err := app.ScheduleAdmin().Trigger(ctx, args[0], "cli")
			switch {
			case err != nil:
				return explainSchedule(err)
			case wait:
				return m.follow(ctx, app, id, newProgress(m.Stderr))
			case m.json:
				return m.printJSON(map[string]any{"id": id})
			}
			_, err = fmt.Fprintln(m.Stdout, id)
			return err
		}),
	}
	trigger.Flags().BoolVar(&wait, "wait", false, "show the run until it has ended")
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List schedules", Args: args(0, 0),
			RunE: m.withSchedules(m.listSchedules),
		},
		next, history, trigger,
		m.scheduleVerb("pause", "Skip a schedule's ticks until it is resumed; each is recorded", "paused", (*periodic.Admin).Pause),
		m.scheduleVerb("resume", "End a pause; skipped ticks are not caught up", "resumed", (*periodic.Admin).Resume),
	)
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (m *Main) withSchedules(fn func(context.Context, *periodic.Admin, []string) error) func(*cobra.Command, []string) error {
	return m.withApp(func(ctx context.Context, app *tidemill.App, args []string) error {
		return explainSchedule(fn(ctx, app.ScheduleAdmin(), args))
	})
}

// checkNumber checks -n.
func checkNumber(n int) error {
	if n < 1 || n > 10_000 {
		return &usageError{err: fmt.Errorf("-n %d is not from 1 to 10000", n)}
	}
	return nil
}

func explainSchedule(err error) error {
	if errors.Is(err, periodic.ErrNoSchedule) {
		return withHint(err, "tidemill schedules list; schedules come into the database with: tidemill migrate up")
	}
	return err
}

func (m *Main) scheduleVerb(verb, short, done string, do func(*periodic.Admin, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " SCHEDULE", Short: short, Args: args(1, 1),
		RunE: m.withSchedules(func(ctx context.Context, schedules *periodic.Admin, args []string) error {
			if err := do(schedules, ctx, args[0]); err != nil {
				return err
			}
			if m.json {
				return m.printJSON(map[string]any{"schedule": args[0], done: true})
			}
			_, err := fmt.Fprintf(m.Stdout, "%s %s\n", args[0], done)
			return err
		}),
	}
}

func (m *Main) listSchedules(ctx context.Context, schedules *periodic.Admin, _ []string) error {
	all, err := schedules.List(ctx)
	if err != nil {
		return err
	}
	return list(m, all, "no schedules", []string{"SCHEDULE", "JOB", "WHEN", "NEXT", "LAST TICK"}, func(s *periodic.Status) []string {
		next, last := "never", ""
		if s.NextTickAt != nil {
			next = m.when(*s.NextTickAt)
		}
		if s.PausedAt != nil {
			next = paint(m.Stdout, yellow, "paused")
		}
		if s.LastTick != nil {
			last = s.LastTick.Outcome + " " + m.ago(s.LastTick.DueAt)
		}
		return []string{s.Name, s.Job, s.Description, next, last}
	})
}

// tickTime writes a time with its zone: a day has two of some hours.
const tickTime = "Mon 2006-01-02 15:04:05 -0700"

func (m *Main) nextTicks(ctx context.Context, schedules *periodic.Admin, args []string, n int) error {
	all, err := schedules.List(ctx)
	if len(args) > 0 {
		var one *periodic.Status
		one, err = schedules.Get(ctx, args[0])
		all = []*periodic.Status{one}
	}
	if err != nil {
		return err
	}
	type tick struct {
		Schedule string    `json:"schedule"`
		DueAt    time.Time `json:"due_at"`
	}
	ticks := []tick{}
	for _, s := range all {
		for _, at := range s.Next(m.now(), n) {
			ticks = append(ticks, tick{s.Name, at})
		}
	}
	return list(m, ticks, "no schedules", []string{"SCHEDULE", "DUE", ""}, func(t tick) []string {
		return []string{t.Schedule, t.DueAt.Format(tickTime), m.when(t.DueAt)}
	})
}

func (m *Main) tickHistory(ctx context.Context, schedules *periodic.Admin, name string, n int) error {
	ticks, err := schedules.History(ctx, name, n)
	if err != nil {
		return err
	}
	if len(ticks) == 0 && name != "" {
		if _, err := schedules.Get(ctx, name); err != nil {
			return err
		}
	}
	return list(m, ticks, "no ticks yet", []string{"SCHEDULE", "DUE", "OUTCOME", "RUN", "LATE", "REASON"}, func(t *periodic.Tick) []string {
		run, reason, late := "", "", ""
		if t.Run != nil {
			run = strconv.FormatInt(*t.Run, 10)
			late = span(max(0, t.At.Sub(t.DueAt)))
		}
		if t.Reason != nil {
			reason = *t.Reason
		}
		if t.Ticks > 1 {
			reason += fmt.Sprintf(" (%s ticks)", grouped(int64(t.Ticks)))
		}
		return []string{t.Schedule, t.DueAt.Local().Format(tickTime), t.Outcome, run, late, reason}
	})
}
