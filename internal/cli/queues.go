package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/rescue"
)

func (m *Main) queuesCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "queues",
		Short: "See queues, stop and start them",
		Example: `  tidemill queues list
  tidemill queues pause low
  tidemill queues resume --all`,
	})
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List queues: what waits, what runs, who works", Args: args(0, 0),
		Long: `Lists the queues that River knows, that are configured, that a live process works, or that jobs wait in.

WAITING are jobs that a worker could take now, OLDEST is how long the first of them has waited. Counts end at ` + grouped(mostWaiting) + `.
WORKERS is how many jobs of the queue all live processes together can run at once.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			queues, err := readQueues(cmd.Context(), app)
			if err != nil {
				return err
			}
			return m.showQueues(queues)
		},
	}, m.pauseCmd("pause", "Let workers take no more jobs of a queue; running ones go on", true),
		m.pauseCmd("resume", "Let workers take jobs of a queue again", false))
	return cmd
}

// mostWaiting is where the counts of a queue end, so that a full queue costs no more than a busy one.
const mostWaiting = 10_000

// queueInfo is a queue as people see it.
type queueInfo struct {
	Name     string     `json:"queue"`
	Waiting  int64      `json:"waiting"` // at most mostWaiting
	More     bool       `json:"more"`    // there are more than mostWaiting
	Running  int64      `json:"running"` // at most mostWaiting
	Oldest   *float64   `json:"oldest_seconds"`
	PausedAt *time.Time `json:"paused_at"`
	Workers  int        `json:"workers"`
}

// busyQueues jumps through an index from one queue to the next, for both states in which a queue is in use.
const busyQueues = `
	SELECT b.queue FROM (VALUES ('available'), ('running')) s (state), LATERAL (
		WITH RECURSIVE busy (queue, n) AS (
			(SELECT queue, 1 FROM {river}.river_job WHERE state = s.state::{river}.river_job_state ORDER BY state, queue LIMIT 1)
			UNION ALL
			SELECT (SELECT j.queue FROM {river}.river_job j WHERE j.state = s.state::{river}.river_job_state AND j.queue > b.queue
			         ORDER BY j.state, j.queue LIMIT 1), n + 1
			  FROM busy b WHERE b.queue IS NOT NULL AND n < 1000)
		SELECT queue FROM busy WHERE queue IS NOT NULL) b`

// queueCounts reads each queue from the index that River fetches by. That one is ordered by time only within a priority,
// of which there are four.
const queueCounts = `
	SELECT q.name,
	       (SELECT count(*) FROM (SELECT FROM {river}.river_job j WHERE j.state = 'available' AND j.queue = q.name LIMIT $2) c),
	       (SELECT count(*) FROM (SELECT FROM {river}.river_job j WHERE j.state = 'running' AND j.queue = q.name LIMIT $2) c),
	       (SELECT extract(epoch FROM now() - min(o.scheduled_at))::float8
	          FROM (VALUES (1), (2), (3), (4)) p (priority), LATERAL (
	            SELECT j.scheduled_at FROM {river}.river_job j WHERE j.state = 'available' AND j.queue = q.name AND j.priority = p.priority
	             ORDER BY j.state, j.queue, j.priority, j.scheduled_at LIMIT 1) o)
	  FROM unnest($1::text[]) q (name)`

// readQueues returns all known queues by name.
func readQueues(ctx context.Context, app *App) ([]*queueInfo, error) {
	known, err := knownQueues(ctx, app)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	rows, err := app.Pool.Query(ctx, app.Schema.SQL(queueCounts), slices.Collect(maps.Keys(known)), mostWaiting+1)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	var name string
	var waiting, running int64
	var oldest *float64
	_, err = pgx.ForEachRow(rows, []any{&name, &waiting, &running, &oldest}, func() error {
		q := known[name]
		q.Waiting, q.More = min(waiting, mostWaiting), waiting > mostWaiting
		q.Running, q.Oldest = min(running, mostWaiting), oldest
		if oldest != nil {
			*oldest = max(0, *oldest) // the clock of whoever inserted it may be ahead
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	return slices.SortedFunc(maps.Values(known), func(a, b *queueInfo) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// knownQueues brings together everybody who speaks of a queue.
func knownQueues(ctx context.Context, app *App) (map[string]*queueInfo, error) {
	known := map[string]*queueInfo{}
	get := func(name string) *queueInfo {
		if known[name] == nil {
			known[name] = &queueInfo{Name: name}
		}
		return known[name]
	}
	registered, err := app.Client.QueueList(ctx, river.NewQueueListParams().First(10_000))
	if err != nil {
		return nil, err
	}
	for _, queue := range registered.Queues {
		get(queue.Name).PausedAt = queue.PausedAt
	}
	for name := range app.Config.Queues {
		get(name)
	}
	processes, err := rescue.List(ctx, app.Pool, app.Schema)
	if err != nil {
		return nil, err
	}
	for _, process := range processes {
		if !process.Alive() || process.Draining {
			continue
		}
		var queues map[string]int
		if err := json.Unmarshal(process.Queues, &queues); err != nil {
			return nil, fmt.Errorf("queues of process %s: %w", process.ID, err)
		}
		for name, workers := range queues {
			get(name).Workers += workers
		}
	}
	rows, err := app.Pool.Query(ctx, app.Schema.SQL(busyQueues))
	if err != nil {
		return nil, err
	}
	busy, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, name := range busy {
		get(name)
	}
	return known, nil
}

func (m *Main) showQueues(queues []*queueInfo) error {
	if m.json {
		return m.printJSON(queues)
	}
	rows := make([][]string, len(queues))
	for i, q := range queues {
		waiting, oldest, paused := grouped(q.Waiting), "", ""
		if q.More {
			waiting += "+"
		}
		if q.Oldest != nil {
			oldest = span((time.Duration(*q.Oldest * float64(time.Second))).Round(time.Second))
		}
		if q.PausedAt != nil {
			paused = m.ago(*q.PausedAt)
		}
		rows[i] = []string{oneLine(q.Name), waiting, grouped(q.Running), dash(oldest), dash(paused), strconv.Itoa(q.Workers)}
	}
	return m.table("no queues", []string{"QUEUE", "WAITING", "RUNNING", "OLDEST", "PAUSED", "WORKERS"}, rows)
}

// dash fills a cell that would be empty in the middle of a row.
func dash(text string) string { return cmp.Or(text, "-") }

func (m *Main) pauseCmd(verb, short string, pause bool) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: verb + " QUEUE...", Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case all && len(names) > 0:
				return &usageError{err: errors.New("--all and the name of a queue exclude each other")}
			case !all && len(names) == 0:
				return &usageError{err: fmt.Errorf("%s: which queue?", cmd.CommandPath()), hint: "tidemill queues list"}
			}
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			known, err := knownQueues(cmd.Context(), app)
			if err != nil {
				return fmt.Errorf("list queues: %w", err)
			}
			if all {
				names = slices.Sorted(maps.Keys(known))
			}
			for _, name := range names {
				if known[name] == nil {
					return withHint(fmt.Errorf("queue %q is not known", name), "known queues: "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
				}
			}
			if err := setPaused(cmd.Context(), app, names, pause); err != nil {
				return fmt.Errorf("%s: %w", verb, err)
			}
			return m.saidPaused(known, names, pause)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all known queues")
	return cmd
}

// setPaused pauses or resumes queues together. River refuses a queue that no worker has registered yet; such a one is
// registered here, so that it can be paused before its first worker starts.
func setPaused(ctx context.Context, app *App, names []string, pause bool) error {
	return pgx.BeginFunc(ctx, app.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, app.Schema.SQL(
			`INSERT INTO {river}.river_queue (name, updated_at) SELECT DISTINCT name, now() FROM unnest($1::text[]) q (name) ON CONFLICT DO NOTHING`), names)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(slices.Values(names)) { // one order for all, against deadlocks
			set := app.Client.QueueResumeTx
			if pause {
				set = app.Client.QueuePauseTx
			}
			if err := set(ctx, tx, name, nil); err != nil {
				return fmt.Errorf("queue %s: %w", name, err)
			}
		}
		return nil
	})
}

func (m *Main) saidPaused(known map[string]*queueInfo, names []string, pause bool) error {
	type change struct {
		Queue   string `json:"queue"`
		Paused  bool   `json:"paused"`
		Changed bool   `json:"changed"`
	}
	changes := make([]change, len(names))
	for i, name := range names {
		changes[i] = change{Queue: name, Paused: pause, Changed: pause != (known[name].PausedAt != nil)}
	}
	if m.json {
		return m.printJSON(changes)
	}
	for _, c := range changes {
		if _, err := fmt.Fprintf(m.Stdout, "queue %s: %s\n", oneLine(c.Queue), pausedText(c.Paused, c.Changed)); err != nil {
			return err
		}
	}
	return nil
}

func pausedText(paused, changed bool) string {
	switch {
	case paused && changed:
		return "paused; running jobs go on"
	case paused:
		return "was paused already"
	case changed:
		return "resumed"
	default:
		return "was not paused"
	}
}
