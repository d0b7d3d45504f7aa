package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/internal/convert"
)

func (m *Main) convertCmd() *cobra.Command {
	var opts convert.Opts
	var from string
	var system bool
	cmd := &cobra.Command{
		Use: "convert FILE", Short: "Turn a sidekiq.yml, vercel.json or crontab into a tidemill.yaml", Args: args(1, 1),
		Long: `Reads the schedule of another program and prints a tidemill.yaml with comments, which "config check --offline" accepts:

  sidekiq.yml   queues, concurrency, retries, the schedule of sidekiq-cron or sidekiq-scheduler; each class becomes a
                job of kind http that calls the app
  schedule.yml  of sidekiq-cron, alone
  vercel.json   each cron becomes a job of kind http, with GET and the bearer secret
  crontab       each line becomes a job of kind command; also what Whenever makes of its schedule.rb

FILE - is standard input. What cannot be carried over is printed on standard error, a line each: where; what; why; what to do.

Exit codes:
  0  all was carried over
  1  the file cannot be read, or holds nothing to convert
  2  wrong usage
  3  something was not carried over; the rest is printed`,
		Example: `  tidemill convert config/sidekiq.yml > tidemill.yaml
  crontab -l | tidemill convert - --timezone Asia/Tokyo
  bundle exec whenever | tidemill convert -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Format, opts.Kinds = convert.Format(from), tidemill.Kinds(m.Kinds...)
			if from != "" && !slices.Contains(convert.Formats(), opts.Format) {
				return &usageError{err: fmt.Errorf("--from %q is not known", from), hint: "one of " + formatNames()}
			}
			if _, err := time.LoadLocation(opts.Timezone); err != nil || opts.Timezone == "Local" {
				return &usageError{err: fmt.Errorf("--timezone %q is not a time zone", opts.Timezone), hint: "write an IANA name, like Asia/Tokyo"}
			}
			if m.json {
				return &usageError{err: errors.New("--json does not go with convert, which prints YAML")}
			}
			if cmd.Flags().Changed("system") {
				opts.System = &system
			}
			return m.convert(args[0], opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "`format` of the file ("+formatNames()+"); otherwise found by its content")
	flags.StringVar(&opts.Timezone, "timezone", "", "IANA `name` of the zone in which the old program read times; not for vercel.json (default UTC)")
	flags.StringVar(&opts.Environment, "environment", "production", "`section` of sidekiq.yml that counts")
	flags.BoolVar(&system, "system", false, "the lines of the crontab name a user, as those of /etc/crontab do; =false: they do not; otherwise found by name and content, if that is certain")
	return cmd
}

func formatNames() string {
	var names []string
	for _, format := range convert.Formats() {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

func (m *Main) convert(name string, opts convert.Opts) error {
	data, err := m.readSmall(name)
	if err != nil {
		return err
	}
	if name == "-" {
		name = "stdin"
	}
	result, err := convert.Convert(name, data, opts)
	if err != nil {
		return err
	}
	if _, err := m.Stdout.Write(result.YAML); err != nil {
		return err
	}
	for _, note := range result.Notes {
		fmt.Fprintf(m.Stderr, "note: %s\n", printable(note))
	}
	for _, problem := range result.Problems {
		fmt.Fprintln(m.Stderr, printable(problem.String()))
	}
	if len(result.Problems) > 0 {
		return &exitError{code: exitRejects}
	}
	return nil
}

// readSmall reads a file, or standard input for -, no further than shows that it is too large.
func (m *Main) readSmall(name string) ([]byte, error) {
	from := m.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, convert.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
