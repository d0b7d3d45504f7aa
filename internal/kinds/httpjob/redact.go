package httpjob

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/webhook"
)

// redactedText stands for what the request has sent and the other side has echoed.
const redactedText = "[redacted]"

const (
	// leastSecret is the length from which on a value is looked for; leastOther the same of one whose name does not sound secret.
	// Shorter ones would make gaps into texts that have nothing to do with them.
	leastSecret = 4
	leastOther  = 8
)

// echoes are the texts that an answer must not show: what the job's headers and the URL's query hold, in the forms in which a
// receiver may repeat them. The longest come first.
func echoes(headers map[string]string, signature string, query url.Values) []string {
	var texts []string
	add := func(name, value string) {
		least := leastOther
		if soundsSecret(name) {
			least = leastSecret
		}
		forms := []string{value}
		if scheme, rest, ok := strings.Cut(value, " "); ok && soundsSecret(name) {
			forms = append(forms, strings.TrimSpace(rest))
			if strings.EqualFold(scheme, "basic") {
				if plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil {
					_, password, _ := strings.Cut(string(plain), ":")
					forms = append(forms, string(plain), password)
				}
			}
		}
		for _, form := range forms {
			if len(form) < least {
				continue
			}
			quoted, _ := json.Marshal(form) // a string always marshals
			texts = append(texts, form, strings.Trim(string(quoted), `"`), url.QueryEscape(form), url.PathEscape(form))
		}
	}
	for name, value := range headers {
		switch http.CanonicalHeaderKey(name) {
		case "Accept", "Accept-Language", "Content-Type", "User-Agent":
		default:
			add(name, value)
		}
	}
	add(webhook.SignatureHeader, signature)
	for name, values := range query {
		for _, value := range values {
			add(name, value)
		}
	}
	slices.SortFunc(texts, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(texts)
}

func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "credential", "key", "pass", "secret", "session", "sig", "token"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// redact takes the echoes out of the beginning of a body. cut is whether more follows, which may be the rest of one.
func (c *httpCall) redact(body []byte, cut bool) []byte {
	for _, text := range c.echoes {
		body = bytes.ReplaceAll(body, []byte(text), []byte(redactedText))
	}
	if !cut {
		return body
	}
	for _, text := range c.echoes {
		for n := min(len(text)-1, len(body)); n >= leastSecret; n-- {
			if bytes.HasSuffix(body, []byte(text[:n])) {
				return append(body[:len(body)-n:len(body)-n], redactedText...)
			}
		}
	}
	return body
}

// redactError does the same for what an error quotes.
func (c *httpCall) redactError(err error) error {
	if err == nil {
		return nil
	}
	text := string(c.redact([]byte(err.Error()), false))
	if text == err.Error() {
		return err
	}
	return &echoError{text: text, err: err}
}

// echoError keeps the chain, so that what the error means for the retry stays.
type echoError struct {
	text string
	err  error
}

func (e *echoError) Error() string { return e.text }
func (e *echoError) Unwrap() error { return e.err }
