package golden

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tidemillcmd "github.com/tidemill/tidemill/cmd"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// root is the repository.
const root = "../../.."

var update = flag.Bool("update", false, "write the golden files")

// TestMain makes the test binary the tidemill command where it is called by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidemill": func() { tidemillcmd.Main(nil) }})
}

// check holds got against testdata/name.
func check(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	// Line by line: the difference is short in a long file.
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("users see something else than %s has (-golden +now).\n"+
			"If that is meant, say it in CHANGELOG.md and run: go test ./internal/house/golden -run '^%s$' -update\n%s",
			file, t.Name(), diff)
	}
}
