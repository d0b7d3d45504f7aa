package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
)

func TestServerRules(t *testing.T) {
	t.Parallel()
	const (
		hex   = " (make one with: openssl rand -hex 32)"
		long  = "0123456789abcdef"
		odd   = ": holds a space or another character that a header cannot carry" + hex
		short = ": is shorter than 16 characters" + hex
	)
	token := func(name, token string) string { return "{name: " + name + ", role: viewer, token: " + token + "}" }
	for fields, want := range map[string][]string{
		"":                               nil,
		"listen: ''":                     nil,
		"listen: 'localhost:0'":          nil,
		"listen: '8080'":                 {`.listen: "8080" is not host:port (write it like 127.0.0.1:8080)`},
		"listen: ':http'":                {`.listen: ":http" has no port from 0 to 65535 (write it like 127.0.0.1:8080)`},
		"cron_secret: " + long:           {},
		"cron_secret: '${SECRET}'":       {},
		"cron_secret: ''":                {".cron_secret" + short},
		"cron_secret: hidden":            {".cron_secret" + short},
		"cron_secret: []":                {".cron_secret: is an empty list (give at least one, or remove it)"},
		"cron_secret: 12345678901234567": {".cron_secret: is a number, not text (put it in quotes)"},
		"cron_secret: [" + long + ", hidden hidden hidden]": {".cron_secret[1]" + odd},
		`cron_secret: "hiddenhiddenhidden\n"`:               {".cron_secret" + odd},
		"cron_secret: hiddenhiddenhiddén":                   {".cron_secret" + odd},
		"cors: []":                                          {".cors: unknown field (known here: listen, cron_secret, tokens)"},
		"tokens: {}":                                        {".tokens: is a mapping, not a list of mappings with name, role and token"},
		"tokens: []":                                        nil,
		"tokens: [hidden]":                                  {`.tokens[0]: "hidden" is not a mapping`},
		"tokens: [{}]":                                      {".tokens[0]: name is missing (add name:)", ".tokens[0]: role is missing (add role:)", ".tokens[0]: token is missing (add token:)"},
		"tokens: [{name: A b, role: root, token: hidden, to: x}]": {
			`.tokens[0].name: "A b" is not the name of a token (` + "lower-case letters, digits, - and _, a letter or digit first, at most 64" + ")",
			`.tokens[0].role: "root" is not one of viewer, operator, admin`,
			".tokens[0].token" + short,
			".tokens[0].to: unknown field (known here: name, role, token)",
		},
		"tokens: [" + token("a", long) + "," + token("b", strings.ToUpper(long)) + "]": nil,
		"tokens: [{}," + token("a", long) + "," + token("a", "'${SECRET}'") + "," + token("c", "'${SECRET}'") + "]": {
			".tokens[0]: name is missing (add name:)", ".tokens[0]: role is missing (add role:)", ".tokens[0]: token is missing (add token:)",
			`.tokens[2].name: "a" is the name of tokens[1] too (choose another)`,
			".tokens[3].token: is that of tokens[2] too (give each a token of its own)",
		},
		"cron_secret: [x" + long + ", '${SECRET}'], tokens: [" + token("a", long) + "," + token("b", "'${SECRET}'") + "]": {
			".tokens[1].token: is a cron_secret too (a cron_secret opens nothing but /api/cron/)",
		},
	} {
		var got []string
		for _, line := range messages(t, "server: {"+fields+"}", lookup(map[string]string{"SECRET": "hidden-hidden-hidden"})) {
			_, after, _ := strings.Cut(line, "server")
			got = append(got, after)
			if strings.Contains(fields, "cron_secret") && strings.Contains(line, "hidden") {
				t.Errorf("a message shows a secret: %s", line)
			}
		}
		if len(want) == 0 {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", fields, diff)
		}
	}
}

// Secrets that are not known, when a file is checked without them, are not the same.
func TestServerOffline(t *testing.T) {
	t.Parallel()
	opts := lookup(nil)
	opts.Offline = true
	src := `server: {listen: "${X}", cron_secret: "${X}", tokens: [{name: "${X}", role: "${X}", token: "${X}"}, {name: "${X}", role: admin, token: "${X}"}]}`
	if _, err := config.Parse("", []byte(src), opts); err != nil {
		t.Error(err)
	}
}
