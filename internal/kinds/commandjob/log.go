package commandjob

import (
	"context"
	"log/slog"
	"time"
)

const (
	// outputWindow is for how long max_output bounds what is logged of a command: one that says a line now and then for
	// days is logged in full, and one that floods its output does not fill the disk of the log.
	outputWindow = time.Minute
	// logLine is about what a line costs in a log beside its own text.
	logLine = 128
)

// outputLog writes the lines of one attempt's output to the log, up to most bytes in each window.
type outputLog struct {
	logger *slog.Logger
	most   int

	began          time.Time // of the window
	used           int
	lines, leftOut int64 // how many lines were left out of this window, and their bytes
}

// line logs a line, or counts it.
func (o *outputLog) line(ctx context.Context, line string) {
	if now := time.Now(); now.Sub(o.began) >= outputWindow {
		o.tell(ctx)
		o.began, o.used = now, 0
	}
	cost := len(line) + logLine
	if o.lines > 0 || o.used+cost > o.most+logLine {
		if o.lines == 0 {
			o.logger.WarnContext(ctx, "command output comes too fast to be logged; what is more is left out, and its end is kept with the run", "max_output", o.most,
				"window", outputWindow.String())
		}
		o.lines++
		o.leftOut += int64(len(line)) + 1
		return
	}
	o.used += cost
	o.logger.InfoContext(ctx, "command output", "line", line)
}

// tell says how much was left out since it was said last.
func (o *outputLog) tell(ctx context.Context) {
	if o.lines == 0 {
		return
	}
	o.logger.WarnContext(ctx, "command output was left out of the log", "lines", o.lines, "bytes", o.leftOut)
	o.lines, o.leftOut = 0, 0
}
