package house

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// maxLines is the size at which a file holds more than one concept.
const maxLines = 500

func TestPackageDocs(t *testing.T) {
	t.Parallel()
	report(t, checkPackageDocs(setup(t)))
}

func checkPackageDocs(r *repository) []string {
	var problems []string
	for _, pkg := range r.packages() {
		var name string
		var docs []*goFile
		for _, f := range r.goes {
			if f.pkg != pkg || f.test {
				continue
			}
			name = f.ast.Name.Name
			if f.ast.Doc != nil {
				docs = append(docs, f)
			}
		}
		start := "Package " + name + " "
		if name == "main" {
			start = "Command " + path.Base(pkg) + " "
		}
		switch {
		case name == "":
			problems = append(problems, fmt.Sprintf("%s has tests only; add a doc.go that says what they are about", pkg))
		case len(docs) == 0:
			problems = append(problems, fmt.Sprintf("%s has no doc comment; say above one of its package clauses what it is for: // %s…", pkg, start))
		case len(docs) > 1:
			problems = append(problems, fmt.Sprintf("%s has doc comments in %s and %s; leave the one, and put an empty line below the other", pkg, docs[0].path, docs[1].path))
		case !strings.HasPrefix(docs[0].ast.Doc.Text(), start):
			problems = append(problems, fmt.Sprintf("%s: the doc comment begins otherwise; begin it with %q", docs[0].path, start))
		}
	}
	return problems
}

func TestPackageDocsAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"a/a.go":          "package a\n",
		"b/b.go":          "// Package b is fine.\npackage b\n",
		"b/b_test.go":     "// A comment of a test.\npackage b\n",
		"c/c.go":          "// Package c is\npackage c\n",
		"c/doc.go":        "// Package c is said twice.\npackage c\n",
		"cmd/run/main.go": "// Main runs.\npackage main\n",
		"d/d_test.go":     "package d\n",
	})
	want := []string{
		"a has no doc comment",
		"c has doc comments in c/c.go and c/doc.go",
		"cmd/run/main.go: the doc comment begins otherwise",
		"d has tests only",
	}
	if diff := cmp.Diff(want, rules(checkPackageDocs(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A sleep is either too short on a busy machine or too long on every other; a skipped test is one that nobody misses.
func TestTestsNeitherSleepNorSkip(t *testing.T) {
	t.Parallel()
	report(t, checkTests(setup(t)))
}

func checkTests(r *repository) []string {
	var problems []string
	for _, f := range r.goes {
		if !f.support() {
			continue
		}
		testers := testerNames(f.ast)
		ast.Inspect(f.ast, func(node ast.Node) bool {
			sel, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := sel.Sel.Name
			switch {
			case on.Name == "time" && name == "Sleep":
				problems = append(problems, r.at(sel)+": test sleeps; wait for the condition itself: a channel, a query that blocks, or a poll with a deadline")
			case testers[on.Name] && slices.Contains([]string{"Skip", "SkipNow", "Skipf"}, name):
				problems = append(problems, r.at(sel)+": test skips; let it start what it needs, or fail with what is missing")
			}
			return true
		})
	}
	return problems
}

// testerNames are the parameters and fields that have a type of package testing.
func testerNames(file *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok {
			return true
		}
		kind := field.Type
		if star, ok := kind.(*ast.StarExpr); ok {
			kind = star.X
		}
		sel, ok := kind.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if on, ok := sel.X.(*ast.Ident); ok && on.Name == "testing" {
			for _, name := range field.Names {
				names[name.Name] = true
			}
		}
		return true
	})
	return names
}

func TestSleepsAndSkipsAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"a/a.go": "package a\n\nfunc f() { time.Sleep(1) }\n",
		"a/a_test.go": `package a

func TestA(t *testing.T) {
	time.Sleep(time.Second)
	wait := time.Sleep
	t.Skip("later")
	list.Skip()
}

func FuzzA(fuzz *testing.F) { fuzz.Skipf("no time.Sleep(") }
`,
		"internal/testdb/a.go": "package testdb\n\nfunc f(tb testing.TB) { tb.SkipNow() }\n",
	})
	want := []string{
		"a/a_test.go:4: test sleeps", "a/a_test.go:5: test sleeps", "a/a_test.go:6: test skips", "a/a_test.go:10: test skips",
		"internal/testdb/a.go:3: test skips",
	}
	if diff := cmp.Diff(want, rules(checkTests(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFilesAreSmall(t *testing.T) {
	t.Parallel()
	report(t, checkSizes(setup(t)))
}

func checkSizes(r *repository) []string {
	sizes := map[string]int{}
	for _, f := range r.goes {
		if !f.test {
			sizes[f.path] = f.size
		}
	}
	for name, text := range r.texts {
		if slices.Contains([]string{".css", ".html", ".js", ".sh", ".sql"}, path.Ext(name)) {
			sizes[name] = lines(text)
		}
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if sizes[name] > maxLines {
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d; split it by concept", name, sizes[name], maxLines))
		}
	}
	return problems
}

func TestSizesAreSeen(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\n", maxLines-1)
	r := sketch(t, map[string]string{
		"a/full.go":      "package a\n" + long,
		"a/long.go":      "package a\n" + long + "// more\n",
		"a/long_test.go": "package a\n" + long + "\n",
		"a/long.sql":     long + "\nSELECT 1",
		"a/long.md":      long + "\n\n",
	})
	want := []string{"a/long.go has 501 lines, more than 500", "a/long.sql has 501 lines, more than 500"}
	if diff := cmp.Diff(want, rules(checkSizes(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
