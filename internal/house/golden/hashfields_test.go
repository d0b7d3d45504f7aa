package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// Which fields of a job are in its hash: each is taken out of testdata/fields.yaml, alone. One that says there what it is by
// default cannot show that it is.
func TestHashOfFields(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var out []string
	jobs := all["jobs"].(map[string]any)
	for name, job := range jobs {
		// Alone with those that others name, for reading all of them 250 times takes long.
		some := maps.Clone(all)
		some["jobs"] = map[string]any{"command": jobs["command"], "own": jobs["own"], "sql": jobs["sql"], name: job}
		whole, err := hashesOf(some)
		if err != nil {
			t.Fatal(err)
		}
		each(job.(map[string]any), name, func(field string) {
			now, err := hashesOf(some)
			switch {
			case err != nil:
				out = append(out, field+": needed: "+reason(err))
			case now[name] == whole[name]:
				out = append(out, field+": the same hash")
			default:
				out = append(out, field+": another hash")
			}
		})
	}
	slices.Sort(out)
	check(t, "hashfields.txt", strings.Join(out, "\n")+"\n")
	everyField(t, jobs)
}

// each calls look once for every key of m and of the mappings in it, while the key is absent.
func each(m map[string]any, at string, look func(field string)) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		value := m[key]
		delete(m, key)
		look(at + "." + key)
		m[key] = value
		switch value := value.(type) {
		case map[string]any:
			each(value, at+"."+key, look)
		case []any:
			for i, item := range value {
				if below, ok := item.(map[string]any); ok {
					each(below, fmt.Sprintf("%s.%s[%d]", at, key, i), look)
				}
			}
		}
	}
}

func hashesOf(all map[string]any) (map[string]string, error) {
	data, err := json.Marshal(all) // which is YAML, too
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse("fields.yaml", data, &config.Opts{Kinds: workers.Configs(), Offline: true})
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	for name, job := range cfg.Jobs {
		hashes[name] = job.Hash()
	}
	return hashes, nil
}

// everyField fails if the file leaves a field of a job out that docs/CONFIG.md has a row for.
func everyField(t *testing.T, jobs map[string]any) {
	t.Helper()
	given := map[string]bool{}
	for _, job := range jobs {
		job := job.(map[string]any)
		for field := range job {
			given[fmt.Sprint(job["kind"], ".", field)] = true
			given["."+field] = true
		}
	}
	reference, err := os.ReadFile(root + "/docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	kind, found := "", 0
	for line := range strings.Lines(string(reference)) {
		if strings.HasPrefix(line, "## ") {
			kind = "-"
		}
		if line == "## `jobs.JOB`\n" {
			kind = ""
		}
		if rest, ok := strings.CutPrefix(line, "## `jobs.JOB`: Kind `"); ok {
			kind, _, _ = strings.Cut(rest, "`")
		}
		rest, ok := strings.CutPrefix(line, "| `")
		if !ok || kind == "-" {
			continue
		}
		field, _, _ := strings.Cut(rest, "`")
		found++
		if !given[kind+"."+field] {
			t.Errorf("testdata/fields.yaml has no job with %s of kind %q; give one", field, kind)
		}
	}
	if found < 80 {
		t.Errorf("docs/CONFIG.md names %d fields of jobs; this test does not find them any more", found)
	}
}
