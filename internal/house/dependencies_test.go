package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	dependenciesFile = "docs/DEPENDENCIES.md"
	inProgram        = "In the program"
	inTests          = "Only in tests and benchmarks"
)

// requirement is a line of go.mod.
type requirement struct {
	Path     string
	Indirect bool
}

// reason is a row of dependenciesFile.
type reason struct {
	module, licence, why string
	section              string // heading above
}

func TestEachDependencyHasAReason(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var mod struct{ Require []requirement }
	if err := json.Unmarshal(goCommand(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	report(t, checkDependencies(r, mod.Require))
}

func checkDependencies(r *repository, required []requirement) []string {
	used := uses(r, required)
	given := map[string]reason{}
	var problems []string
	for _, row := range reasons(r.texts[dependenciesFile]) {
		if _, twice := given[row.module]; twice {
			problems = append(problems, fmt.Sprintf("%s has two rows for %s; remove one", dependenciesFile, row.module))
		}
		given[row.module] = row
		if row.licence == "" || row.why == "" {
			problems = append(problems, fmt.Sprintf("%s: the row of %s lacks its licence or its reason; add it", dependenciesFile, row.module))
		}
	}
	for _, req := range required {
		row, has := given[req.Path]
		delete(given, req.Path)
		use, imported := used[req.Path]
		switch {
		case req.Indirect && imported:
			problems = append(problems, fmt.Sprintf("go.mod marks %s as // indirect, but it is imported; run: go mod tidy", req.Path))
		case req.Indirect && has:
			problems = append(problems, fmt.Sprintf("%s has a row for %s, which is not a direct dependency; remove the row", dependenciesFile, req.Path))
		case req.Indirect:
		case !imported:
			problems = append(problems, fmt.Sprintf("go.mod requires %s, which nothing imports; run: go mod tidy", req.Path))
		case !has:
			problems = append(problems, fmt.Sprintf("%s has no row for %s; say why it is worth having, with its licence, below %q, or do without it", dependenciesFile, req.Path, use))
		case row.section != use:
			problems = append(problems, fmt.Sprintf("%s lists %s below %q; move the row below %q, or move what imports it", dependenciesFile, req.Path, row.section, use))
		}
	}
	for _, module := range slices.Sorted(maps.Keys(given)) {
		problems = append(problems, fmt.Sprintf("%s has a row for %s, which go.mod does not require; remove the row", dependenciesFile, module))
	}
	return problems
}

// uses says of each module that our code imports where its row belongs.
func uses(r *repository, required []requirement) map[string]string {
	used := map[string]string{}
	for _, f := range r.goes {
		for _, name := range f.imports() {
			of := ""
			for _, req := range required {
				if (name == req.Path || strings.HasPrefix(name, req.Path+"/")) && len(req.Path) > len(of) {
					of = req.Path
				}
			}
			if of == "" {
				continue
			}
			if !f.support() && !strings.HasPrefix(f.pkg+"/", "bench/") && !strings.HasPrefix(f.pkg+"/", "examples/") {
				used[of] = inProgram
			} else if used[of] == "" {
				used[of] = inTests
			}
		}
	}
	return used
}

var reasonRow = regexp.MustCompile("^\\|\\s*`([^`]+)`\\s*\\|([^|]*)\\|([^|]*)\\|")

func reasons(text string) []reason {
	var all []reason
	section := ""
	for _, line := range prose(text) {
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		if m := reasonRow.FindStringSubmatch(line); m != nil {
			all = append(all, reason{module: m[1], licence: strings.TrimSpace(m[2]), why: strings.TrimSpace(m[3]), section: section})
		}
	}
	return all
}

// What a user downloads and must trust is the program; what its tests need must not come along, not even by another
// dependency.
func TestProgramLinksNoTestDependency(t *testing.T) {
	t.Parallel()
	var linked []string
	list := json.NewDecoder(bytes.NewReader(goCommand(t, "list", "-deps", "-json=ImportPath,Module", "./cmd/tidemill")))
	for list.More() {
		var pkg struct {
			ImportPath string
			Module     *struct{ Path string }
		}
		if err := list.Decode(&pkg); err != nil {
			t.Fatalf("go list: %v", err)
		}
		if pkg.Module != nil {
			linked = append(linked, pkg.Module.Path)
		}
	}
	slices.Sort(linked)
	linked = slices.Compact(linked)
	if !slices.Contains(linked, module) {
		t.Fatalf("go list names the modules %q, not %s; fix this test", linked, module)
	}
	report(t, checkLinked(linked, reasons(setup(t).texts[dependenciesFile])))
}

func checkLinked(linked []string, given []reason) []string {
	banned := []string{"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "go.uber.org/goleak"}
	for _, row := range given {
		if row.section == inTests {
			banned = append(banned, row.module)
		}
	}
	slices.Sort(banned)
	var problems []string
	for _, name := range slices.Compact(banned) {
		if slices.Contains(linked, name) {
			problems = append(problems, fmt.Sprintf("cmd/tidemill links %s, which is for tests; find what imports it with go list -deps -json ./cmd/tidemill and take it out", name))
		}
	}
	return problems
}

func TestDependenciesAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		dependenciesFile: `# Dependencies
## In the program
| module | licence | reason |
|---|---|---|
| ` + "`example.com/fine`" + ` | MIT | good |
| ` + "`example.com/fine/v2`" + ` | MIT | |
| ` + "`example.com/gone`" + ` | MIT | good |
| ` + "`example.com/quiet`" + ` | MIT | good |
| ` + "`example.com/try`" + ` | MIT | good |
`,
		"a/a.go":      "package a\n\nimport (\n\t_ \"example.com/fine/deep\"\n\t_ \"example.com/fine/v2\"\n\t_ \"example.com/new\"\n\t_ \"fmt\"\n)\n",
		"a/a_test.go": "package a\n\nimport (\n\t_ \"example.com/fine\"\n\t_ \"example.com/hidden\"\n\t_ \"example.com/try\"\n)\n",
	})
	required := []requirement{
		{Path: "example.com/fine"},
		{Path: "example.com/fine/v2"},
		{Path: "example.com/hidden", Indirect: true},
		{Path: "example.com/new"},
		{Path: "example.com/other", Indirect: true},
		{Path: "example.com/quiet", Indirect: true},
		{Path: "example.com/try"},
		{Path: "example.com/unused"},
	}
	want := []string{
		"docs/DEPENDENCIES.md: the row of example.com/fine/v2 lacks its licence or its reason",
		"go.mod marks example.com/hidden as // indirect, but it is imported",
		"docs/DEPENDENCIES.md has no row for example.com/new",
		"docs/DEPENDENCIES.md has a row for example.com/quiet, which is not a direct dependency",
		`docs/DEPENDENCIES.md lists example.com/try below "In the program"`,
		"go.mod requires example.com/unused, which nothing imports",
		"docs/DEPENDENCIES.md has a row for example.com/gone, which go.mod does not require",
	}
	if diff := cmp.Diff(want, rules(checkDependencies(r, required))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	rows := []reason{{module: "example.com/fine", section: inProgram}, {module: "example.com/try", section: inTests}}
	want = []string{"cmd/tidemill links example.com/try, which is for tests", "cmd/tidemill links go.uber.org/goleak, which is for tests"}
	got := rules(checkLinked([]string{"example.com/fine", "example.com/try", "go.uber.org/goleak"}, rows))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("linked (-want +got):\n%s", diff)
	}
}

// goCommand runs go at the root and returns its output. It never changes go.mod, whatever GOFLAGS says.
func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}
