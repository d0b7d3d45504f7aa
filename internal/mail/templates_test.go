package mail_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/mail"
)

// directory writes templates and returns where they are.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func about() mail.About {
	return mail.About{Job: "welcome", Run: 42, Due: time.Date(2026, 1, 31, 9, 0, 0, 0, time.FixedZone("JST", 9*3600))}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	templates, err := mail.Load(directory(t, map[string]string{
		"layout.txt":   "== {{block \"title\" .}}News{{end}} ==\n{{template \"content\" .}}\n-- run {{run}} of {{job}}",
		"layout.html":  `<title>{{block "title" .}}News{{end}}</title><body>{{template "content" .}}</body>`,
		"welcome.txt":  "Hello {{.name}}",
		"welcome.html": "<p>Hello {{.name}}</p>",
		"offer.html":   `{{define "title"}}Offer{{end}}<a href="/o?n={{.name}}">{{date "2 Jan" due}}</a>`,
		"only.txt":     `{{define "content"}}Bye {{.name}}{{end}}{{define "title"}}T{{end}}`,
		"README.md":    "{{not a template",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"offer", "only", "welcome"}, templates.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	data := mail.Data(map[string]any{"name": "<Jo & co>"})
	tests := map[string]struct{ text, html string }{
		"welcome": {"== News ==\nHello <Jo & co>\n-- run 42 of welcome", "<title>News</title><body><p>Hello &lt;Jo &amp; co&gt;</p></body>"},
		"offer":   {"", `<title>Offer</title><body><a href="/o?n=%3cJo%20%26%20co%3e">31 Jan</a></body>`},
		"only":    {"== T ==\nBye <Jo & co>\n-- run 42 of welcome", ""},
		"inline":  {"== News ==\nIn line <Jo & co>\n-- run 42 of welcome", "<title>News</title><body><b>&lt;Jo &amp; co&gt;</b></body>"},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template, err := templates.Named(name)
			if name == "inline" {
				template, err = templates.Parse(mail.Inline("jobs.x", "In line {{.name}}", "<b>{{.name}}</b>"))
			}
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			for range 4 { // a worker renders many at once
				group.Go(func() {
					text, html, err := template.Render(data, about())
					if err != nil || text != want.text || html != want.html {
						t.Errorf("gives %q, %q, %v", text, html, err)
					}
				})
			}
			group.Wait()
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax":            {map[string]string{"a.txt": "x\n{{.b"}, "DIR/a.txt:2: unclosed action"},
		"unknown function":  {map[string]string{"a.html": "\n\n{{shout .b}}"}, `DIR/a.html:3: function "shout" not defined`},
		"in the layout":     {map[string]string{"layout.txt": "{{template \"content\" .}}{{end}}", "a.txt": "x"}, "DIR/layout.txt:1: unexpected {{end}}"},
		"layout, no place":  {map[string]string{"layout.html": "<p>", "a.html": "x"}, `DIR/layout.html: it has no place for the mail; write {{template "content" .}} there`},
		"escaping":          {map[string]string{"a.html": "<p>\n<a href='{{if .x}}'{{end}}>"}, "DIR/a.html:2"},
		"unknown template":  {map[string]string{"a.html": `{{template "foot"}}`}, `"foot"`},
		"empty":             {map[string]string{"a.txt": " \n"}, "DIR/a.txt: empty; remove it, or write the mail"},
		"not UTF-8":         {map[string]string{"a.txt": "\xff\xfe"}, "DIR/a.txt: not UTF-8"},
		"larger than a MiB": {map[string]string{"a.txt": strings.Repeat("a", 1<<20+1)}, "DIR/a.txt: no regular file of at most 1048576 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := directory(t, tt.files)
			_, err := mail.Load(dir)
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want one with %s", err, want)
			}
		})
	}
	if _, err := mail.Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("a directory that is not there gives %v", err)
	}
}

func TestNamedRefuses(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"a.txt": "x", "b.html": "y"})
	templates, err := mail.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = templates.Named("../c")
	if want := `template "../c": ` + dir + ` has neither ../c.txt nor ../c.html (known: a, b)`; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	none, err := mail.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Named("a"); err == nil || err.Error() != `template "a": no directory of templates is configured; set mail.templates` {
		t.Errorf("error is %v", err)
	}
}

func TestRenderLine(t *testing.T) {
	t.Parallel()
	data := mail.Data(map[string]any{
		"name": "Jo", "none": nil, "n": json.Number("12"), "price": json.Number("12.50"), "big": json.Number("123456789012345678901234567890"),
		"half": json.Number("0.5"), "raw": json.RawMessage(`{"a":[1,null,"x"]}`), "day": "2026-02-01", "evil": "a\r\nBcc: b@c.d",
		"list": []any{"a@b.c", "d@e.f"}, "at": time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC),
	})
	tests := []struct{ source, want, wantErr string }{
		{"Hello {{.name}}", "Hello Jo", ""},
		{"  {{.name}}\n", "Jo", ""},
		{"[{{.none}}]{{if .none}}x{{end}}", "[]", ""},
		{"{{if gt .n 11}}many{{end}} {{.n}}", "many 12", ""},
		{"{{.price}} {{.big}} {{if lt .half 0.6}}{{.half}}{{end}}", "12.50 123456789012345678901234567890 0.5", ""},
		{"{{index .raw.a 0}}{{index .raw.a 1}}{{json .raw}}", `1{"a":[1,"","x"]}`, ""},
		{"{{range .list}}{{.}},{{end}}", "a@b.c,d@e.f,", ""},
		{`{{date "2 January 2006" .day}} {{date "15:04" .at}} {{date "Mon" due}}`, "1 February 2026 08:30 Sat", ""},
		{"{{job}} {{run}}", "welcome 42", ""},
		{"{{.nmae}}", "", `p:1:2: executing "p" at <.nmae>: map has no entry for key "nmae"; the run has no param of that name`},
		{"{{.raw.b}}", "", `map has no entry for key "b"`},
		{"{{.evil}}", "", `p: "a\r\nBcc: b@c.d" has a line break, which a header cannot have`},
		{`{{date "2006" .name}}`, "", `"Jo" is neither a date like 2026-01-31 nor a timestamp like 2026-01-31T09:00:00Z`},
		{`{{date "2006" .n}}`, "", "what is given is no date"},
		{"{{", "", "p:1: unclosed action"},
		{`{{define "x"}}aaaaaaaaaaaaaaaaaaaaaaaa{{template "x"}}{{end}}{{template "x"}}`, "", "exceeded maximum template depth"},
		{`{{range $i, $c := .list}}{{printf "%9999999s" $c}}{{end}}`, "", "the mail is longer than 10485760 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			t.Parallel()
			got, err := mail.RenderLine("p", tt.source, data, about())
			if tt.wantErr == "" && (err != nil || got != tt.want) || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("gives %q, error %v; want %q, error %q", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func FuzzRenderLine(f *testing.F) {
	f.Add("{{.name}}", "Jo")
	f.Add("{{json .name}}", "a\nb")
	f.Fuzz(func(t *testing.T, source, name string) {
		if strings.Contains(source, "range") || strings.Contains(source, "template") || strings.Contains(source, "printf") {
			return // slow, not wrong
		}
		line, err := mail.RenderLine("p", source, mail.Data(map[string]any{"name": name}), about())
		if err == nil && strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%q with %q gives %q", source, name, line)
		}
	})
}
