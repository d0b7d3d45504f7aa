package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layers names, for each of our packages, those of ours that its code may import; a row that ends in /... stands for
// all folders below. Tests are free.
//
// The order is cmd, internal/cli and internal/server; then root and internal/operate; then workers, its kinds, periodic and metrics;
// then batch and rescue; then migrations and retry. batch, rescue, metrics, retry and migrations take plain Go options, so
// that each can be added alone to an existing River client: they know neither config nor workers. The internal packages at
// the end are leaves: they know neither us nor River, but for retention, which knows where the tables are, and keyset, whose
// errors say that trying again is no use.
func layers() map[string][]string {
	return map[string][]string{
		"cmd/tidemill": {"cmd"},
		"cmd":          {".", "config", "internal/cli", "workers/kind"},
		"internal/cli": {
			".", "batch", "config", "config/field", "internal/convert", "internal/dbtext", "internal/devdb", "internal/operate", "internal/sampledata", "internal/server", "internal/session", "internal/storage", "metrics", "migrations",
			"periodic", "rescue", "retry", "workers", "workers/kind",
		},
		".": {
			"batch", "config", "internal/boundlog", "internal/retention", "internal/riverpg", "internal/session", "internal/storage", "metrics", "migrations", "periodic", "rescue", "internal/dbclock",
			"retry", "workers", "workers/kind",
		},

		"internal/server":  {"batch", "internal/operate", "metrics", "migrations", "periodic", "rescue", "workers"},
		"internal/operate": {"batch", "migrations", "rescue"},

		"workers":                   append(kindFolders(), "config", "workers/kind"),
		"internal/kinds/cleanupjob": ofKind("internal/bulk", "internal/rowout"),
		"internal/kinds/commandjob": ofKind("internal/childproc"),
		"internal/kinds/eachjob":    ofKind("internal/keyset"),
		"internal/kinds/emailjob":   ofKind("internal/mail"),
		"internal/kinds/exportjob":  ofKind("internal/bulk", "internal/keyset", "internal/rowout"),
		"internal/kinds/httpjob":    ofKind("internal/webhook"),
		"internal/kinds/importjob":  ofKind("internal/bulk", "internal/rowio", "internal/s3url", "internal/textin", "internal/valuefmt"),
		"internal/kinds/sqljob":     ofKind(),
		"workers/kind":              {"batch", "config", "config/field", "internal/storage", "migrations", "retry"},
		"internal/statement":        {"batch", "config", "config/field", "internal/session", "internal/sqlparams", "retry"},
		"periodic":                  {"internal/cron", "internal/session", "migrations"},
		"metrics":                   {"batch", "internal/session", "migrations"},

		"batch":  {"internal/dbtext", "internal/keyset", "internal/session", "migrations", "retry"},
		"rescue": {"internal/dbclock", "internal/session", "migrations", "retry"},

		"config":       {"config/field", "internal/cron", "internal/s3url", "internal/sqlparams"},
		"config/field": {"internal/suggest", "internal/yamlsyntax"},
		"migrations":   {"internal/session"},
		"retry":        {},

		"internal/boundlog":      {},
		"internal/bulk":          {"internal/suggest"},
		"internal/childproc":     {},
		"internal/dbclock":       {},
		"internal/dbtext":        {},
		"internal/devdb":         {},
		"internal/keyset":        {"retry"},
		"internal/mail":          {},
		"internal/observability": {},
		"internal/retention":     {"internal/session", "migrations"},
		"internal/riverpg":       {"internal/dbtext", "migrations"},
		"internal/rowio":         {},
		"internal/rowout":        {},
		"internal/sampledata":    {},
		"internal/session":       {},
		"internal/convert":       {"config", "config/field", "internal/cron", "internal/yamlsyntax"},
		"internal/s3url":         {},
		"internal/cron":          {},
		"internal/sqlparams":     {},
		"internal/storage":       {},
		"internal/suggest":       {},
		"internal/textin":        {},
		"internal/valuefmt":      {},
		"internal/webhook":       {},
		"internal/yamlsyntax":    {},

		"internal/chaos":        {},
		"internal/deploytest":   {},
		"internal/house":        {},
		"internal/house/golden": {},
		"internal/testbouncer":  {},
		"internal/testdb":       {"internal/devdb"},
		"internal/testengine":   {"batch", "internal/testdb", "migrations", "rescue"},
		"internal/testkeys":     {},
		"internal/testkind":     {"internal/storage", "internal/tests3"},
		"internal/tests3":       {},

		"bench/...": {
			".", "batch", "config", "internal/bulk", "internal/devdb", "internal/rowio", "internal/sampledata", "internal/storage",
			"metrics", "migrations", "periodic", "rescue", "retry", "workers",
		},
		"examples/...": {".", "batch", "cmd", "config", "config/field", "metrics", "migrations", "periodic", "rescue", "retry", "workers", "workers/kind"}, // what a reader can import
	}
}

// ofKind is what a kind of job may import: never another kind.
func ofKind(more ...string) []string {
	return append(more, "batch", "config", "config/field", "internal/session", "internal/sqlparams", "internal/statement", "internal/storage", "migrations", "retry", "workers/kind")
}

