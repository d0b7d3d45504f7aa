package importjob

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/rowio"
)

// errorField is the name of the field that WriteRejects adds. An import of such a file (Args.RejectsOf) leaves it out.
const errorField = "_error"

// fileInfo is what a run keeps of its file's form in its metadata, so that its rejects can be written as such a file.
type fileInfo struct {
	Format      string   `json:"format"`
	Fields      []string `json:"fields"` // names in the header, or empty texts
	Header      bool     `json:"header"`
	Delimiter   string   `json:"delimiter"`
	Quote       string   `json:"quote"`
	MaxRecord   int      `json:"max_record"`
	Encoding    string   `json:"encoding"`
	Compression string   `json:"compression"`
	Found       string   `json:"found,omitempty"` // what was found out, and why
}

const fileKey = "file"

// RejectsOpts says where rejects come from and go to.
type RejectsOpts struct {
	Ledger *batch.Ledger
	Run    int64
	Out    io.Writer
}

// WriteRejects writes the rejects of an import as a file of the same form with one more field, _error, which says why; the
// file can be corrected and imported again. A record that cannot be split into fields is in the first one, whole. It
// returns how many there were.
func WriteRejects(ctx context.Context, opts RejectsOpts) (int64, error) {
	info, err := opts.Ledger.Get(ctx, opts.Run)
	if err != nil {
		return 0, err
	}
	var metadata struct {
		File *fileInfo `json:"file"`
	}
	if err := json.Unmarshal(info.Metadata, &metadata); err != nil {
		return 0, fmt.Errorf("run %d: metadata: %w", opts.Run, err)
	}
	file := metadata.File
	if file == nil || file.Format != config.NDJSON && (len(file.Delimiter) != 1 || len(file.Quote) != 1) {
		return 0, fmt.Errorf("run %d kept nothing of the form of its file; its rejects can only be listed", opts.Run)
	}
	w := &rejectWriter{out: bufio.NewWriterSize(opts.Out, 64<<10), file: file}
	if file.Header && file.Format != config.NDJSON {
		var head []rowio.Field
		for _, name := range file.Fields {
			head = append(head, rowio.Field{Value: []byte(name)})
		}
		w.record(head, errorField)
	}
	var n int64
	for after := int64(0); ; {
		const page = 500
		rejects, err := opts.Ledger.Rejects(ctx, opts.Run, after, page)
		if err != nil {
			return n, err
		}
		for _, reject := range rejects {
			w.reject(reject)
			n, after = n+1, reject.Ordinal
		}
		if len(rejects) < page {
			break
		}
	}
	return n, w.out.Flush()
}

type rejectWriter struct {
	out  *bufio.Writer // keeps the first error for Flush
	file *fileInfo
}

func (w *rejectWriter) reject(r batch.Reject) {
	why := r.Reason + " (" + r.Code + ")"
	if w.file.Format == config.NDJSON {
		w.object(r, why)
		return
	}
	fields, ok := w.split(r.Raw)
	if !ok {
		fields = make([]rowio.Field, len(w.file.Fields))
		fields[0].Value = r.Raw
		why += "; the whole line is in the first field"
	}
	if len(r.Raw) >= maxRejectRaw {
		why += "; only its beginning was kept"
	}
	w.record(fields, why)
}

// object writes a reject of NDJSON: its line with one more member, or, if it is no object, one with the line as a text.
func (w *rejectWriter) object(r batch.Reject, why string) {
	reason, _ := json.Marshal(strings.ToValidUTF8(why, "\uFFFD")) // a string always marshals
	if line := bytes.TrimSpace(r.Raw); json.Valid(line) && line[0] == '{' && len(r.Raw) < maxRejectRaw {
		line = bytes.TrimSpace(line[:len(line)-1])
		_, _ = w.out.Write(line)
		if len(line) > 1 {
			_ = w.out.WriteByte(',')
		}
		_, _ = fmt.Fprintf(w.out, "%q:%s}\n", errorField, reason)
		return
	}
	raw, _ := json.Marshal(strings.ToValidUTF8(string(r.Raw), "\uFFFD"))
	_, _ = fmt.Fprintf(w.out, "{\"_line\":%s,%q:%s}\n", raw, errorField, reason)
}

// split returns the fields of a record that has no more than the file; those that it lacks are empty.
func (w *rejectWriter) split(raw []byte) ([]rowio.Field, bool) {
	if len(raw) == 0 && len(w.file.Fields) == 1 {
		return make([]rowio.Field, 1), true // of one field a blank line is a record
	}
	csv := rowio.NewCSV(bytes.NewReader(raw), &rowio.CSVOpts{Comma: w.file.Delimiter[0], Quote: w.file.Quote[0], MaxRecord: w.file.MaxRecord})
	record, err := csv.Next()
	if err != nil || record.Err != nil || len(record.Fields) > len(w.file.Fields) {
		return nil, false
	}
	fields := make([]rowio.Field, len(w.file.Fields))
	for i, field := range record.Fields {
		fields[i] = rowio.Field{Value: bytes.Clone(field.Value), Quoted: field.Quoted}
	}
	if _, err := csv.Next(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	return fields, true
}

func (w *rejectWriter) record(fields []rowio.Field, last string) {
	for _, field := range fields {
		w.field(field.Value, field.Quoted && len(field.Value) == 0)
		_ = w.out.WriteByte(w.file.Delimiter[0])
	}
	w.field([]byte(strings.ToValidUTF8(last, "\uFFFD")), false)
	_ = w.out.WriteByte('\n')
}

func (w *rejectWriter) field(value []byte, quoted bool) {
	quote := w.file.Quote[0]
	if !quoted && !bytes.ContainsAny(value, w.file.Delimiter+w.file.Quote+"\r\n") && bytes.Equal(value, bytes.TrimSpace(value)) {
		_, _ = w.out.Write(value)
		return
	}
	_ = w.out.WriteByte(quote)
	for _, b := range value {
		if b == quote {
			_ = w.out.WriteByte(quote)
		}
		_ = w.out.WriteByte(b)
	}
	_ = w.out.WriteByte(quote)
}
