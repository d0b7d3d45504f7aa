// Package cli is the tidemill command: parsing, asking, printing. What is done to jobs, queues and processes is the business
// of internal/operate, what is done to runs that of batch.
//
// A command is its flags, what checks them before it connects (Args and PreRunE), and what it does once it is connected
// (withApp, watching, withRun).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/operate"
	"github.com/tidemill/tidemill/workers/kind"
)

// Exit codes of every command.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRejects = 3 // an import finished, but put rows aside
)

// cluster is what operations work on.
func cluster(app *tidemill.App) *operate.Cluster {
	return &operate.Cluster{Client: app.Client, Ledger: app.Ledger, Pool: app.Pool, Schema: app.Schema()}
}

// Main is one invocation of the command.
type Main struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
	// Kinds of job beside those of package workers.
	Kinds []kind.Kind
	// Open connects, as tidemill.New does.
	Open func(context.Context, *config.Config, *tidemill.Opts) (*tidemill.App, error)

	configPath string
	json       bool
	logLevel   string
	clock      func() time.Time // the database's, once there is one; see now
	loaded     string           // the digest of the configuration file that was read last; see reloads
	output     string           // where this command itself writes the file of an export; empty: nowhere
}

// Run runs the command and returns its exit code.
func (m *Main) Run(ctx context.Context) int {
	root := m.root()
	root.SetArgs(m.Args)
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	return m.report(asUsage(root.ExecuteContext(ctx)))
}

func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidemill",
		Short: "Batch and background jobs on PostgreSQL",
		Long: `Tidemill runs batch and background jobs for teams whose data is in PostgreSQL.

Exit codes of all commands:
    0  done
    1  failed
    2  wrong usage
    3  finished, but rows were rejected
  130  interrupted; a run that was only watched continues`,
		Example: `  tidemill demo                              see it work, with a database of its own
  tidemill up                                worker with a local database
  tidemill import import-users users.csv     load a file and watch
  tidemill export export-users -o users.csv  write one and watch`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&m.configPath, "config", "c", "", "configuration `file` (default $TIDEMILL_CONFIG, or tidemill.yaml if it is there)")
	flags.BoolVar(&m.json, "json", false, "print JSON")
	flags.StringVar(&m.logLevel, "log-level", "info", "of a worker's log on standard error: debug, info, warn or error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: cmd.CommandPath() + " --help"}
	})
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return m.checkLogLevel() }
	asGroup(root)
	root.AddCommand(m.cleanupCmd(), m.configCmd(), m.convertCmd(), m.demoCmd(), m.enqueueCmd(), m.execCmd(), m.exportCmd(), m.healthcheckCmd(), m.importCmd(), m.jobsCmd(), m.mailCmd(), m.migrateCmd(),
		m.processesCmd(), m.queuesCmd(), m.runsCmd(), m.schedulesCmd(), m.serverCmd(), m.startCmd(), m.upCmd(), m.versionCmd(), m.workerCmd())
	return root
}

func (m *Main) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if m.json {
				return m.printJSON(map[string]string{"version": m.Version})
			}
			_, err := fmt.Fprintln(m.Stdout, "tidemill", m.Version)
			return err
		},
	}
}

// asGroup makes a command that only holds others say so when it is called with a name that it does not hold: cobra shows
// the help of a subcommand instead, and reports success.
func asGroup(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := cmd.CommandPath() + " --help"
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			hint = "did you mean " + strings.Join(similar, " or ") + "? see " + hint
		}
		return &usageError{err: fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), hint: hint}
	}
	return cmd
}

// args checks the number of arguments; a wrong one is wrong usage, not failure.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "usage: " + cmd.UseLine()
		switch {
		case len(args) < least:
			return &usageError{err: fmt.Errorf("%s: too few arguments", cmd.CommandPath()), hint: hint}
		case len(args) > most:
			return &usageError{err: fmt.Errorf("%s: unexpected argument %q", cmd.CommandPath(), args[most]), hint: hint}
		}
		return nil
	}
}

const defaultConfigFile = "tidemill.yaml"

