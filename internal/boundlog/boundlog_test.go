package boundlog

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type pair struct{ a, b string }

func (p pair) String() string { return p.a + p.b }

type lost struct{ next error }

func (l *lost) Error() string { return l.next.Error() }

func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	long := "begin " + strings.Repeat("é", 1<<20) + " end"
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		cut  bool
	}{
		{"a text", func(l *slog.Logger) { l.Info("m", "k", long) }, true},
		{"the message", func(l *slog.Logger) { l.Info(long) }, true},
		{"an error", func(l *slog.Logger) { l.Info("m", "error", errors.New(long)) }, true},
		{"bytes", func(l *slog.Logger) { l.Info("m", "k", []byte(long)) }, true},
		{"what has a text", func(l *slog.Logger) { l.Info("m", "k", pair{"begin ", long[6:]}) }, true},
		{"in a group", func(l *slog.Logger) { l.Info("m", slog.Group("g", "n", 1, "k", long)) }, true},
		{"of the logger", func(l *slog.Logger) { l.With("k", long).WithGroup("g").Info("m", "n", 1) }, true},
		{"after a group", func(l *slog.Logger) { l.WithGroup("g").Info("m", "k", long) }, true},
		{"short", func(l *slog.Logger) {
			l.Info("m", "k", "begin end", "error", errors.New("x"), "n", 1, slog.Group("g", "x", 1))
		}, false},
		{"nil", func(l *slog.Logger) { l.Info("m", "begin", "end", "error", (*lost)(nil), "p", (*pair)(nil)) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var text, plain bytes.Buffer
			noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}
			tt.log(New(slog.New(slog.NewJSONHandler(&text, noTime))))
			if !tt.cut {
				tt.log(slog.New(slog.NewJSONHandler(&plain, noTime)))
				if diff := cmp.Diff(plain.String(), text.String()); diff != "" {
					t.Error(diff)
				}
				return
			}
			if line := text.String(); len(line) > Most+300 || !strings.Contains(line, "bytes are left out) … ") || !strings.Contains(line, "begin ") || !strings.Contains(line, " end") {
				t.Errorf("%d bytes: %.200s", len(line), line)
			}
		})
	}
}
