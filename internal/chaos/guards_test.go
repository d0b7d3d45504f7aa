package chaos

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var without = flag.String("chaos.without", "", "the guard that TestSeeded does without, to see that it fails: fence, lease, orphans, self-stop or poison")

// change takes a guard out: a text of a source file, and what is there instead; or a statement for the database.
type change struct{ file, text, instead, sql string }

// guards are what must not be missing. Workers without one are built from sources that differ in that text only; nothing in
// the program can switch one off.
func guards() map[string][]change {
	return map[string][]change{
		"fence":   {{sql: `DROP TRIGGER tidemill_1_fence ON tidemill.river_job`}},
		"lease":   {{file: "batch/chunk.go", text: "WHERE id = $1 AND lease = $2 AND seq = $3 AND outcome IS NULL", instead: "WHERE id = $1 AND $2::bigint IS NOT NULL AND $3::bigint IS NOT NULL AND outcome IS NULL"}},
		"poison":  {{file: "rescue/move.go", text: "NOT cancelled AND times BETWEEN 2 AND $2 - 1 AS suspect", instead: "false AND $2 > 0 AS suspect"}},
		"orphans": {{file: "rescue/orphans.go", text: "if p.jobs.has(a) {", instead: "if p.jobs.has(a) && false {"}},
		"self-stop": {{
			file: "rescue/beat.go", text: "\t\t\terr = &silent{cause: err}\n\t\t\tp.jobs.lose(err)\n\t\t\treturn err\n",
			instead: "\t\t\terr, last = &silent{cause: err}, time.Now()\n",
		}},
	}
}

// disable takes a guard out of the database or of the workers, and returns the workers' program.
func disable(t *testing.T, b *jobBundle, guard string) string {
	t.Helper()
	changes, ok := guards()[guard]
	if !ok {
		t.Fatalf("-chaos.without %s: there are %s", guard, strings.Join(slices.Sorted(maps.Keys(guards())), ", "))
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{Replace: map[string]string{}}
	for _, c := range changes {
		if c.sql != "" {
			b.exec(t, c.sql)
			continue
		}
		path := filepath.Join(root, c.file)
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), c.text); n != 1 {
			t.Fatalf("%s has %d times %q; the guard is elsewhere by now", c.file, n, c.text)
		}
		changed := filepath.Join(dir, filepath.Base(c.file))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(source), c.text, c.instead, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = changed
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "workers")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", file, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
