package rowio

import "bytes"

// bound is where a field lies, relative to the start of its record, quotes
// not included. Slices would not survive the window moving.
type bound struct {
	from, to        int
	quoted, doubled bool // doubled: quotes inside are to be made single
}

// fault is what stops the scan of a record: a code, or a read error when the
// code is empty.
type fault struct {
	code string
	at   int // relative to the start of the record
}

// scan takes any record: with quotes, over several lines, cut by the end of
// the window, malformed. The error is that of the reader.
func (c *CSV) scan() error {
	n, f := c.scanFields()
	if f != nil {
		if f.code == "" {
			return c.win.failure()
		}
		return c.malformed(f)
	}
	width, ok := c.win.lineEnd(n)
	if !ok {
		return c.win.failure()
	}

	raw := c.win.bytes()[:n:n]
	lines := countLineEnds(raw)
	if width > 0 {
		lines++
	}
	c.emit(c.fields(raw), raw, width, lines, nil)
	return nil
}

// scanFields fills c.bounds and returns the length of the record.
func (c *CSV) scanFields() (int, *fault) {
	c.bounds = c.bounds[:0]
	p := 0 // start of the next field
	for {
		b := c.view()
		if p == len(b) {
			switch c.more(p) {
			case extentMore:
				continue
			case extentEnd:
				c.bounds = append(c.bounds, bound{from: p, to: p})
				return p, nil
			case extentFull:
				return 0, &fault{code: CodeRecordTooLong}
			case extentFailed:
				return 0, &fault{}
			}
		}

		var to int // after the field: a delimiter, a line end or the end of the stream
		if b[p] == c.quote {
			end, doubled, f := c.scanQuoted(p)
			if f != nil {
				return 0, f
			}
			c.bounds = append(c.bounds, bound{from: p + 1, to: end - 1, quoted: true, doubled: doubled})
			to = end
		} else {
			end, f := c.scanUnquoted(p)
			if f != nil {
				return 0, f
			}
			c.bounds = append(c.bounds, bound{from: p, to: end})
			to = end
		}
		b = c.view()
		if to == len(b) || b[to] != c.comma {
			return to, nil
		}
		p = to + 1
	}
}

// scanUnquoted returns the position after the unquoted field at p.
func (c *CSV) scanUnquoted(p int) (int, *fault) {
	for {
		b := c.view()
		for p < len(b) && !c.special[b[p]] {
			p++
		}
		if p < len(b) {
			if b[p] == c.quote {
				return 0, &fault{code: CodeBareQuote, at: p}
			}
			return p, nil
		}
		switch c.more(p) {
		case extentMore:
		case extentEnd:
			return p, nil
		case extentFull:
			return 0, &fault{code: CodeRecordTooLong}
		case extentFailed:
			return 0, &fault{}
		}
	}
}

// scanQuoted returns the position after the closing quote of the field at p.
func (c *CSV) scanQuoted(p int) (end int, doubled bool, f *fault) {
	q := p + 1
	for {
		b := c.view()
		i := bytes.IndexByte(b[q:], c.quote)
		if i < 0 {
			q = len(b)
			switch c.more(q) {
			case extentMore:
				continue
			case extentEnd:
				return 0, false, &fault{code: CodeUnclosedQuote, at: p}
			case extentFull:
				return 0, false, &fault{code: CodeRecordTooLong, at: p}
			case extentFailed:
				return 0, false, &fault{}
			}
		}
		q += i
		if q+1 == len(b) {
			switch c.more(q + 1) {
			case extentMore:
				continue // finds the same quote again, now with its successor
			case extentEnd:
				return q + 1, doubled, nil
			case extentFull:
				return 0, false, &fault{code: CodeRecordTooLong}
			case extentFailed:
				return 0, false, &fault{}
			}
		}
		switch b[q+1] {
		case c.quote:
			doubled = true
			q += 2
		case c.comma, '\n', '\r':
			return q + 1, doubled, nil
		default:
			return 0, false, &fault{code: CodeTextAfterQuote, at: q + 1}
		}
	}
}

// fields turns c.bounds into slices of raw, or of the scratch buffer where
// quotes are doubled.
func (c *CSV) fields(raw []byte) []Field {
	fields := c.rec.Fields[:0]
	c.scratch = c.scratch[:0]
	for _, b := range c.bounds {
		value := raw[b.from:b.to:b.to]
		if b.doubled {
			value = c.unescape(value)
		}
		fields = append(fields, Field{Value: value, Quoted: b.quoted})
	}
	return fields
}

// unescape appends value to the scratch buffer, each pair of quotes as one.
func (c *CSV) unescape(value []byte) []byte {
	from := len(c.scratch)
	for {
		i := bytes.IndexByte(value, c.quote)
		if i < 0 {
			break
		}
		c.scratch = append(c.scratch, value[:i+1]...)
		value = value[i+2:]
	}
	c.scratch = append(c.scratch, value...)
	return c.scratch[from:len(c.scratch):len(c.scratch)]
}
