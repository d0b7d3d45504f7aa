package house

import (
	"fmt"
	"go/doc"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An Example is what a reader copies first, so each public package has one that runs, and that a program outside can have.
func TestPublicPackagesHaveExamples(t *testing.T) {
	t.Parallel()
	report(t, checkExamples(setup(t)))
}

func checkExamples(r *repository) []string {
	var problems []string
	for _, pkg := range r.packages() {
		if !public(r, pkg) {
			continue
		}
		if !slices.ContainsFunc(r.goes, func(f *goFile) bool { return f.pkg == pkg && f.test && runsOutside(f) }) {
			problems = append(problems, fmt.Sprintf("%s has no Example that runs outside; "+
				"add one with an // Output: in a file that imports no internal package", pkg))
		}
	}
	return problems
}

// runsOutside reports whether f has an Example that runs, and imports only what a program outside can.
func runsOutside(f *goFile) bool {
	for _, name := range f.imports() {
		if inside, ok := ours(name); ok && strings.HasPrefix(inside, "internal/") {
			return false
		}
	}
	return slices.ContainsFunc(doc.Examples(f.ast), func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput })
}

// public reports whether programs outside can import a package.
func public(r *repository, pkg string) bool {
	if slices.Contains(strings.Split(pkg, "/"), "internal") || strings.HasPrefix(pkg, "examples") || pkg == "bench" {
		return false
	}
	return slices.ContainsFunc(r.goes, func(f *goFile) bool { return f.pkg == pkg && !f.test && f.ast.Name.Name != "main" })
}

func TestExamplesAreSeen(t *testing.T) {
	t.Parallel()
	example := func(output string) string {
		return "package a_test\n\nimport \"fmt\"\n\nfunc ExampleA() {\n\tfmt.Println(1)\n" + output + "}\n"
	}
	r := sketch(t, map[string]string{
		"good/a.go":              "package a\n",
		"good/example_test.go":   example("\t// Output: 1\n"),
		"none/a.go":              "package a\n",
		"none/a_test.go":         "package a\n",
		"still/a.go":             "package a\n",
		"still/example_test.go":  example(""),
		"inside/a.go":            "package a\n",
		"inside/example_test.go": strings.Replace(example("\t// Output: 1\n"), `"fmt"`, `("fmt"; _ "`+module+`/internal/x")`, 1),
		"internal/x/x.go":        "package x\n",
		"cmd/run/main.go":        "package main\n",
	})
	want := []string{
		"inside has no Example that runs outside", "none has no Example that runs outside", "still has no Example that runs outside",
	}
	if diff := cmp.Diff(want, rules(checkExamples(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
