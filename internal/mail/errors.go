package mail

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"unicode"
)

// Verdict says what a failed sending means for the mail.
type Verdict int

// The verdicts. Temporary is the zero value: what nobody classified may be tried again.
const (
	Temporary Verdict = iota // not sent; another try may succeed
	Permanent                // not sent; the same again would be refused again
	Unknown                  // the server had all of the mail, and its answer was lost
)

// Error is why a mail was not, or perhaps not, taken by the server.
type Error struct {
	Verdict Verdict
	Phase   string // what was in progress: "connect", "log in", "RCPT TO"
	Code    int    // the server's answer; 0 if it gave none
	Message string
	Hint    string // what to do; may be empty
	Err     error  // the cause, for errors.Is; may be nil
}

// Error gives the problem on one line:
//
//	RCPT TO: 550 5.1.1 no such user
func (e *Error) Error() string {
	s := e.Phase + ": " + e.Message
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// VerdictOf is that of the *Error in err, Temporary if there is none.
func VerdictOf(err error) Verdict {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Verdict
	}
	return Temporary
}

// maxReply bounds what is kept of a server's answer, in bytes; some write essays.
const maxReply = 500

// replyError classifies what a step of the protocol gave. Without an answer of the server, what the step did is undone when
// the connection ends, so it is temporary.
func replyError(phase string, err error) *Error {
	e := &Error{Phase: phase, Message: clean(err.Error()), Err: err}
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return e
	}
	e.Code = reply.Code
	e.Message = fmt.Sprintf("%d %s", reply.Code, clean(reply.Msg))
	if reply.Code >= 500 && reply.Code <= 599 {
		e.Verdict = Permanent
	}
	return e
}

// clean makes one line of what a server wrote, without what a terminal obeys or a database refuses.
func clean(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if len(text) > maxReply {
		text = strings.ToValidUTF8(text[:maxReply], "") + "…"
	}
	return text
}

// closing is the answer of a server that ends the connection, whatever it was asked.
const closing = 421
