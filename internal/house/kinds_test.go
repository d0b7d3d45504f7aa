package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kindFolders are those of the kinds of job that Tidemill brings.
func kindFolders() []string {
	return []string{
		"internal/kinds/cleanupjob", "internal/kinds/commandjob", "internal/kinds/eachjob", "internal/kinds/emailjob", "internal/kinds/exportjob", "internal/kinds/httpjob", "internal/kinds/importjob", "internal/kinds/sqljob",
	}
}

// A kind is one folder and one line: whatever else names it would have to be changed for the next one, too.
func TestNoFileNamesAKind(t *testing.T) {
	t.Parallel()
	r := setup(t)
	report(t, checkKinds(r))
	for _, folder := range kindFolders() {
		if !slices.ContainsFunc(r.goes, func(f *goFile) bool { return f.pkg == folder }) {
			t.Errorf("%s is not there", folder)
		}
	}
}

func checkKinds(r *repository) []string {
	var problems []string
	for _, f := range r.goes {
		if f.test || f.path == "workers/kinds.go" {
			continue
		}
		for _, folder := range kindFolders() {
			if f.pkg == folder {
				continue
			}
			for _, spec := range f.ast.Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); strings.HasSuffix(path, "/"+folder) {
					problems = append(problems, fmt.Sprintf("%s: imports the kind %s; let the kind say what you need in workers/kind", r.at(spec), folder))
				}
			}
			name := strings.TrimSuffix(path.Base(folder), "job")
			for _, lit := range namings(f.ast, name) {
				problems = append(problems, fmt.Sprintf("%s: names the kind %s; let the kind say what you need in workers/kind", r.at(lit), name))
			}
		}
	}
	return problems
}

// namings are the literals that name a kind: as River knows it, or where something called a kind is compared with or set to it.
func namings(file *ast.File, name string) []*ast.BasicLit {
	var found []*ast.BasicLit
	is := func(e ast.Expr, want string) bool {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return false
		}
		text, err := strconv.Unquote(lit.Value)
		return err == nil && text == want
	}
	add := func(e ast.Expr) {
		if is(e, name) {
			found = append(found, e.(*ast.BasicLit))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && (text == "tidemill."+name || strings.HasPrefix(text, "tidemill."+name+"_")) {
				found = append(found, n)
			}
		case *ast.BinaryExpr:
			if called(n.X) {
				add(n.Y)
			}
			if called(n.Y) {
				add(n.X)
			}
		case *ast.KeyValueExpr:
			if called(n.Key) {
				add(n.Value)
			}
		case *ast.SwitchStmt:
			if !called(n.Tag) {
				break
			}
			for _, clause := range n.Body.List {
				for _, e := range clause.(*ast.CaseClause).List {
					add(e)
				}
			}
		}
		return true
	})
	return found
}

// called reports whether an expression is called a kind.
func called(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.HasSuffix(strings.ToLower(e.Name), "kind")
	case *ast.SelectorExpr:
		return called(e.Sel)
	case *ast.CallExpr:
		return called(e.Fun)
	}
	return false
}

func TestNamesOfKindsAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"a.go": "package tidemill\n\nimport _ \"github.com/tidemill/tidemill/internal/kinds/sqljob\"\n\n" +
			"var a = job.Kind == \"import\"\n" +
			"var b = \"tidemill.import_scan\" + \"import\"\n" +
			"var c = config.Job{Kind: \"each\"}\n" +
			"func d() { switch job.Kind { case \"x\", \"http\": } }\n" +
			"var e = url.Scheme == \"http\"\n",
		"a_test.go":                     "package tidemill\n\nvar a = job.Kind == \"import\"\n",
		"workers/kinds.go":              "package workers\n\nimport _ \"github.com/tidemill/tidemill/internal/kinds/sqljob\"\n",
		"internal/kinds/importjob/a.go": "package importjob\n\nvar a = job.Kind == \"import\" || job.Kind != \"export\"\n",
	})
	want := []string{
		"a.go:7: names the kind each", "a.go:8: names the kind http", "a.go:5: names the kind import", "a.go:6: names the kind import",
		"a.go:3: imports the kind internal/kinds/sqljob", "internal/kinds/importjob/a.go:3: names the kind export",
	}
	if diff := cmp.Diff(want, rules(checkKinds(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