// leaves know nothing of River, so that they can be read, tested and moved alone.
func leaves() []string {
	return []string{"config", "config/field", "internal/s3url", "internal/bulk", "internal/childproc", "internal/convert", "internal/cron", "internal/dbclock", "internal/devdb", "internal/keyset", "internal/mail", "internal/rowio", "internal/rowout", "internal/sampledata", "internal/session", "internal/sqlparams", "internal/storage", "internal/suggest", "internal/textin", "internal/valuefmt", "internal/webhook", "internal/yamlsyntax"}
}

// testSupport are the packages that only tests import.
func testSupport() []string {
	return []string{"internal/testbouncer", "internal/testdb", "internal/testengine", "internal/testkeys", "internal/testkind", "internal/tests3"}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	report(t, checkLayers(setup(t)))
}

func checkLayers(r *repository) []string {
	var problems []string
	for _, pkg := range r.packages() {
		if _, ok := allowed(pkg); !ok {
			problems = append(problems, fmt.Sprintf("%s is in no layer; give it a row in layers (internal/house/layers_test.go) that says what it may import", pkg))
		}
	}
	for _, f := range r.goes {
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			if why := refuse(f, strings.Trim(spec.Path.Value, `"`)); why != "" {
				problems = append(problems, r.at(spec)+": "+why)
			}
		}
	}
	return problems
}

// refuse says why f must not import name, "" if it may.
func refuse(f *goFile, name string) string {
	if name == "testing" && !f.support() {
		return fmt.Sprintf("%s imports testing outside tests; move this to a _test.go file or to internal/testdb or internal/testengine", f.pkg)
	}
	if strings.HasPrefix(name, "github.com/riverqueue/") && slices.Contains(leaves(), f.pkg) {
		return fmt.Sprintf("%s must not import %s, for it is a leaf that does not know River; pass in what it needs, or do this in batch or workers", f.pkg, name)
	}
	target, ok := ours(name)
	if !ok {
		return ""
	}
	if slices.Contains(testSupport(), target) && !f.support() {
		return fmt.Sprintf("%s imports %s outside tests; only tests may", f.pkg, target)
	}
	may, known := allowed(f.pkg)
	if !known || slices.Contains(may, target) {
		return ""
	}
	allow := "none of ours"
	if len(may) > 0 {
		allow = "only " + strings.Join(may, ", ")
	}
	return fmt.Sprintf("%s must not import %s (it may import %s); pass in what it needs as a plain option or an interface, or move the code up", f.pkg, target, allow)
}

func allowed(pkg string) ([]string, bool) {
	all := layers()
	if may, ok := all[pkg]; ok {
		return may, true
	}
	for row, may := range all {
		if dir, ok := strings.CutSuffix(row, "/..."); ok && (pkg == dir || strings.HasPrefix(pkg, dir+"/")) {
			return may, true
		}
	}
	return nil, false
}

// The table itself must be a direction: with a cycle in it, it would forbid nothing.
func TestLayersHaveNoCycle(t *testing.T) {
	t.Parallel()
	all := layers()
	var visit func(pkg string, above []string)
	visit = func(pkg string, above []string) {
		if slices.Contains(above, pkg) {
			t.Fatalf("layers allow a cycle: %s; remove one of its steps", strings.Join(append(above, pkg), " imports "))
		}
		for _, target := range all[pkg] {
			visit(target, append(slices.Clip(above), pkg))
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		visit(pkg, nil)
	}
}

func TestLayersAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"batch/a.go":           "package batch\n\nimport _ \"github.com/tidemill/tidemill/config\"\n",
		"batch/a_test.go":      "package batch\n\nimport _ \"github.com/tidemill/tidemill/internal/testdb\"\n",
		"bench/deep/a.go":      "package main\n\nimport _ \"github.com/tidemill/tidemill/batch\"\n",
		"config/a.go":          "package config\n\nimport _ \"github.com/tidemill/tidemill\"\n",
		"internal/bulk/a.go":   "package bulk\n\nimport _ \"github.com/riverqueue/river\"\n",
		"internal/testdb/a.go": "package testdb\n\nimport _ \"testing\"\n",
		"metrics/a.go":         "package metrics\n\nimport _ \"github.com/tidemill/tidemill/internal/testengine\"\n",
		"odd/a_windows.go":     "package odd\n\nimport _ \"testing\"\n",
	})
	want := []string{
		"odd is in no layer",
		"batch/a.go:3: batch must not import config (it may import only internal/dbtext, internal/keyset, internal/session, migrations, retry)",
		"config/a.go:3: config must not import . (it may import only config/field, internal/cron, internal/s3url, internal/sqlparams)",
		"internal/bulk/a.go:3: internal/bulk must not import github.com/riverqueue/river, for it is a leaf that does not know River",
		"metrics/a.go:3: metrics imports internal/testengine outside tests",
		"odd/a_windows.go:3: odd imports testing outside tests",
	}
	if diff := cmp.Diff(want, rules(checkLayers(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// rules are the problems without what to do about them.
func rules(problems []string) []string {
	var all []string
	for _, p := range problems {
		rule, _, _ := strings.Cut(p, "; ")
		all = append(all, rule)
	}
	return all
}
