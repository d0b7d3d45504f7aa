package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
)

func (m *Main) workerCmd() *cobra.Command {
	var queues []string
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Work jobs",
		Long: `Works the jobs of the configured queues until it is stopped.

SIGTERM or Ctrl-C: takes no more jobs, lets the running ones continue for drain_timeout, then ends. A second signal ends at
once; the jobs are given to other workers within seconds. SIGHUP: reads the configuration again, applies it, and, when
the running jobs have ended or drain_timeout is over, continues with it; one with a mistake is refused, and nothing changes.
With reload: auto in it, a change of the file does the same.
The log goes to standard error, one JSON object a line.`,
		Example: `  tidemill worker
  tidemill worker --queues critical,default`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.loadDatabaseConfig()
			if err != nil {
				return err
			}
			if err := checkQueues(cfg, queues); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context(), m.Stderr)
			defer stop()
			collectEarly()
			return m.work(ctx, cfg, queues, nil)
		},
	}
	cmd.Flags().StringSliceVar(&queues, "queues", nil, "only these of the configured queues, separated by commas")
	return cmd
}

// collectEarly lets the heap grow by half instead of doubling before it is collected. What an import keeps alive is some
// 30 MiB of buffers that are used again and again: doubled, they would be more than the 64 MiB that an import may take.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

func (m *Main) checkLogLevel() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(m.logLevel)); err != nil {
		return &usageError{err: fmt.Errorf("--log-level %q is not debug, info, warn or error", m.logLevel)}
	}
	return nil
}

func checkQueues(cfg *config.Config, queues []string) error {
	for _, name := range queues {
		if _, ok := cfg.Queues[name]; !ok {
			return &usageError{
				err:  fmt.Errorf("queue %q is not in the configuration", name),
				hint: "configured queues: " + strings.Join(slices.Sorted(maps.Keys(cfg.Queues)), ", "),
			}
		}
	}
	return nil
}

// untilSignal ends the context at the first signal and the process at the second.
func untilSignal(parent context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		cancel()
		<-signals
		fmt.Fprintln(w, "tidemill: second signal, ending at once")
		os.Exit(exitFailed)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
