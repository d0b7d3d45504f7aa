package httpjob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	excerptBytes = 1 << 10 // read for an error's excerpt
	excerptRunes = 200
	drainBytes   = 64 << 10
	drainTime    = time.Second
	maxDepth     = 100 // of JSON that is kept as such
)

// httpResult is what people see of an attempt.
type httpResult struct {
	Attempt    int    `json:"attempt"`
	Status     int    `json:"status,omitempty"` // 0: no answer
	Body       any    `json:"body,omitempty"`   // the JSON of an answer that is JSON, else its text
	Truncated  bool   `json:"truncated,omitempty"`
	Note       string `json:"note,omitempty"` // what is to be known about the body
	DurationMS int64  `json:"duration_ms"`
}

// keep puts at most limit bytes of the body into the result; cut tells that the answer has more than body.
func (r *httpResult) keep(body []byte, cut bool, limit int, contentType string) {
	if len(body) > limit {
		body, cut = body[:limit], true
	}
	r.Truncated = cut
	if !cut && isJSON(contentType) {
		if value, ok := decodeStorable(body); ok {
			r.Body = value
			return
		}
	}
	if cut {
		body = wholeRunes(body)
	}
	switch {
	case len(body) == 0:
	case !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0:
		r.Note = fmt.Sprintf("%d bytes that are not UTF-8 text", len(body))
	default:
		r.Body = string(body)
	}
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// wholeRunes leaves out a character that was cut at the end.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				break
			}
			return b[:i]
		}
	}
	return b
}

// decodeStorable decodes JSON that jsonb can hold, too: it knows no NUL, and no number of a million digits.
func decodeStorable(body []byte) (any, bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	if dec.Decode(&value) != nil || !storable(value, 0) {
		return nil, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false // several values
	}
	return value, true
}

func storable(value any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch value := value.(type) {
	case string:
		return !strings.Contains(value, "\x00")
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(value.String()), "e")
		n, err := strconv.Atoi(exponent)
		return len(value) <= 1000 && (exponent == "" || err == nil && -300 < n && n < 300)
	case []any:
		for _, v := range value {
			if !storable(v, depth+1) {
				return false
			}
		}
	case map[string]any:
		for k, v := range value {
			if strings.Contains(k, "\x00") || !storable(v, depth+1) {
				return false
			}
		}
	}
	return true
}

// readAtMost returns at most limit bytes, and whether there are more.
func readAtMost(r io.Reader, limit int) ([]byte, bool, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(body) > limit {
		return body[:limit], true, nil
	}
	return body, false, err
}

// drain reads a rest that is known to be short, so that the connection can be used again; in any other case a new one is
// cheaper. cancel ends the request of resp.
func drain(resp *http.Response, read int, cancel context.CancelFunc) {
	if rest := resp.ContentLength - int64(read); resp.ContentLength < 0 || rest > drainBytes {
		return
	}
	timer := time.AfterFunc(drainTime, cancel)
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, resp.Body) // if it fails, the connection is closed
}

// statusWords are ours: what the server writes beside the number is anything.
func statusWords(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}

// excerpt is the beginning of a body on one line.
func excerpt(body []byte) string {
	text := []rune(printable(string(wholeRunes(body))))
	if len(text) > excerptRunes {
		return string(text[:excerptRunes]) + "…"
	}
	return string(text)
}

// printable is s on one line, without what the database or a terminal would choke on.
func printable(s string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	return strings.Join(words, " ")
}

// plainError is err, which may quote what the other side has sent, with a printable text.
func plainError(err error) error {
	if text := printable(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
