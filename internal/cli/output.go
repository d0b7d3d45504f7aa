package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/tidemill/tidemill/batch"
)

func (m *Main) printJSON(v any) error {
	encoder := json.NewEncoder(m.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// table prints aligned columns; an empty one prints the given line instead.
func (m *Main) table(empty string, header []string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(m.Stderr, empty)
		return err
	}
	var aligned strings.Builder
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// Cells are padded up to an empty last one.
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(m.Stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// list prints what was found: as JSON, where nothing is [], or as a table with a row for each, or the line empty.
func list[T any](m *Main, found []T, empty string, header []string, row func(T) []string) error {
	if m.json {
		return m.printJSON(append([]T{}, found...))
	}
	rows := make([][]string, len(found))
	for i, item := range found {
		rows[i] = row(item)
	}
	return m.table(empty, header, rows)
}

// printable makes text from a file or a database safe to show: no byte of it may steer the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// isTerminal reports whether a stream is one; only then are bars and colours shown, and questions asked.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width of the terminal that w writes to, 80 if unknown.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint colours text for a terminal that wants colour (NO_COLOR, see no-color.org).
func paint(w io.Writer, colour, text string) string {
	if !isTerminal(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func statusColour(status batch.Status) string {
	switch status {
	case batch.Succeeded:
		return green
	case batch.Failed:
		return red
	case batch.Running, batch.Enqueued:
		return cyan
	default:
		return yellow
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, prefix := float64(bytes), ""
	for _, prefix = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= unit; value < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, prefix)
}

// span writes a duration as people say it: 850ms, 12.3s, 4m10s, 3h05m.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

func (m *Main) ago(t time.Time) string {
	d := m.now().Sub(t)
	if d < time.Second {
		return "now"
	}
	if d >= 48*time.Hour {
		return t.Local().Format("2006-01-02 15:04")
	}
	return span(d.Round(time.Second)) + " ago"
}

// when is ago for times that may be still to come.
func (m *Main) when(t time.Time) string {
	left := t.Sub(m.now())
	switch {
	case left < time.Second:
		return m.ago(t)
	case left >= 48*time.Hour:
		return t.Local().Format("2006-01-02 15:04")
	default:
		return "in " + span(left.Round(time.Second))
	}
}
