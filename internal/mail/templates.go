package mail

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Templates are those of a directory: NAME.txt and NAME.html, of which one is enough, and a layout.txt and layout.html that
// put the same frame around all, inline ones included. Other files are left alone.
//
// A layout says where the mail goes, {{template "content" .}}, and may have blocks that a template fills: {{block "title" .}}
// in the layout, {{define "title"}} in the template.
type Templates struct {
	dir    string
	layout Source
	named  map[string]*Template
}

// Source is the text of a template in both forms; what is empty is not there.
type Source struct {
	Text, HTML         string
	textName, htmlName string // what messages call them
}

// Inline is the source of a template that is in the configuration; messages call it by its place there.
func Inline(place, text, html string) Source {
	return Source{Text: text, HTML: html, textName: place + ".text", htmlName: place + ".html"}
}

const (
	layoutName      = "layout"
	maxTemplateFile = 1 << 20 // bytes
)

var contentRE = regexp.MustCompile(`\{\{-?\s*(template|block)\s+"content"`)

// Load reads and parses the templates of a directory; "" has none. Errors name file and line.
func Load(dir string) (*Templates, error) {
	t := &Templates{dir: dir, named: map[string]*Template{}}
	if dir == "" {
		return t, nil
	}
	sources, err := readSources(dir)
	if err != nil {
		return nil, err
	}
	t.layout = sources[layoutName]
	delete(sources, layoutName)
	for _, layout := range []struct{ text, name string }{{t.layout.Text, t.layout.textName}, {t.layout.HTML, t.layout.htmlName}} {
		if layout.text != "" && !contentRE.MatchString(layout.text) {
			return nil, fmt.Errorf(`%s: it has no place for the mail; write {{template "content" .}} there`, layout.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if t.named[name], err = t.Parse(sources[name]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func readSources(dir string) (map[string]Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the mail templates: %w", err)
	}
	sources := map[string]Source{}
	for _, entry := range entries {
		ext := filepath.Ext(entry.Name())
		if entry.IsDir() || ext != ".txt" && ext != ".html" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		content, err := readTemplate(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(entry.Name(), ext)
		source := sources[name]
		if ext == ".txt" {
			source.Text, source.textName = content, path
		} else {
			source.HTML, source.htmlName = content, path
		}
		sources[name] = source
	}
	return sources, nil
}

func readTemplate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read a mail template: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTemplateFile {
		return "", fmt.Errorf("%s: no regular file of at most %d bytes", path, maxTemplateFile)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a mail template: %w", err)
	}
	if !utf8.Valid(content) {
		return "", fmt.Errorf("%s: not UTF-8", path)
	}
	if strings.TrimSpace(string(content)) == "" {
		return "", fmt.Errorf("%s: empty; remove it, or write the mail", path)
	}
	return string(content), nil
}

// Names are the names of the templates, sorted.
func (t *Templates) Names() []string { return slices.Sorted(maps.Keys(t.named)) }

// Named returns a template of the directory.
func (t *Templates) Named(name string) (*Template, error) {
	if found, ok := t.named[name]; ok {
		return found, nil
	}
	known := cmp.Or(strings.Join(t.Names(), ", "), "none")
	if t.dir == "" {
		return nil, fmt.Errorf("template %q: no directory of templates is configured; set mail.templates", name)
	}
	return nil, fmt.Errorf("template %q: %s has neither %s.txt nor %s.html (known: %s)", name, t.dir, name, name, known)
}
