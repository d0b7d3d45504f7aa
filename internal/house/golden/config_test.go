package golden

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

func TestSchema(t *testing.T) {
	t.Parallel()
	check(t, "schema.json", string(config.Schema(workers.Configs())))
}

// What config show makes of the configurations with the most in them.
func TestShow(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"example": "config/example.yaml",
		"compose": "deploy/compose/config/tidemill.yaml",
		"fields":  "internal/house/golden/testdata/fields.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(filepath.Join(root, file), &config.Opts{Kinds: workers.Configs(), Offline: true})
			if err != nil {
				t.Fatal(err)
			}
			check(t, "show_"+name+".yaml", strings.TrimRight(string(cfg.Show().YAML()), "\n")+"\n")
		})
	}
}
