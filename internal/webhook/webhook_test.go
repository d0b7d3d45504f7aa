package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/webhook"
)

const (
	first  = "whsec_plJ3nmyCDGBKInavdOK15jsl"
	second = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func secrets(t testing.TB, texts ...string) []webhook.Secret {
	t.Helper()
	all, err := webhook.ParseSecrets(texts)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func signed(h webhook.Headers) http.Header {
	header := http.Header{}
	h.Set(header)
	return header
}

// The vectors are those of the specification and of its reference libraries.
func TestVectors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		secret, id string
		at         int64
		body, want string
	}{
		{first, "msg_loFOjxBNrRLzqYUf", 1731705121, `{"event_type":"ping","data":{"success":true}}`, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="},
		{second, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	for _, tt := range tests {
		at := time.Unix(tt.at, 0)
		got := webhook.Sign(secrets(t, tt.secret), tt.id, at, []byte(tt.body))
		want := webhook.Headers{ID: tt.id, Timestamp: fmt.Sprint(tt.at), Signature: tt.want}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := webhook.Verify(secrets(t, tt.secret), signed(want), []byte(tt.body), at); err != nil {
			t.Errorf("%s: %v", tt.id, err)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	const raw = "a text that is no base64"
	good := webhook.Sign(secrets(t, first), "42", at, []byte("body"))
	both := webhook.Sign(secrets(t, first, second), "42", at, []byte("body"))
	with := func(change func(*webhook.Headers)) webhook.Headers {
		h := good
		change(&h)
		return h
	}
	tests := []struct {
		name    string
		secrets []string
		headers webhook.Headers
		body    string
		now     time.Time
		want    error
	}{
		{"good", []string{first}, good, "body", at, nil},
		{"another secret", []string{second}, good, "body", at, webhook.ErrMismatch},
		{"no secret", nil, good, "body", at, webhook.ErrMismatch},
		{"another body", []string{first}, good, "body ", at, webhook.ErrMismatch},
		{"another id", []string{first}, with(func(h *webhook.Headers) { h.ID = "43" }), "body", at, webhook.ErrMismatch},
		{"another time", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "1800000001" }), "body", at, webhook.ErrMismatch},
		{"the same time, spelt otherwise", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "+1800000000" }), "body", at, webhook.ErrMismatch},

		{"sender knows both, receiver the old", []string{first}, both, "body", at, nil},
		{"sender knows both, receiver the new", []string{second}, both, "body", at, nil},
		{"receiver knows both", []string{second, first}, good, "body", at, nil},
		{"other versions and rubbish beside it", []string{first}, with(func(h *webhook.Headers) { h.Signature = "v1a,AAAA v1,!!! v1 " + h.Signature }), "body", at, nil},
		{"rubbish", []string{first}, with(func(h *webhook.Headers) { h.Signature = "v1, v1,AAAA ,v1" }), "body", at, webhook.ErrMismatch},
		{"of another version", []string{first}, with(func(h *webhook.Headers) { h.Signature = "v2" + h.Signature[2:] }), "body", at, webhook.ErrMismatch},
		{"shortened", []string{first}, with(func(h *webhook.Headers) { h.Signature = h.Signature[:len(h.Signature)-4] }), "body", at, webhook.ErrMismatch},

		{"5 minutes old", []string{first}, good, "body", at.Add(5 * time.Minute), nil},
		{"older", []string{first}, good, "body", at.Add(5*time.Minute + time.Second), webhook.ErrTime},
		{"5 minutes ahead", []string{first}, good, "body", at.Add(-5 * time.Minute), nil},
		{"further ahead", []string{first}, good, "body", at.Add(-5*time.Minute - time.Second), webhook.ErrTime},
		{"end of time", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "9223372036854775807" }), "body", at, webhook.ErrTime},
		{"after the end of time", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "9223372036854775808" }), "body", at, webhook.ErrUnsigned},
		{"time in words", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "noon" }), "body", at, webhook.ErrUnsigned},

		{"no id", []string{first}, with(func(h *webhook.Headers) { h.ID = "" }), "body", at, webhook.ErrUnsigned},
		{"no time", []string{first}, with(func(h *webhook.Headers) { h.Timestamp = "" }), "body", at, webhook.ErrUnsigned},
		{"no signature", []string{first}, with(func(h *webhook.Headers) { h.Signature = "" }), "body", at, webhook.ErrUnsigned},
		{"dot in the id", []string{first}, webhook.Sign(secrets(t, first), "4.2", at, []byte("body")), "body", at, webhook.ErrUnsigned},
		{"raw secret", []string{raw}, webhook.Sign(secrets(t, raw), "42", at, nil), "", at, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := webhook.Verify(secrets(t, tt.secrets...), signed(tt.headers), []byte(tt.body), tt.now)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	tests := []struct{ secret, want string }{
		{first, ""},
		{"sixteen letters!", ""},
		{"", "has 0 bytes"},
		{"fifteen letters", "has 15 bytes"},
		{"whsec_", "has 0 bytes, fewer than 16"},
		{"whsec_" + strings.Repeat("A", 20), "has 15 bytes"},
		{"whsec_not base64 at all, not at all", "is not base64"},
	}
	for _, tt := range tests {
		_, err := webhook.ParseSecret(tt.secret)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.secret, err, tt.want)
		}
		if err != nil && len(tt.secret) > 10 && strings.Contains(err.Error(), tt.secret[6:]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if _, err := webhook.ParseSecrets([]string{first, "short"}); err == nil || !strings.Contains(err.Error(), "secret 2 of 2: ") {
		t.Errorf("got %v, which does not say that it is the second", err)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	const text = "sixteen letters!"
	for _, secret := range secrets(t, text) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			for _, value := range []any{secret, []webhook.Secret{secret}, struct{ S webhook.Secret }{secret}} {
				got := fmt.Sprintf(verb, value)
				if strings.Contains(got, "sixteen") || strings.Contains(got, fmt.Sprintf("%x", text)) || strings.Contains(got, "115 105") {
					t.Errorf("%s prints %s", verb, got)
				}
			}
		}
	}
}

// Whatever arrives is refused, and not only because of its time.
func FuzzVerify(f *testing.F) {
	f.Add("42", "1800000000", "v1,AAAA v1,", []byte("{}"))
	f.Add("4.2", "-1", "v1a,AAAA", []byte(nil))
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		header := signed(webhook.Headers{ID: id, Timestamp: at, Signature: signature})
		if err := webhook.Verify(secrets(t, first), header, body, time.Unix(1_800_000_000, 0)); err == nil {
			t.Error("accepted what nobody signed")
		}
	})
}
