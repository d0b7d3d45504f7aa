package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/batch"
)

// progress shows how a run continues: a line that is rewritten on a terminal, a plain line now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration // between plain lines
	last     time.Time
	drawn    bool
	status   batch.Status
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: isTerminal(w), every: 2 * time.Second}
}

// show draws the run as it is.
func (p *progress) show(info *batch.Info) {
	changed := info.Status != p.status
	p.status = info.Status
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", clip(p.line(info), width(p.w)-1))
		p.drawn = true
		return
	}
	if !changed && time.Since(p.last) < p.every {
		return
	}
	p.last = time.Now()
	fmt.Fprintln(p.w, p.line(info))
}

// stored draws the upload that comes before a run.
func (p *progress) stored(done, total int64) {
	text := "storing  " + size(done)
	if total > 0 {
		text = fmt.Sprintf("storing  %s %3.0f %%  %s", bar(float64(done)/float64(total)), 100*float64(done)/float64(total), size(done))
	}
	p.text(text)
}

// text draws a line on a terminal, not more often than people can read.
func (p *progress) text(line string) {
	if !p.terminal || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.w, "\r\x1b[K%s", clip(line, width(p.w)-1))
	p.drawn = true
}

// clear takes the bar away, so that what follows stands alone.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) line(info *batch.Info) string {
	parts := []string{fmt.Sprintf("run %d  %s", info.ID, info.Status)}
	if percent, ok := info.Percent(); ok {
		if p.terminal {
			parts = append(parts, bar(percent/100))
		}
		parts = append(parts, fmt.Sprintf("%s%3.0f %%", about(info), percent))
	}
	if info.Counters.Read > 0 {
		parts = append(parts, count(info.Counters.Read, "row", "rows"))
	}
	if info.Children != nil && info.Children.Total > 0 {
		parts = append(parts, childrenLine(info.Children))
	}
	if info.Counters.Rejected > 0 {
		parts = append(parts, grouped(info.Counters.Rejected)+" rejected")
	}
	if info.Status == batch.Running && info.Rate != nil && *info.Rate > 0 && info.Unit != nil {
		if *info.Unit == "bytes" {
			parts = append(parts, size(int64(*info.Rate))+"/s")
		} else {
			parts = append(parts, grouped(int64(*info.Rate))+" "+*info.Unit+"/s")
		}
	}
	if eta, ok := info.ETA(); ok && eta >= time.Second {
		parts = append(parts, "about "+span(eta.Round(time.Second))+" left")
	}
	return strings.Join(parts, "  ")
}

// about is put before a share of a total that the planner has guessed.
func about(info *batch.Info) string {
	if !info.Status.Final() && gjson.GetBytes(info.Metadata, "total_estimated").Bool() {
		return "about "
	}
	return ""
}

func bar(share float64) string {
	const cells = 24
	full := min(cells, max(0, int(share*cells)))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
}

func clip(text string, width int) string {
	if runes := []rune(text); width > 0 && len(runes) > width {
		return string(runes[:width])
	}
	return text
}

// indented is JSON for people to read.
func indented(value json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, value, "", "  ") != nil {
		return string(value)
	}
	return b.String()
}

// childrenLine says what became of the jobs that a run has enqueued.
func childrenLine(c *batch.Children) string {
	return fmt.Sprintf("children %s: %s done, %s failed, %s waiting", grouped(c.Total), grouped(c.Done), grouped(c.Failed), grouped(c.Waiting))
}

// summary is what a person wants to know of a run that has ended.
func (m *Main) summary(w io.Writer, app *tidemill.App, info *batch.Info) {
	about := describe(kindOfRun(app, info), info)
	fmt.Fprintf(w, "run %d %s", info.ID, paint(w, statusColour(info.Status), string(info.Status)))
	if info.StartedAt != nil && info.FinishedAt != nil {
		fmt.Fprintf(w, " in %s", span(info.FinishedAt.Sub(*info.StartedAt)))
	}
	fmt.Fprintln(w)
	c := info.Counters
	for _, line := range []struct {
		n    int64
		text string
	}{
		{c.Read, "read"}, {c.Inserted, "inserted"}, {c.Updated, "updated"}, {c.Unchanged, "unchanged"},
		{c.Duplicate, "duplicates left out"}, {c.Filtered, "swallowed by a trigger"}, {c.Processed, "processed"}, {c.Deleted, "deleted"}, {c.Rejected, "rejected"},
	} {
		if line.n > 0 || line.text == "read" && info.Unit != nil && !about.NoRows {
			fmt.Fprintf(w, "  %12s  %s\n", grouped(line.n), line.text)
		}
	}
	if info.Children != nil {
		fmt.Fprintln(w, childrenLine(info.Children))
	}
	if note := noteOf(info); note != "" {
		fmt.Fprintf(w, "note: %s\n", printable(note))
	} else if len(info.Result) > 0 {
		fmt.Fprintf(w, "result: %s\n", printable(indented(info.Result)))
	}
	switch {
	case info.Status == batch.Cancelled && info.Done > 0 && info.Children != nil:
		fmt.Fprintf(w, "note: children that run end as they will; to continue with the next rows: tidemill runs retry %d\n", info.ID)
	case info.Status == batch.Cancelled && info.Done > 0:
		kept := cmp.Or(about.Kept, "what was done is kept")
		fmt.Fprintf(w, "note: %s; to resume from there: tidemill runs retry %d\n", kept, info.ID)
	case info.Error != nil:
		fmt.Fprintf(w, "error: %s\n", printable(*info.Error))
	}
	if info.Children != nil && info.Children.Failed > 0 {
		fmt.Fprintf(w, "hint: tidemill jobs list --parent %d --state discarded,cancelled\n", info.ID)
	}
	if c.Rejected > 0 {
		fmt.Fprintf(w, "hint: tidemill runs rejects %d\n", info.ID)
	}
	for _, note := range about.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	if !about.Expires.IsZero() && m.output == "" && m.now().Before(about.Expires) {
		fmt.Fprintf(w, "hint: tidemill runs download %d -o FILE\n", info.ID)
	}
}
