// Package webhook signs requests, and checks their signatures, as Standard Webhooks 1.0 has it with secrets that both
// sides know (https://www.standardwebhooks.com). Its libraries, which there are for most languages, accept what Sign makes.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed request.
const (
	IDHeader        = "Webhook-Id"
	TimestampHeader = "Webhook-Timestamp" // seconds since 1970
	SignatureHeader = "Webhook-Signature"
)

// Tolerance is how far the time of a signature may lie from the clock of whoever checks it, either way: a request that
// somebody has recorded is of no use to them for longer.
const Tolerance = 5 * time.Minute

const version = "v1," // HMAC with SHA-256, in base64

// What Verify finds wrong.
var (
	ErrUnsigned = errors.New("the request is not signed")
	ErrTime     = errors.New("the time of the signature is too far from now")
	ErrMismatch = errors.New("no signature of the request is ours")
)

// Headers are the values of the three headers.
type Headers struct {
	ID        string
	Timestamp string
	Signature string
}

// Sign makes the headers of a request: with one signature for each secret, so that a receiver that knows only one of them
// accepts it while they are being replaced. The id stays the same however often the request is sent, and holds no dot,
// which separates the parts of what is signed.
func Sign(secrets []Secret, id string, at time.Time, body []byte) Headers {
	h := Headers{ID: id, Timestamp: strconv.FormatInt(at.Unix(), 10)}
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = version + base64.StdEncoding.EncodeToString(secret.mac(h, body))
	}
	h.Signature = strings.Join(signatures, " ")
	return h
}

// Set puts the headers into header.
func (h Headers) Set(header http.Header) {
	header.Set(IDHeader, h.ID)
	header.Set(TimestampHeader, h.Timestamp)
	header.Set(SignatureHeader, h.Signature)
}

// Verify reports whether the headers of a request show that it was signed with one of the secrets, for this body, and
// within Tolerance of now. The error is one of those above, with what is wrong.
func Verify(secrets []Secret, header http.Header, body []byte, now time.Time) error {
	h := Headers{ID: header.Get(IDHeader), Timestamp: header.Get(TimestampHeader), Signature: header.Get(SignatureHeader)}
	if h.ID == "" || h.Timestamp == "" || h.Signature == "" {
		return fmt.Errorf("%w: it lacks one of the headers %s, %s, %s", ErrUnsigned, IDHeader, TimestampHeader, SignatureHeader)
	}
	// With a dot in the id, what is signed could be cut in another place: into another id, time and body.
	if strings.Contains(h.ID, ".") {
		return fmt.Errorf("%w: %s holds a dot", ErrUnsigned, IDHeader)
	}
	seconds, err := strconv.ParseInt(h.Timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s is not a number of seconds", ErrUnsigned, TimestampHeader)
	}
	if off := now.Sub(time.Unix(seconds, 0)); off < -Tolerance || off > Tolerance {
		return fmt.Errorf("%w: %d, and now is %d; check both clocks", ErrTime, seconds, now.Unix())
	}
	if !h.matches(secrets, body) {
		return ErrMismatch
	}
	return nil
}

// matches leaves out signatures of versions that it does not know, which a sender may add.
func (h Headers) matches(secrets []Secret, body []byte) bool {
	for _, signature := range strings.Fields(h.Signature) {
		text, ok := strings.CutPrefix(signature, version)
		if !ok {
			continue
		}
		given, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		for _, secret := range secrets {
			if hmac.Equal(given, secret.mac(h, body)) {
				return true
			}
		}
	}
	return false
}

// mac is the signature of "id.timestamp.body".
func (s Secret) mac(h Headers, body []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(h.ID + "." + h.Timestamp + "."))
	m.Write(body)
	return m.Sum(nil)
}
