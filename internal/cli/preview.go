package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/workers/kind"
)

// previewImport shows what an import would do.
func (m *Main) previewImport(ctx context.Context, job, path string) error {
	name := filepath.Base(path)
	if path == "-" {
		copied, err := m.keepStdin()
		if err != nil {
			return err
		}
		defer os.Remove(copied)
		path, name = copied, "stdin"
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	app, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer app.Close()
	def, ok := app.Config.Jobs[job]
	if !ok {
		return m.explainImport(app, job, fmt.Errorf("job %q is not in the configuration", job))
	}
	input := kindOf(app, def).Input
	if input == nil {
		return takesNoFile(def)
	}
	preview, err := input.Preview(ctx, app.Pool, def, kind.PreviewOpts{
		Name: name, Size: info.Size(),
		Open: func(offset int64) (io.ReadCloser, error) {
			file, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			if _, err := file.Seek(offset, io.SeekStart); err != nil {
				_ = file.Close()
				return nil, err
			}
			return file, nil
		},
	})
	if err != nil {
		return err
	}
	show := m.showPreview
	if m.json {
		show = func(p *kind.Preview) error { return m.printJSON(p) }
	}
	if err := show(preview); err != nil {
		return err
	}
	if len(preview.Rejects) > 0 {
		return &exitError{code: exitRejects}
	}
	return nil
}

// keepStdin copies standard input to a file, because a dry run reads more than once.
func (m *Main) keepStdin() (path string, err error) {
	file, err := os.CreateTemp("", "tidemill-*")
	if err != nil {
		return "", fmt.Errorf("keep standard input for the dry run: %w", err)
	}
	_, err = io.Copy(file, m.Stdin)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("keep standard input for the dry run: %w", err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

func (m *Main) showPreview(p *kind.Preview) error {
	about := []string{p.Format, p.Encoding}
	if p.Compression != "none" {
		about = append(about, p.Compression)
	}
	if p.Delimiter != "" {
		about = append(about, "delimiter "+strconv.Quote(p.Delimiter))
	}
	rows := count(p.Rows, "row", "rows")
	if !p.Whole {
		rows = "about " + rows
	}
	fmt.Fprintf(m.Stdout, "%s; %s\n", strings.Join(about, ", "), rows)
	if p.Found != "" {
		fmt.Fprintf(m.Stdout, "found: %s\n", printable(p.Found))
	}
	fmt.Fprintln(m.Stdout)
	table := [][]string{}
	for _, f := range p.Fields {
		first := clip(oneLine(printable(f.First)), 40)
		if f.Value != nil && *f.Value != f.First {
			first = strings.TrimPrefix(first+" → ", " ") + clip(oneLine(printable(*f.Value)), 40)
		}
		table = append(table, []string{printable(f.Field), f.Column, f.Type, first})
	}
	if err := m.table("no fields", []string{"FIELD", "COLUMN", "TYPE", "FIRST VALUE"}, table); err != nil {
		return err
	}
	if len(p.Unused) > 0 {
		fmt.Fprintf(m.Stdout, "not imported: %s\n", printable(strings.Join(p.Unused, ", ")))
	}
	if len(p.Lacking) > 0 {
		fmt.Fprintf(m.Stdout, "optional fields that the file does not have: %s\n", printable(strings.Join(p.Lacking, ", ")))
	}
	c, swallowed := p.Counters, ""
	if c.Filtered > 0 {
		swallowed = ", " + grouped(c.Filtered) + " swallowed by a trigger"
	}
	fmt.Fprintf(m.Stdout, "\nof the first %s: %s inserted, %s updated, %s unchanged, %s duplicates%s, %s rejected; nothing was written\n",
		count(c.Read, "row", "rows"), grouped(c.Inserted), grouped(c.Updated), grouped(c.Unchanged), grouped(c.Duplicate), swallowed, grouped(c.Rejected))
	if altered := p.Altered.String(); altered != "" {
		fmt.Fprintf(m.Stdout, "%s\n", altered)
	}
	if len(p.Rejects) == 0 {
		return nil
	}
	rejects := [][]string{}
	for _, r := range p.Rejects[:min(10, len(p.Rejects))] {
		rejects = append(rejects, []string{strconv.FormatInt(r.Line, 10), r.Code, oneLine(r.Reason), clip(oneLine(string(r.Raw)), 60)})
	}
	fmt.Fprintln(m.Stdout)
	return m.table("", []string{"LINE", "CODE", "REASON", "ROW"}, rejects)
}
