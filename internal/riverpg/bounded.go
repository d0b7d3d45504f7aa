package riverpg

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/riverqueue/river/rivertype"
)

// maxError is how many bytes are stored of what an attempt's error says, and as many of its trace. A job keeps the errors of
// all its attempts, and each fetch and each list reads them.
const maxError = 16 << 10

// bounded cuts an attempt's error, which is JSON as River makes it, to what is kept.
func bounded(encoded []byte) []byte {
	if len(encoded) <= maxError {
		return encoded
	}
	var failure rivertype.AttemptError
	if json.Unmarshal(encoded, &failure) != nil {
		return encoded // not River's
	}
	failure.Error, failure.Trace = cut(failure.Error), cut(failure.Trace)
	short, err := json.Marshal(failure)
	if err != nil {
		return encoded
	}
	return short
}

// cut keeps the beginning and the end of a text: how it began tells what it was about, and the cause comes last.
func cut(text string) string {
	if len(text) <= maxError {
		return text
	}
	head, tail := maxError/2, len(text)-maxError/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + fmt.Sprintf(" … (%d bytes are left out) … ", tail-head) + text[tail:]
}
