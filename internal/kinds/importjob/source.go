package importjob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
	"github.com/tidemill/tidemill/retry"
)

// importSource is a file as text, and how its records are written.
type importSource struct {
	name    string // of the file, for messages
	def     *Config
	open    textin.Source
	head    *textin.Head
	dialect rowio.DetectedDialect // of CSV
	// names are those in the header, or of the members of JSON objects; without a header as many empty ones as there are fields.
	names []string
	// lacking are the optional members that no line has.
	lacking []string
	first   importCursor    // of the first record
	form    *detectedFormat // by which the run continues; nil: at its beginning
	// rejects: the file holds corrected rejects, with the field _error in each record.
	rejects bool
}

// scanner reads records of either format.
type scanner interface {
	Next() (*rowio.Record, error)
}

// detectedFormat is what was found out about a file. A run keeps it from its first chunk on (importCursor), so that whatever
// continues with it, perhaps a newer version that judges otherwise, reads the rest as it read the beginning.
type detectedFormat struct {
	Compression textin.Compression `json:"compression"`
	Encoding    textin.Encoding    `json:"encoding"`
	Delimiter   string             `json:"delimiter,omitempty"` // of CSV
	Quote       string             `json:"quote,omitempty"`
	Names       []string           `json:"names,omitempty"` // of NDJSON
}

// valid reports whether a run can continue by it.
func (f *detectedFormat) valid(format string) bool {
	return f != nil && f.Compression != "" && f.Encoding != "" && (format == config.NDJSON || len(f.Delimiter) == 1 && len(f.Quote) == 1)
}

// lookAt finds out what the definition leaves open, and reads the header. What no row can be got from is a permanent error.
// With a form, that of a run that continues, nothing is left open, and nothing is asked that was answered at its beginning.
// Looking through a large file takes time; alive is called in between.
func lookAt(ctx context.Context, s importSource, table *bulk.Table, alive func(context.Context) error) (*importSource, error) {
	s.first = importCursor{Line: 1}
	if !s.form.valid(s.def.Format) {
		s.form = nil
	}
	if err := s.look(); err != nil {
		return nil, err
	}
	if s.def.Format == config.NDJSON {
		return &s, s.lookAtJSON(ctx, table, alive)
	}
	return &s, s.openCSV()
}

func (s *importSource) look() (err error) {
	s.head, err = textin.Look(s.open, textin.Format{Compression: textin.Compression(s.def.Compression), Encoding: textin.Encoding(s.def.Encoding)})
	if s.form != nil {
		// If it comes out the same, the words about it are worth keeping.
		if known := (textin.Format{Compression: s.form.Compression, Encoding: s.form.Encoding}); err != nil || s.head.Format != known {
			s.head, err = textin.Look(s.open, known)
		}
	}
	if err != nil {
		return s.damaged(err)
	}
	if message, bad := rowio.ExplainFormat(s.head.Raw); bad && s.form == nil {
		return s.fail("%s (%s)", message, rowio.CodeBinary) // no encoding makes it text
	}
	if doubt := s.head.Doubt(); doubt != "" && s.form == nil {
		return s.fail("%s", doubt)
	}
	return nil
}

func (s *importSource) lookAtJSON(ctx context.Context, table *bulk.Table, alive func(context.Context) error) error {
	if s.form == nil {
		if code, message, bad := rowio.ExplainNDJSON(s.head.Text); bad {
			return s.fail("%s (%s)", message, code)
		}
		return s.memberNames(ctx, table, alive)
	}
	s.names = slices.Clone(s.form.Names)
	s.addMapped()
	return nil
}

func (s *importSource) openCSV() error {
	want := rowio.Dialect{Delimiter: s.def.Delimiter, Quote: s.def.Quote}
	if s.form != nil {
		want.Delimiter, want.Quote = s.form.Delimiter[0], s.form.Quote[0]
	}
	s.dialect = rowio.DetectDialect(s.head.Text, s.head.Whole, want, s.def.Comment)
	if s.form == nil {
		if err := s.explain(); err != nil {
			return err
		}
	}
	stream, err := s.text(0)
	if err != nil {
		return err
	}
	defer stream.Close()
	record, err := rowio.NewCSV(stream, s.csvOpts(s.first)).Next()
	if errors.Is(err, io.EOF) {
		return s.fail("the file has nothing but blank lines and comments (%s)", rowio.CodeEmpty)
	}
	if err != nil {
		return s.damaged(fmt.Errorf("read the first record: %w", err))
	}
	if record.Err != nil && s.def.Header {
		return s.fail("the header cannot be read: %v", record.Err)
	}
	s.names = make([]string, len(record.Fields))
	if len(s.names) == 1 && record.Err == nil && s.form == nil && bytes.Contains(s.head.Text, []byte("\r\r\n")) && bytes.IndexByte(s.head.Text, s.dialect.Quote) < 0 {
		return s.fail("its lines end with CR CR LF, so that it is not certain which of its blank lines are rows: with one field a blank line is one; " +
			"convert the line ends: sed 's/\\r*$//'")
	}
	if !s.def.Header {
		return nil
	}
	s.names = rowio.HeaderNames(record.Fields)
	s.first = importCursor{Offset: record.End, Line: record.NextLine}
	return nil
}

