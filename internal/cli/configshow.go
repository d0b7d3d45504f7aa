package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
)

func (m *Main) configShowCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "show [JOB]", Short: "Print a job, or all, with the defaults filled in", Args: args(0, 1),
		Long: `Prints the job JOB, or with --all the whole configuration, with the defaults and inherited values
filled in. Strings with ${NAME} stay as in the file, other secrets are ***. Values that are derived later are in comments.

It needs neither the database nor the variables of ${NAME}.`,
		Example: `  tidemill config show import-users
  tidemill config show --all --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == all {
				return &usageError{err: errors.New("name a job, or say --all"), hint: "tidemill config show --help"}
			}
			cfg := config.Default()
			if path := m.configFile(); path != "" {
				var err error
				if cfg, err = config.Load(path, &config.Opts{Kinds: tidemill.Kinds(m.Kinds...), Offline: true}); err != nil {
					return err
				}
			}
			shown := cfg.Show()
			if !all {
				job, ok := cfg.ShowJob(args[0])
				if !ok {
					names := slices.Sorted(maps.Keys(cfg.Jobs))
					return withHint(fmt.Errorf("job %q is not in the configuration", args[0]), "configured jobs: "+cmp.Or(strings.Join(names, ", "), "none"))
				}
				shown = job
			}
			if m.json {
				return m.printJSON(shown)
			}
			_, err := fmt.Fprint(m.Stdout, printable(string(shown.YAML())))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the whole configuration")
	return cmd
}
