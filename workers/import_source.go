package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
	"github.com/tidemill/tidemill/retry"
)

// importSource is a file as text, and how its records are written.
type importSource struct {
	name    string // of the file, for messages
	def     *config.Import
	open    textin.Source
	head    *textin.Head
	dialect rowio.DetectedDialect // of CSV
	// names are those in the header, or of the members of JSON objects; without a header as many empty ones as there are fields.
	names []string
	first importCursor // of the first record
}

// scanner reads records of either format.
type scanner interface {
	Next() (*rowio.Record, error)
}

// lookAt finds out what the definition leaves open, and reads the header. What no row can be got from is a permanent error.
func lookAt(name string, def *config.Import, open textin.Source) (*importSource, error) {
	s := &importSource{name: name, def: def, open: open, first: importCursor{Line: 1}}
	head, err := textin.Look(open, textin.Format{Compression: textin.Compression(def.Compression), Encoding: textin.Encoding(def.Encoding)})
	if err != nil {
		return nil, s.damaged(err)
	}
	s.head = head
	if doubt := head.Doubt(); doubt != "" {
		return nil, s.fail("%s", doubt)
	}
	if def.Format == config.NDJSON {
		return s, s.lookAtJSON()
	}
	return s, s.lookAtCSV()
}

func (s *importSource) lookAtJSON() error {
	if code, message, bad := rowio.ExplainNDJSON(s.head.Text); bad {
		return s.fail("%s (%s)", message, code)
	}
	for _, column := range s.def.Columns {
		s.names = append(s.names, column.Field)
	}
	if s.names == nil {
		s.names = rowio.MemberNames(s.head.Text)
	}
	if len(s.names) == 0 {
		return s.fail("its first lines have no members; name them under columns")
	}
	return nil
}

func (s *importSource) lookAtCSV() error {
	header := rowio.WithHeader
	if !s.def.Header {
		header = rowio.WithoutHeader
	}
	s.dialect = rowio.DetectDialect(s.head.Text, s.head.Whole,
		rowio.Dialect{Delimiter: s.def.Delimiter, Quote: s.def.Quote, Header: header}, s.def.Comment)
	code, message, bad := rowio.Explain(s.head.Text, s.csvOpts(s.first))
	if bad && code == rowio.CodeDelimiter && s.def.Delimiter == 0 {
		// Ragged records misled the statistics; the header knows better.
		code, message, bad = s.delimiterOfHeader()
	}
	if bad {
		return s.fail("%s (%s)", message, code)
	}
	stream, err := s.text(0)
	if err != nil {
		return err
	}
	defer stream.Close()
	record, err := rowio.NewCSV(stream, s.csvOpts(s.first)).Next()
	if err != nil {
		return s.damaged(fmt.Errorf("read the first record: %w", err))
	}
	if record.Err != nil && s.def.Header {
		return s.fail("the header cannot be read: %v", record.Err)
	}
	s.names = make([]string, len(record.Fields))
	if !s.def.Header {
		return nil
	}
	for i, field := range record.Fields {
		s.names[i] = strings.TrimSpace(string(field.Value))
	}
	s.first = importCursor{Offset: record.End, Line: record.NextLine}
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

// records returns a scanner of the stream, which stands at from, for records of that width.
func (s *importSource) records(stream io.Reader, from importCursor, width int) scanner {
	if s.def.Format == config.NDJSON {
		return rowio.NewNDJSON(stream, &rowio.NDJSONOpts{
			Invalid: s.head.Invalid, MaxRecord: s.def.MaxRecord, Names: s.names, Offset: from.Offset, Line: from.Line,
		})
	}
	opts := s.csvOpts(from)
	opts.Width = width
	if s.def.Ragged == config.RaggedPad {
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

// note is what a run keeps of its file's form.
func (s *importSource) note(names []string) fileNote {
	note := fileNote{
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

// damaged marks what another try cannot mend: a file that is broken. Errors of the storage are for the storage to judge.
func (s *importSource) damaged(err error) error {
	var damage *textin.DamageError
	if errors.As(err, &damage) {
		return retry.Permanent(fmt.Errorf("%s: %w", s.name, err))
	}
	return permanentStorage(fmt.Errorf("%s: %w", s.name, err))
}

// sourceOf is the stored file of an import.
func (im *importRun) sourceOf(ctx context.Context) textin.Source {
	return func(offset int64) (io.ReadCloser, error) { return im.opts.Storage.Reader(ctx, im.args.Object, offset) }
}
