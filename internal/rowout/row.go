package rowout

import "fmt"

// Rows encodes the messages of one COPY. It belongs to one goroutine.
type Rows interface {
	// Append adds the record of a message to dst and returns it. row is false for a message that is none. defused counts
	// the cells that were changed because a spreadsheet would take them for formulas.
	Append(dst, message []byte) (out []byte, row bool, defused int, err error)
	// Values returns the first n values of a row, in the text form of the server; nil for a message that is none.
	Values(message []byte, n int) ([]Value, error)
}

// Value is a value of a row.
type Value struct {
	Text string
	Null bool
}

// malformed is an error about what the server sent, which no server in order does.
func malformed(message []byte) error {
	return fmt.Errorf("COPY sent a row that cannot be read: %.100q", message)
}
