package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
)

func (m *Main) enqueueCmd() *cobra.Command {
	var object, queue, key, at string
	var priority, attempts int
	var in time.Duration
	var tags []string
	cmd := &cobra.Command{
		Use:   "enqueue KIND",
		Short: "Insert a job of a kind that a program registered",
		Long: `Inserts a River job of the kind KIND and prints its id, as the SQL function tidemill.enqueue does.

Queue, priority and attempts are as the kind has them, unless they are given. A configured job is started with
"tidemill start".`,
		Example: `  tidemill enqueue invoice --args '{"id": 17}'
  tidemill enqueue invoice --args '{"id": 17}' --unique-key 'invoice 17' --in 1h`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(object), &fields); err != nil || fields == nil {
				return &usageError{err: errors.New("--args is not a JSON object"), hint: `write it like --args '{"id": 17}'`}
			}
			if name, found := config.NULParam(json.RawMessage(object)); found {
				return &usageError{err: fmt.Errorf("--args: %q holds a NUL character, which PostgreSQL does not store", name)}
			}
			when, err := parseDue(at, in)
			if err != nil {
				return err
			}
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			var due *time.Time
			if at := when.time(app); !at.IsZero() {
				due = &at
			}
			var id int64
			err = app.Pool.QueryRow(cmd.Context(), app.Schema.SQL(`SELECT {tidemill}.enqueue($1, $2, queue => nullif($3, ''),
				priority => nullif($4, 0), max_attempts => nullif($5, 0), scheduled_at => $6, unique_key => nullif($7, ''), tags => $8)`),
				args[0], json.RawMessage(object), queue, priority, attempts, due, key, tags).Scan(&id)
			if err != nil {
				return plainError(err)
			}
			if m.json {
				return m.printJSON(map[string]any{"id": id})
			}
			_, err = fmt.Fprintln(m.Stdout, id)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&object, "args", "{}", "arguments, a `JSON` object")
	flags.StringVar(&queue, "queue", "", "queue in place of the kind's own")
	flags.IntVar(&priority, "priority", 0, "1 to 4, 1 first")
	flags.IntVar(&attempts, "max-attempts", 0, "attempts in all")
	flags.StringVar(&at, "at", "", "when it is due, as `2026-01-31T09:00:00+09:00`")
	flags.DurationVar(&in, "in", 0, "in what time it is due")
	flags.StringVar(&key, "unique-key", "", "insert nothing, and print the id of the live job, if one of this kind and `key` is live")
	flags.StringArrayVar(&tags, "tag", []string{}, "a tag; may be given several times")
	cmd.MarkFlagsMutuallyExclusive("at", "in")
	return cmd
}
