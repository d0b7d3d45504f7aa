package mail_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/mail"
)

func TestParseServer(t *testing.T) {
	t.Parallel()
	tests := map[string]mail.Server{
		"smtp://mx.example.com":                       {Host: "mx.example.com", Port: 587, TLS: mail.StartTLS},
		"smtp://u:p%40ss@mx.example.com:25/":          {Host: "mx.example.com", Port: 25, TLS: mail.StartTLS, User: "u", Password: "p@ss"},
		"smtps://u:p@mx.example.com":                  {Host: "mx.example.com", Port: 465, TLS: mail.ImplicitTLS, User: "u", Password: "p"},
		"smtp://localhost:1025":                       {Host: "localhost", Port: 1025, TLS: mail.NoTLS},
		"smtp://[::1]:25":                             {Host: "::1", Port: 25, TLS: mail.NoTLS},
		"smtp://127.0.0.1?tls=starttls&ca=/etc/ca.pm": {Host: "127.0.0.1", Port: 587, TLS: mail.StartTLS, CA: "/etc/ca.pm"},
		"smtp://mx:25?tls=none&ehlo=jobs.example.com": {Host: "mx", Port: 25, TLS: mail.NoTLS, EHLO: "jobs.example.com"},
		"smtp://mx:25?tls=opportunistic":              {Host: "mx", Port: 25, TLS: mail.Opportunistic},
	}
	for raw, want := range tests {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			got, err := mail.ParseServer(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("is %+v, want %+v", got, want)
			}
		})
	}
}

func TestParseServerRefuses(t *testing.T) {
	t.Parallel()
	const form = "write it like smtp://user:password@host:587, with special characters of the password as %XX"
	tests := map[string]string{
		"":                               "neither smtp:// nor smtps://; " + form,
		"mx.example.com:25":              "not a URL; " + form,
		"http://u:sesame@mx":             "neither smtp:// nor smtps://; " + form,
		"smtp://u:sesame/x@mx":           "not a URL; " + form,
		"smtp://u:sesame#x@mx":           "not a URL; " + form,
		"smtp://u:sesame%ZZ@mx":          "not a URL; " + form,
		"smtp://u:sesame@mx:99999":       "the port is not from 1 to 65535",
		"smtp://u:sesame@mx/path":        "not just a host and a port; " + form,
		"smtp://u:sesame@":               "not just a host and a port; " + form,
		"smtp://:sesame@mx":              "the user's name is empty, or it or the password holds a control character; " + form,
		"smtp://u:sesame%0A@mx":          "the user's name is empty, or it or the password holds a control character; " + form,
		"smtp://u:sesame@mx?tls=off":     "tls is starttls, opportunistic or none, and only for smtp://",
		"smtps://u:sesame@mx?tls=none":   "tls is starttls, opportunistic or none, and only for smtp://",
		"smtp://u:sesame@mx?verify=no":   "an option after ? is none of tls, ca, ehlo",
		"smtp://u:sesame@mx?ehlo=a%20b":  "ehlo is not the name of a host",
		"smtp://u:sesame@mx?ehlo=a%0Ab":  "ehlo is not the name of a host",
		"smtp://u:sesame@mx?%zz=sesame2": "what follows ? is not name=value",
	}
	for raw, want := range tests {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			_, err := mail.ParseServer(raw)
			if err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

func TestServerHidesItsPassword(t *testing.T) {
	t.Parallel()
	server, err := mail.ParseServer("smtp://jo:sesame@mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	const want = "smtp://mx.example.com:587"
	if diff := cmp.Diff([]string{want, want, want, want}, strings.Split(fmt.Sprintf("%s|%v|%+v|%#v", server, server, server, server), "|")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseServer(f *testing.F) {
	for _, seed := range []string{"smtp://u:p@h:25?tls=none", "smtps://h", "smtp://[::1]", "smtp://u:p/q@h", "smtp://%", "://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		server, err := mail.ParseServer(raw)
		if err == nil && (server.Host == "" || server.Port < 1 || server.Port > 65535) {
			t.Fatalf("%q gives %+v", raw, server)
		}
	})
}
