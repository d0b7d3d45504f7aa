package observability

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// root is the folder of the repository.
const root = "../.."

func TestGenerated(t *testing.T) {
	t.Parallel()

	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, want := range files {
		path := filepath.Join(root, name)
		names = append(names, path)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is out of date; run: go test ./internal/observability -run Generated -update\n(-want +got):\n%s", name, diff)
		}
	}
	for _, pattern := range []string{"metrics/dashboards/*", "metrics/rules/*.y*ml"} {
		there, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range there {
			if !slices.Contains(names, path) {
				t.Errorf("%s is not generated; remove it, or add it to Files", path)
			}
		}
	}
}
