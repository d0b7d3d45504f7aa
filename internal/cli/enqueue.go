package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/operate"
)

func (m *Main) enqueueCmd() *cobra.Command {
	var opts operate.EnqueueOpts
	var object, at string
	var in time.Duration
	var when dueTime
	cmd := &cobra.Command{
		Use:   "enqueue KIND",
		Short: "Insert a job of a kind that a program registered",
		Long: `Inserts a River job of the kind KIND and prints its id, as the SQL function tidemill.enqueue does.

Queue, priority and attempts default to those of the kind. A configured job is started with "tidemill start".`,
		Example: `  tidemill enqueue invoice --args '{"id": 17}'
  tidemill enqueue invoice --args '{"id": 17}' --unique-key 'invoice 17' --in 1h`,
		Args: args(1, 1),
		PreRunE: func(*cobra.Command, []string) (err error) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(object), &fields); err != nil || fields == nil {
				return &usageError{err: errors.New("--args is not a JSON object"), hint: `write it like --args '{"id": 17}'`}
			}
			if name, found := field.NULParam(json.RawMessage(object)); found {
				return &usageError{err: fmt.Errorf("--args: %q holds a NUL character, which PostgreSQL does not store", name)}
			}
			when, err = parseDue(at, in)
			return err
		},
		RunE: m.withApp(func(ctx context.Context, app *tidemill.App, args []string) error {
			opts.Kind, opts.Args, opts.At = args[0], json.RawMessage(object), when.time(app)
			id, err := operate.Enqueue(ctx, cluster(app), opts)
			if err != nil {
				return plainError(err)
			}
			if m.json {
				return m.printJSON(map[string]any{"id": id})
			}
			_, err = fmt.Fprintln(m.Stdout, id)
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&object, "args", "{}", "arguments, a `JSON` object")
	flags.StringVar(&opts.Queue, "queue", "", "queue in place of the kind's own")
	flags.IntVar(&opts.Priority, "priority", 0, "1 to 4, 1 first")
	flags.IntVar(&opts.MaxAttempts, "max-attempts", 0, "attempts in all")
	flags.StringVar(&at, "at", "", "when it is due, as `2026-01-31T09:00:00+09:00`")
	flags.DurationVar(&in, "in", 0, "how long until it is due")
	flags.StringVar(&opts.UniqueKey, "unique-key", "", "insert nothing, and print the id of the live job, if one of this kind and `key` is live")
	flags.StringArrayVar(&opts.Tags, "tag", []string{}, "a tag; may be given several times")
	cmd.MarkFlagsMutuallyExclusive("at", "in")
	return cmd
}
