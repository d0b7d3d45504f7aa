package house

import (
	"errors"
	"flag"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/exported.txt")

// What programs of others call. A name that goes breaks them; one that comes is there to stay.
func TestExportedNames(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var all []string
	for _, pkg := range r.public() {
		all = append(all, "# "+importPath(pkg))
		all = append(all, r.exported(pkg)...)
	}
	got := strings.Join(all, "\n") + "\n"
	file := filepath.Join("testdata", "exported.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the exported names are not those of %s (-golden +now).\n"+
			"If that is meant, say it in CHANGELOG.md and run: go test ./internal/house -run '^TestExportedNames$' -update\n%s", file, diff)
	}
}

func TestExportedNamesAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"batch/a.go": `package batch

const A, b = 1, 2

var C int

type D[T any] struct {
	E, f int
	*G
	h
}

type G interface{ I(); j() }

type h struct{ K int }

func (d *D[T]) L() {}
func (h) M()       {}
func N()           {}
func o()           {}
`,
		"batch/a_linux.go":   "package batch\n\nfunc N() {}\n",
		"batch/a_test.go":    "package batch\n\nfunc TestA() {}\n",
		"bench/a.go":         "package main\n\nfunc A() {}\n",
		"cmd/x/a.go":         "package main\n\nfunc A() {}\n",
		"internal/bulk/a.go": "package bulk\n\nfunc A() {}\n",
	})
	if diff := cmp.Diff([]string{"batch"}, r.public()); diff != "" {
		t.Errorf("public packages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"A", "C", "D", "D.E", "D.G", "D.L", "G", "G.I", "N"}, r.exported("batch")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCensus prints how much there is: go test ./internal/house -run Census -v
func TestCensus(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var lines, files, testLines, other, names, members, tests int
	for _, f := range r.goes {
		switch {
		case f.support():
			testLines += f.size
			for _, name := range testNames(f.ast) {
				tests++
				t.Logf("test %s %s", f.pkg, name)
			}
		case ast.IsGenerated(f.ast):
		case offstage(f.pkg):
			other += f.size
		default:
			lines, files = lines+f.size, files+1
		}
	}
	for _, pkg := range r.public() {
		for _, name := range r.exported(pkg) {
			if strings.Contains(name, ".") {
				members++
			} else {
				names++
			}
		}
	}
	t.Logf("production: %d lines of Go in %d files", lines, files)
	t.Logf("bench, examples and packages of tests: %d lines", other)
	t.Logf("tests and what supports them: %d lines, %d tests", testLines, tests)
	t.Logf("exported: %d names, %d methods and fields, in %d packages", names, members, len(r.public()))
}

// offstage reports whether a package is no part of what runs for a user, though it is built without tests.
func offstage(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return first == "bench" || first == "examples" ||
		slices.Contains([]string{"internal/chaos", "internal/deploytest", "internal/house", "internal/house/golden"}, pkg)
}

// testNames are the functions of a file that go test runs.
func testNames(file *ast.File) []string {
	var all []string
	for _, declared := range file.Decls {
		f, ok := declared.(*ast.FuncDecl)
		if !ok || f.Recv != nil {
			continue
		}
		for _, prefix := range []string{"Benchmark", "Example", "Fuzz", "Test"} {
			if strings.HasPrefix(f.Name.Name, prefix) && f.Name.Name != "TestMain" {
				all = append(all, f.Name.Name)
			}
		}
	}
	return all
}