// explain refuses a file from which no row can be got, and says why.
func (s *importSource) explain() error {
	code, message, bad := rowio.Explain(s.head.Text, s.csvOpts(s.first))
	if bad && code == rowio.CodeDelimiter && s.def.Delimiter == 0 {
		// Ragged records misled the statistics; the header knows better.
		code, message, bad = s.delimiterOfHeader()
	}
	if bad {
		return s.fail("%s (%s)", message, code)
	}
	return nil
}

// delimiterOfHeader takes the first delimiter with which nothing speaks against the header.
func (s *importSource) delimiterOfHeader() (code, message string, bad bool) {
	for _, delimiter := range []byte{',', ';', '\t', '|'} {
		s.dialect.Delimiter = delimiter
		if code, message, bad = rowio.Explain(s.head.Text, s.csvOpts(s.first)); !bad {
			return "", "", false
		}
	}
	return code, message, bad
}

func (s *importSource) csvOpts(from importCursor) *rowio.CSVOpts {
	return &rowio.CSVOpts{
		Comma: s.dialect.Delimiter, Quote: s.dialect.Quote, Comment: s.def.Comment, MaxRecord: s.def.MaxRecord,
		Offset: from.Offset, Line: from.Line, Invalid: s.invalid(),
	}
}

// invalid finds bytes that are no text. In UTF-8 the database finds them, too, so that nobody pays for looking twice, unless
// there is more to say than that they are wrong.
func (s *importSource) invalid() func([]byte) (int, string) {
	if s.head.Encoding == textin.UTF8 && (!s.head.Guessed || s.head.Warning == "") {
		return nil
	}
	return s.head.Invalid
}

// text opens the decoded stream.
func (s *importSource) text(offset int64) (*textin.Stream, error) {
	stream, err := textin.Open(s.open, s.head.Format, offset)
	if err != nil {
		return nil, s.damaged(err)
	}
	return stream, nil
}

// records returns a scanner of the stream, which is at from, for records of that width.
func (s *importSource) records(stream io.Reader, from importCursor, width int) scanner {
	if s.def.Format == config.NDJSON {
		return rowio.NewNDJSON(stream, &rowio.NDJSONOpts{
			Invalid: s.head.Invalid, MaxRecord: s.def.MaxRecord, Names: s.names, Offset: from.Offset, Line: from.Line,
		})
	}
	opts := s.csvOpts(from)
	opts.Width = width
	if s.def.Ragged == RaggedPad {
		opts.Ragged = rowio.RaggedPad
	}
	return rowio.NewCSV(stream, opts)
}

// seeks reports whether offsets of the text are those of the file.
func (s *importSource) seeks() bool {
	return s.head.Compression == textin.None && s.head.Encoding == textin.UTF8
}

// clean is raw bytes of a record as people should see them.
func (s *importSource) clean(raw []byte) []byte {
	if s.head.Encoding == textin.UTF8 {
		return raw
	}
	return s.head.Encoding.Clean(nil, raw)
}

// freeze returns what was detected, so that the next attempt reads the file the same way.
func (s *importSource) freeze() *detectedFormat {
	form := &detectedFormat{Compression: s.head.Compression, Encoding: s.head.Encoding}
	if s.def.Format != config.NDJSON {
		form.Delimiter, form.Quote = string(s.dialect.Delimiter), string(s.dialect.Quote)
	} else {
		form.Names = s.names
	}
	return form
}

// note is what a run keeps of its file's form.
func (s *importSource) note(names []string) fileInfo {
	note := fileInfo{
		Format: s.def.Format, Fields: names, Header: s.def.Header, MaxRecord: s.def.MaxRecord,
		Encoding: string(s.head.Encoding), Compression: string(s.head.Compression), Found: s.found(),
	}
	if s.def.Format != config.NDJSON {
		note.Delimiter, note.Quote = string(s.dialect.Delimiter), string(s.dialect.Quote)
	}
	return note
}

// found says what was found out, and why, for people.
func (s *importSource) found() string {
	var parts []string
	if s.head.Guessed && s.head.Encoding != textin.UTF8 || s.head.Warning != "" {
		part := fmt.Sprintf("encoding %s: %s", s.head.Encoding, s.head.Why)
		if s.head.Warning != "" {
			part += ", but " + s.head.Warning
		}
		parts = append(parts, part)
	}
	if s.def.Format != config.NDJSON && (s.dialect.Delimiter != ',' || s.dialect.Quote != '"') && s.dialect.Why != "" {
		parts = append(parts, s.dialect.Why)
	}
	return strings.Join(parts, "; ")
}

func (s *importSource) fail(format string, args ...any) error {
	return retry.Permanent(fmt.Errorf("%s: %s", s.name, fmt.Sprintf(format, args...)))
}

// damaged marks what a retry cannot fix: a file that is broken. Errors of the storage are for the storage to judge.
func (s *importSource) damaged(err error) error {
	if _, ok := errors.AsType[*textin.DamageError](err); ok {
		return retry.Permanent(fmt.Errorf("%s: %w", s.name, err))
	}
	return permanentStorage(fmt.Errorf("%s: %w", s.name, err))
}

// sourceOf is the file of an import.
func (im *importRun) sourceOf(ctx context.Context) textin.Source {
	return func(offset int64) (io.ReadCloser, error) {
		r, err := im.whole(ctx, offset, im.cursor.Digest)
		if err != nil {
			return nil, err
		}
		im.reader = r
		return r, nil
	}
}
