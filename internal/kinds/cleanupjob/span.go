package cleanupjob

// cleanupSpan has rows that were passed over. It is looked at again to the last row of the key that it ends with, since a row that was
// locked may have moved meanwhile.
type cleanupSpan struct {
	Rule int          `json:"rule"`
	Part uint32       `json:"part"`
	From cleanupPlace `json:"from"`
	To   cleanupPlace `json:"to"`
}

// maxSpans bounds the cursor, which is written with each chunk. Beyond it spans grow together.
const maxSpans = 64

// passOver remembers the span of a chunk if it is to be looked at again, and reports whether it is: then nothing that stays in the table
// is counted yet. first is the key of the chunk's first row. Passed rows ask for that by themselves; rows that only stay ask for it if the
// last span is to be read over them, for they would be counted twice.
func (c *cleanupCursor) passOver(span cleanupSpan, first string, passed, stays bool) bool {
	if !passed && !stays {
		return false
	}
	full := len(c.Spans) >= maxSpans
	if n := len(c.Spans); n > 0 {
		last := &c.Spans[n-1]
		read := first != "" && first == last.To.At
		if last.Rule == span.Rule && last.Part == span.Part && (full || read || passed && last.To == span.From) {
			last.To = span.To
			return true
		}
	}
	if !passed || full {
		return false
	}
	if first > "" && first != span.From.At {
		span.From = cleanupPlace{At: first, TID: beforeAll} // the key before it may be another span's
	}
	c.Spans = append(c.Spans, span)
	return true
}
