package rowio

import (
	"fmt"
	"slices"
)

// Ragged says what to do with records of a wrong number of fields.
type Ragged uint8

const (
	// RaggedReject makes them malformed.
	RaggedReject Ragged = iota

	// RaggedPad adds empty fields to a short record and takes empty ones, which
	// spreadsheets leave behind, off the end of a long one. A long record
	// with values at its end stays malformed: something would be lost.
	RaggedPad
)

// fit makes the record one of c.width fields, or a malformed one.
func (c *CSV) fit() {
	got := len(c.rec.Fields)
	if c.ragged == RaggedPad {
		if got < c.width {
			c.rec.Fields = slices.Grow(c.rec.Fields, c.width-got)[:c.width]
			clear(c.rec.Fields[got:])
			c.rec.Padded = true
			return
		}
		if emptyFrom(c.rec.Fields[c.width:]) {
			c.rec.Fields = c.rec.Fields[:c.width]
			c.rec.Padded = true
			return
		}
	}
	c.fail(CodeFieldCount, c.misfit(got), len(c.rec.Raw))
}

func emptyFrom(fields []Field) bool {
	return !slices.ContainsFunc(fields, func(f Field) bool { return len(f.Value) > 0 })
}

func (c *CSV) misfit(got int) string {
	fields := "fields"
	if got == 1 {
		fields = "field"
	}
	message := fmt.Sprintf("%d %s where %d are expected", got, fields, c.width)
	if got > c.width && c.ragged == RaggedReject && emptyFrom(c.rec.Fields[c.width:]) {
		return message + "; set `ragged: pad` to leave out empty ones at the end"
	}
	if got > c.width {
		return fmt.Sprintf("%s; enclose a field that has %q in it in %c", message, string(rune(c.comma)), c.quote)
	}
	if c.ragged == RaggedReject {
		return message + "; set `ragged: pad` if missing ones are empty"
	}
	return message
}
