// Package boundlog keeps the lines of a log short: an error may quote all that a command has said, or a whole statement.
package boundlog

import (
	"context"
	"fmt"
	"log/slog"
	"unicode/utf8"
)

// Most is how many bytes are logged of one text. It is no less than what is logged of one line of a command's output.
const Most = 16 << 10

// New returns a logger that writes to next and keeps of long texts, which errors are too, the beginning and the end.
func New(next *slog.Logger) *slog.Logger { return slog.New(handler{next.Handler()}) }

type handler struct{ slog.Handler }

// Handle makes another record only if something in this one is too long.
func (h handler) Handle(ctx context.Context, record slog.Record) error {
	long := len(record.Message) > Most
	record.Attrs(func(a slog.Attr) bool {
		_, cut := short(a)
		long = long || cut
		return !long
	})
	if !long {
		return h.Handler.Handle(ctx, record)
	}
	out := slog.NewRecord(record.Time, record.Level, cut(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		a, _ = short(a)
		out.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, out)
}

// WithAttrs bounds what comes with each record.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	bounded := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		bounded[i], _ = short(a)
	}
	return handler{h.Handler.WithAttrs(bounded)}
}

// WithGroup keeps the bound.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// short returns the attribute with its texts cut, and whether any was.
func short(a slog.Attr) (slog.Attr, bool) {
	value := a.Value.Resolve()
	var text string
	switch value.Kind() {
	case slog.KindString:
		text = value.String()
	case slog.KindGroup:
		found := false
		group := make([]slog.Attr, len(value.Group()))
		for i, member := range value.Group() {
			var one bool
			group[i], one = short(member)
			found = found || one
		}
		if !found {
			return a, false
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}, true
	case slog.KindAny:
		switch v := value.Any().(type) {
		case error:
			text = message(v)
		case []byte:
			text = string(v)
		case fmt.Stringer:
			text = message(v)
		}
	}
	if len(text) <= Most {
		return a, false
	}
	return slog.String(a.Key, cut(text)), true
}

// message is the text of an error or the like; one that panics is left to the handler, which knows what to write then.
func message(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	if err, ok := v.(error); ok {
		return err.Error()
	}
	return v.(fmt.Stringer).String()
}

// cut keeps the beginning and the end: how it began tells what it was about, and the cause comes last.
func cut(text string) string {
	if len(text) <= Most {
		return text
	}
	head, tail := Most/2, len(text)-Most/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + fmt.Sprintf(" … (%d bytes are left out) … ", tail-head) + text[tail:]
}
