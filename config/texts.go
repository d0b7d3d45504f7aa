package config

import (
	"encoding/base64"
	"errors"
	"net/mail"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

// The functions here judge a text: they return what is wrong with it, as words that follow the text or, where it is
// secret, the name of the field; and what to do.

func checkTimezone(s string) (problem, hint string) {
	const example = "write it like Asia/Tokyo, Europe/Berlin or UTC"
	if s == "" || s == "Local" { // Go's names for UTC and for whatever the machine has
		return "is not a time zone", example
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "is not a time zone", example
	}
	return "", ""
}

// checkMailURL leaves the query to the sender to judge.
func checkMailURL(s string) (problem, hint string) {
	const example = "write it like smtp://user:password@host:587, with special characters of the password as %40 and so on"
	if s == "" {
		return "", ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "smtp" && u.Scheme != "smtps":
		return "is not a URL of scheme smtp or smtps", example
	case !isHost(u):
		return "has no valid host and port", example
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return "has something behind the host", example
	}
	return "", ""
}

func checkHTTPURL(s string) (problem, hint string) {
	const example = "write it like https://app.example.com/jobs"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return "is not a URL of scheme http or https", example
	case u.User != nil:
		return "holds a user or password", "put it into headers, as Authorization"
	case !isHost(u):
		return "has no valid host and port", example
	case u.Fragment != "":
		return "has a fragment, which no server sees", "remove # and what follows, or write it as %23"
	}
	return "", ""
}

// isHost tells whether u has a host and, if any, a port that there can be.
func isHost(u *url.URL) bool {
	if u.Hostname() == "" {
		return false
	}
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// tokenRE is the form of a header's name (RFC 9110).
var tokenRE = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// headerName gives a header its canonical name.
func headerName(key string) (name, problem, hint string) {
	if !tokenRE.MatchString(key) {
		return "", "is not the name of a header", "letters, digits and -"
	}
	name = textproto.CanonicalMIMEHeaderKey(key)
	framing := []string{"Connection", "Content-Length", "Expect", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
	if slices.Contains(framing, name) || strings.HasPrefix(name, "Webhook-") || strings.HasPrefix(name, "Tidemill-") {
		return "", "is set by Tidemill", "remove it"
	}
	return name, "", ""
}

func checkHeader(s string) (problem, hint string) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "holds a line end or another control character", "a header is one line"
	}
	return "", ""
}

func envName(key string) (name, problem, hint string) {
	switch {
	case !isEnvName(key):
		return "", "is not the name of an environment variable", "letters, digits and _, no digit first"
	case strings.HasPrefix(key, "TIDEMILL_"):
		return "", "is set by Tidemill", "choose a name that does not begin with TIDEMILL_"
	}
	return key, "", ""
}

// checkSecret knows the two forms of a key; the bounds of the first are those of Standard Webhooks.
func checkSecret(s string) (problem, hint string) {
	const example = "make one with: echo whsec_$(openssl rand -base64 32)"
	encoded, isEncoded := strings.CutPrefix(s, "whsec_")
	if !isEncoded {
		if len(s) < 16 {
			return "is shorter than 16 bytes", example
		}
		return "", ""
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return "has no base64 behind whsec_", example
	case len(key) < 24 || len(key) > 64:
		return "is not of 24 to 64 bytes", example
	}
	return "", ""
}

// checkAddress takes one mail address, with or without the name of a person. Empty counts as absent.
func checkAddress(s string) (problem, hint string) {
	if s == "" {
		return "", ""
	}
	if _, err := mail.ParseAddress(s); err != nil || strings.ContainsAny(s, "\r\n") {
		return "is not a mail address", "write it like jobs@example.com or Jobs <jobs@example.com>"
	}
	return "", ""
}

// checkRecipients judges a template only as such: what it makes is known when the job runs.
func checkRecipients(s string) (problem, hint string) {
	if strings.Contains(s, "{{") {
		return checkTemplate(s)
	}
	if _, err := mail.ParseAddressList(s); err != nil || strings.ContainsAny(s, "\r\n") {
		return "is not a mail address", "write it like jobs@example.com, or \"{{.email}}\" with a param"
	}
	return "", ""
}

func checkSubject(s string) (problem, hint string) {
	switch {
	case strings.TrimSpace(s) == "":
		return "is no subject", "say what the mail is about"
	case strings.ContainsAny(s, "\r\n"):
		return "has more than one line", ""
	}
	return checkTemplate(s)
}

// checkTemplate reads the template, but does not ask whether there are the functions that it names: whoever sends the
// mail has them.
func checkTemplate(s string) (problem, hint string) {
	tree := parse.New("line")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(s, "", "", map[string]*parse.Tree{}); err != nil {
		return "is not a template: " + strings.Replace(strings.TrimPrefix(err.Error(), "template: "), "line:", "line ", 1), ""
	}
	return "", ""
}

const templatePattern = `^[A-Za-z0-9][A-Za-z0-9_-]*$`

var templateRE = regexp.MustCompile(templatePattern)

// checkTemplateName refuses paths, so that nothing outside the directory is read.
func checkTemplateName(s string) (problem, hint string) {
	if !templateRE.MatchString(s) {
		return "is not the name of a template", "letters, digits, - and _; without directory and without .txt or .html"
	}
	return "", ""
}

// dollarHint is for SQL that was written as in a file of SQL.
func dollarHint(err error) string {
	var dollar *sqlparams.DollarError
	if errors.As(err, &dollar) {
		return "$$ in this file is one dollar: write $$$$ for the $$ of PostgreSQL, or $body$"
	}
	return ""
}

func checkStatement(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no statement", "write it like CALL app.stats(:day)"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a statement: " + err.Error(), dollarHint(err)
	}
	return "", ""
}