// configFile is the path of the configuration file, or "" if there is none.
func (m *Main) configFile() string {
	if m.configPath != "" {
		return m.configPath
	}
	if path := os.Getenv("TIDEMILL_CONFIG"); path != "" {
		return path
	}
	if _, err := os.Stat(defaultConfigFile); err == nil {
		return defaultConfigFile
	}
	return ""
}

// loadConfig reads the configuration file. Without one, the defaults and DATABASE_URL serve. What is configured nowhere is
// where up keeps it, if up was used in this folder.
func (m *Main) loadConfig() (*config.Config, error) {
	path := m.configFile()
	cfg := config.Default()
	if path != "" {
		m.loaded = fileDigest(path) // before: what is written meanwhile must not pass for what was read
		var err error
		if cfg, err = config.Load(path, &config.Opts{Kinds: tidemill.Kinds(m.Kinds...)}); err != nil {
			return nil, err
		}
	}
	if cfg.Database.URL == "" {
		cfg.Database.URL = os.Getenv("DATABASE_URL")
	}
	if cfg.Database.URL == "" {
		if address, err := os.ReadFile(localURLFile()); err == nil {
			cfg.Database.URL = strings.TrimSpace(string(address))
		}
	}
	if cfg.Storage.URL == "" {
		if _, err := os.Stat(localStorage()); err == nil {
			if cfg.Storage.URL, err = localStorageURL(); err != nil {
				return nil, err
			}
		}
	}
	return cfg, nil
}

// localDir is where up keeps its database and files.
const localDir = ".tidemill"

func localStorage() string { return filepath.Join(localDir, "storage") }

func localStorageURL() (string, error) {
	dir, err := filepath.Abs(localStorage())
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: dir}).String(), nil
}

func localURLFile() string { return filepath.Join(localDir, "database_url") }

// open loads the configuration and connects.
func (m *Main) open(ctx context.Context) (*tidemill.App, error) {
	cfg, err := m.loadDatabaseConfig()
	if err != nil {
		return nil, err
	}
	app, err := m.connect(ctx, cfg, m.logger(slog.LevelWarn), false)
	if err == nil {
		m.clock = app.Now
	}
	return app, err
}

// withApp makes fn what a command does once it is connected. What is wrong with its flags and arguments belongs into Args and PreRunE, which come
// before.
func (m *Main) withApp(fn func(ctx context.Context, app *tidemill.App, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		app, err := m.open(cmd.Context())
		if err != nil {
			return err
		}
		defer app.Close()
		return fn(cmd.Context(), app, args)
	}
}

// watching is withApp for commands that may wait long: an interrupt ends ctx, so that they can say how to come back.
func (m *Main) watching(fn func(ctx context.Context, app *tidemill.App, args []string) error) func(*cobra.Command, []string) error {
	run := m.withApp(fn)
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		cmd.SetContext(ctx)
		return run(cmd, args)
	}
}

// connect is open with a configuration that is read. What does not work jobs may connect through a pooler that shares sessions.
func (m *Main) connect(ctx context.Context, cfg *config.Config, logger *slog.Logger, works bool) (*tidemill.App, error) {
	return m.Open(ctx, cfg, &tidemill.Opts{Kinds: m.Kinds, Logger: logger, SharedSessions: !works})
}

// now is the time by the database's clock, which wrote the times that are shown; without a database this machine's.
func (m *Main) now() time.Time {
	if m.clock == nil {
		return time.Now()
	}
	return m.clock()
}

// loadDatabaseConfig is loadConfig for commands that cannot do without a database.
func (m *Main) loadDatabaseConfig() (*config.Config, error) {
	cfg, err := m.loadConfig()
	if err != nil {
		return nil, err
	}
	if cfg.Database.URL == "" {
		return nil, withHint(errors.New("no database is configured"),
			"set DATABASE_URL, or database.url in tidemill.yaml, or run: tidemill up")
	}
	return cfg, nil
}

// logger writes JSON to standard error, from the given level or --log-level, whichever says less.
func (m *Main) logger(least slog.Level) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(m.logLevel)) // checked before every command
	return slog.New(slog.NewJSONHandler(m.Stderr, &slog.HandlerOptions{Level: max(level, least)}))
}
