package rowio

import (
	"bytes"
	"io"
	"testing"
)

// row is a Record that outlives the next call, in a form that prints well.
type row struct {
	Fields         []string // a quoted field has a leading "
	Raw            string
	Offset, End    int64
	Line, NextLine int64
	Code           string
}

func rowOf(rec *Record) row {
	r := row{
		Raw:    string(rec.Raw),
		Offset: rec.Offset, End: rec.End,
		Line: rec.Line, NextLine: rec.NextLine,
	}
	for _, f := range rec.Fields {
		r.Fields = append(r.Fields, quoteMark(f.Quoted)+string(f.Value))
	}
	if rec.Err != nil {
		r.Code = rec.Err.Code
	}
	return r
}

func quoteMark(quoted bool) string {
	if quoted {
		return `"`
	}
	return ""
}

// rows reads to the end of the stream.
func rows(t testing.TB, c *CSV) []row {
	t.Helper()
	var all []row
	for {
		rec, err := c.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("after %d records: %v", len(all), err)
		}
		if (rec.Err == nil) != (len(rec.Fields) > 0) {
			t.Fatalf("record at %d: %d fields with error %v", rec.Offset, len(rec.Fields), rec.Err)
		}
		all = append(all, rowOf(rec))
	}
}

// model is the definition of the format written for the eye: one byte at a
// time over a whole file in memory.
func model(data []byte, comma, quote byte, maxRecord int) []row {
	var all []row
	pos, line := 0, int64(1)
	if bytes.HasPrefix(data, bom) {
		pos = len(bom)
	}
	for pos < len(data) {
		if width := modelLineEnd(data[pos:]); width > 0 {
			pos, line = pos+width, line+1
			continue
		}
		fields, length, code := modelRecord(data[pos:min(len(data), pos+maxRecord+1)], comma, quote, maxRecord)
		r := row{Offset: int64(pos), Line: line, Code: code}
		if code == "" {
			r.Fields = fields
		} else {
			length = 0
			for pos+length < len(data) && modelLineEnd(data[pos+length:]) == 0 {
				length++
			}
		}
		raw := data[pos : pos+length]
		for rest := raw; len(rest) > 0; {
			width := modelLineEnd(rest)
			if width > 0 {
				line++
			}
			rest = rest[max(width, 1):]
		}
		pos += length
		if width := modelLineEnd(data[pos:]); width > 0 {
			pos, line = pos+width, line+1
		}
		r.Raw = string(raw[:min(len(raw), maxRecord)])
		r.End, r.NextLine = int64(pos), line
		all = append(all, r)
	}
	return all
}

func modelLineEnd(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	case bytes.HasPrefix(b, []byte("\n")), bytes.HasPrefix(b, []byte("\r")):
		return 1
	}
	return 0
}

func modelRecord(b []byte, comma, quote byte, maxRecord int) (fields []string, length int, code string) {
	const (
		fieldStart = iota
		unquoted
		quoted
		behindQuote
	)
	state, field := fieldStart, []byte{}
	emit := func() {
		fields = append(fields, quoteMark(state == behindQuote)+string(field))
		state, field = fieldStart, nil
	}
	for i, ch := range b {
		isLineEnd := ch == '\n' || ch == '\r'
		switch {
		case state == quoted && ch == quote:
			state = behindQuote
		case state == quoted:
			field = append(field, ch)
		case state == behindQuote && ch == quote:
			state, field = quoted, append(field, quote)
		case isLineEnd:
			emit()
			return fields, i, ""
		case ch == comma:
			emit()
		case state == behindQuote:
			return nil, 0, CodeTextAfterQuote
		case state == unquoted && ch == quote:
			return nil, 0, CodeBareQuote
		case ch == quote:
			state = quoted
		default:
			state, field = unquoted, append(field, ch)
		}
	}
	switch {
	case len(b) > maxRecord:
		return nil, 0, CodeRecordTooLong
	case state == quoted:
		return nil, 0, CodeUnclosedQuote
	}
	emit()
	return fields, len(b), ""
}
