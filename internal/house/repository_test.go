package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	module = "github.com/tidemill/tidemill"
	root   = "../.."
)

// repository is what the checks look at. Paths are relative to its root and use slashes.
type repository struct {
	files fs.FS
	fset  *token.FileSet
	goes  []*goFile
	texts map[string]string // the other files of source and prose
}

// goFile is one parsed file, whatever its build constraints.
type goFile struct {
	path string
	pkg  string // folder, "." for the root; it names the package in all messages
	test bool
	ast  *ast.File
	size int // lines
}

// setup reads this repository.
func setup(t *testing.T) *repository {
	t.Helper()
	return read(t, os.DirFS(root))
}

// sketch is a repository made of the files given, for showing that a check sees what it should.
func sketch(t *testing.T, files map[string]string) *repository {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return read(t, fsys)
}

func read(t *testing.T, fsys fs.FS) *repository {
	t.Helper()
	r := &repository{files: fsys, fset: token.NewFileSet(), texts: map[string]string{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && ignored(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		return r.add(name)
	})
	if err != nil {
		t.Fatalf("read the repository: %v", err)
	}
	return r
}

// ignored are the folders that the go command does not build from, and other modules.
func ignored(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (r *repository) add(name string) error {
	ext := path.Ext(name)
	if !slices.Contains([]string{".css", ".go", ".html", ".js", ".md", ".sh", ".sql", ".yaml", ".yml"}, ext) &&
		!slices.Contains([]string{"Dockerfile", "Makefile"}, path.Base(name)) {
		return nil
	}
	text, err := fs.ReadFile(r.files, name)
	if err != nil {
		return err
	}
	if ext != ".go" {
		r.texts[name] = string(text)
		return nil
	}
	file, err := parser.ParseFile(r.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r.goes = append(r.goes, &goFile{
		path: name,
		pkg:  path.Dir(name),
		test: strings.HasSuffix(name, "_test.go"),
		ast:  file,
		size: lines(string(text)),
	})
	return nil
}

func lines(text string) int {
	n := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		n++
	}
	return n
}

// packages are the folders with Go files, sorted.
func (r *repository) packages() []string {
	var all []string
	for _, f := range r.goes {
		all = append(all, f.pkg)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// exists reports whether there is a file or folder of this name.
func (r *repository) exists(name string) bool {
	_, err := fs.Stat(r.files, name)
	return err == nil
}

func (r *repository) at(node ast.Node) string {
	p := r.fset.Position(node.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// imports are the import paths of f.
func (f *goFile) imports() []string {
	var all []string
	for _, spec := range f.ast.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, name)
		}
	}
	return all
}

// ours is the folder of an imported package of this module.
func ours(name string) (string, bool) {
	if name == module {
		return ".", true
	}
	return strings.CutPrefix(name, module+"/")
}

// support reports whether f is used by tests only: a test, or part of a package that takes a testing.TB.
func (f *goFile) support() bool {
	return f.test || slices.Contains(testSupport(), f.pkg)
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func literals(file *ast.File) []*ast.BasicLit {
	var all []*ast.BasicLit
	ast.Inspect(file, func(node ast.Node) bool {
		if lit, ok := node.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			all = append(all, lit)
		}
		return true
	})
	return all
}
