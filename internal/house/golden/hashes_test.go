package golden

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers"
)

// A run continues only under the hash that it began with, and a file counts as imported under the hash of its import: a job
// whose hash changes without need repeats work.
func TestHashes(t *testing.T) {
	t.Parallel()
	var hashes, others []string
	for name, text := range configurations(t) {
		cfg, err := config.Parse(name, []byte(text), &config.Opts{Kinds: workers.Configs(), Offline: true})
		if err != nil {
			others = append(others, fmt.Sprintf("%s: %s", name, reason(err)))
			continue
		}
		for job, definition := range cfg.Jobs {
			hashes = append(hashes, fmt.Sprintf("%s#%s %s", name, job, definition.Hash()))
		}
	}
	slices.Sort(hashes)
	slices.Sort(others)
	check(t, "hashes.txt", strings.Join(hashes, "\n")+"\n\nNo configuration, and the first mistake:\n"+strings.Join(others, "\n")+"\n")
}

// reason is where the first mistake is, and its first word.
func reason(err error) string {
	var list field.Errors
	if !errors.As(err, &list) || len(list) == 0 {
		return err.Error()
	}
	word, _, _ := strings.Cut(list[0].Message, " ")
	return strings.TrimSpace(list[0].Path + " " + word)
}

// configurations are the YAML texts of the repository by name: files, fenced blocks of documents, sections of testscripts,
// and constants of Go that hold jobs, which go by their name alone.
func configurations(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && strings.HasPrefix(base, ".") || base == "node_modules" || base == "fuzz" {
				return fs.SkipDir
			}
			return nil
		}
		ext := path.Ext(name)
		if !slices.Contains([]string{".go", ".golden", ".md", ".txtar", ".yaml", ".yml"}, ext) || strings.HasPrefix(name, "internal/house/golden/testdata/show_") {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		switch ext {
		case ".md":
			maps.Copy(all, fenced(name, string(data)))
		case ".txtar":
			for _, file := range txtar.Parse(data).Files {
				if isYAML(file.Name) {
					all[name+"/"+file.Name] = string(file.Data)
				}
			}
		case ".go":
			return constants(all, name, data)
		default:
			all[name] = string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func isYAML(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" }

// fenced are the blocks of YAML in a Markdown text, counted from 1.
func fenced(name, text string) map[string]string {
	blocks := map[string]string{}
	var block *strings.Builder
	for line := range strings.Lines(text) {
		switch mark := strings.TrimSpace(line); {
		case block == nil && (mark == "```yaml" || mark == "```yml"):
			block = &strings.Builder{}
		case block != nil && mark == "```":
			blocks[fmt.Sprintf("%s[%d]", name, len(blocks)+1)] = block.String()
			block = nil
		case block != nil:
			block.WriteString(line)
		}
	}
	return blocks
}

// constants adds the constants of a file of Go that are a configuration with jobs.
func constants(all map[string]string, name string, data []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, declared := range file.Decls {
		group, ok := declared.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Values) != 1 {
				continue
			}
			lit, ok := value.Values[0].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return err
			}
			if !strings.Contains(text, "jobs:") {
				continue
			}
			if cfg, err := config.Parse(name, []byte(text), &config.Opts{Kinds: workers.Configs(), Offline: true}); err == nil && len(cfg.Jobs) > 0 {
				key := "const " + value.Names[0].Name
				if other, taken := all[key]; taken && other != text {
					key = "const " + path.Dir(name) + "." + value.Names[0].Name
				}
				all[key] = text
			}
		}
	}
	return nil
}
